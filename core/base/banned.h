/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_BANNED_H
#define FIRN_BASE_BANNED_H

/*
 * Functions that are easy to get wrong become errors. Every compilation
 * includes this first (-include); what to use instead stands beside each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Some are macros, which clang won't poison. */
#undef strcpy
#undef strncpy
#undef strcat
#undef strncat
#undef stpcpy
#undef sprintf
#undef vsprintf
#undef strtok

#pragma GCC poison strcpy strncpy strcat strncat stpcpy /* buf.h */
#pragma GCC poison sprintf vsprintf                     /* buf_printf */
#pragma GCC poison strtok                               /* str_cut */
#pragma GCC poison gmtime localtime ctime asctime       /* gmtime_r */
#pragma GCC poison atoi atol atoll                      /* str_to_u64 */
#pragma GCC poison mktemp tmpnam                        /* fs.h */

/* A field may be called system (Nix's word); a call of it is an error. */
#define system(command) banned_use_proc_h_instead(command)
#define popen(command, mode) banned_use_proc_h_instead(command, mode)

#endif
