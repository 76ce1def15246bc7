/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a package for the processor that was asked for? The package set may say
 * that it is not; and a binary cache may hold another one's programs under
 * its path, which Nix can't tell: a path is named after how it was to be
 * built, not after what is in it.
 */
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "core/base/err.h"
#include "core/nix/impl.h"
#include "core/sys/fs.h"
#include "core/sys/fsat.h"

/* Files of a directory that are looked at. */
#define FILES_MAX 64u

#define ELF_MAGIC "\177ELF"
#define ELF_HEAD 20u
/* Little-endian, as both of ours are (System V ABI, "ELF header"). */
#define ELF_DATA_AT 5u
#define ELF_DATA_LITTLE 1u
#define ELF_MACHINE_AT 18u

/* Processors, and what else they run. */
static const struct machine {
	const char *cpu; /* in Nix's names of systems */
	unsigned elf;
	const char *runs; /* the CPU of older programs */
	unsigned elf_runs;
} machines[] = {
	{"x86_64", 62, "i686", 3},
	{"aarch64", 183, "armv7l", 40},
};

/* "x86_64-linux" */
static const struct machine *
find_machine(const char *system)
{
	for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
		size_t k = strlen(machines[i].cpu);

		if (strncmp(system, machines[i].cpu, k) == 0 &&
		    strcmp(system + k, "-linux") == 0)
			return &machines[i];
	}
	return NULL;
}

bool
nix_machine_runs(const char *system, const char *of)
{
	const struct machine *m = find_machine(system);
	size_t k;

	/* What Nix makes by itself, such as a file that is downloaded. */
	if (strcmp(of, system) == 0 || strcmp(of, "builtin") == 0)
		return true;
	if (!m)
		return false;
	k = strlen(m->runs);
	return strncmp(of, m->runs, k) == 0 && strcmp(of + k, "-linux") == 0;
}

/* 0: it is no program, or can't be read. */
static unsigned
read_machine(int dir, const char *name)
{
	unsigned char head[ELF_HEAD];
	struct err e = ERR_INIT;
	struct fsat_stamp stamp;
	AUTO(fd) int fd = -1;
	bool exec;
	size_t n;

	if (fsat_open_file(dir, name, &fd, &stamp, &exec, &e) < 0 ||
	    fs_read(fd, head, sizeof(head), &n, &e) < 0 || n < sizeof(head) ||
	    memcmp(head, ELF_MAGIC, strlen(ELF_MAGIC)) != 0 ||
	    head[ELF_DATA_AT] != ELF_DATA_LITTLE)
		return 0;
	return head[ELF_MACHINE_AT] | (unsigned)head[ELF_MACHINE_AT + 1] << 8;
}

/* Has bin programs, and none for this machine? */
static bool
is_foreign(const char *path, const struct machine *m)
{
	AUTO(fsat_list) struct fsat_list list = FSAT_LIST_INIT;
	AUTO(fd) int top = -1;
	AUTO(fd) int bin = -1;
	struct err e = ERR_INIT;
	bool foreign = false;

	/* No directory, no bin: then there are no programs to look at. */
	if (fsat_open_dir(AT_FDCWD, path, &top, &e) < 0 ||
	    fsat_open_dir(top, "bin", &bin, &e) < 0 ||
	    fsat_list(bin, &list, &e) < 0)
		return false;
	for (size_t i = 0; i < list.n && i < FILES_MAX; i++) {
		unsigned elf;

		if (list.v[i].type != FSAT_FILE)
			continue;
		elf = read_machine(bin, list.names.p + list.v[i].at);
		if (elf == m->elf || elf == m->elf_runs)
			return false;
		foreign = foreign || elf != 0;
	}
	return foreign;
}

int
nix_check_machine(const struct nix_outputs *o, struct err *e)
{
	const struct machine *m = find_machine(o->request->system);

	for (size_t i = 0; m && i < o->n; i++)
		if (is_foreign(o->v[i].path, m))
			return err_set(e, ERR_DENIED,
				       "%s holds programs for another "
				       "processor than %s: the package set or "
				       "a binary cache has the wrong ones",
				       o->v[i].name, m->cpu);
	return 0;
}
