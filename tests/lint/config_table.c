/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the table of core/config.c, one variable a line:
 *
 *	NAME|ALIAS|DEFAULT
 *
 * where there is no alias, or no fixed default, the field is empty.
 */
#include <stdio.h>

#include "core/config.h"

int
main(void)
{
	const char *name, *alias, *fallback;

	for (size_t i = 0; config_variable(i, &name, &alias, &fallback); i++)
		if (printf("%s|%s|%s\n", name, alias ? alias : "",
			   fallback ? fallback : "") < 0)
			return 1;
	return 0;
}
