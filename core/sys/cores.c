/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sys/cores.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/sys/fs.h"

#define FILE_MAX 65536

/* "QUOTA PERIOD" in a group's cpu.max, in processors; 0: "max", or none. */
static unsigned
read_quota(const char *file)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	unsigned long quota, period;
	char *end;

	if (fs_read_file(file, FILE_MAX, &text, &e) < 0 || text.len == 0)
		return 0;
	quota = strtoul(text.p, &end, 10);
	period = strtoul(end, NULL, 10);
	if (quota == 0 || period == 0 || quota / period >= UINT_MAX)
		return 0;
	return (unsigned)(quota / period + (quota % period > 0));
}

/* The group's path in the hierarchy of version 2: "0::/PATH". */
static char *
find_group(struct buf *groups)
{
	char *p = groups->p;

	while (p && strncmp(p, "0::/", 4) != 0) {
		p = strchr(p, '\n');
		p += p ? 1 : 0;
	}
	if (!p)
		return NULL;
	p[strcspn(p, "\n")] = '\0';
	return p + 3;
}

unsigned
cores_quota(const char *groups, const char *root)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	unsigned least = 0;
	char *group, *slash;

	if (fs_read_file(groups, FILE_MAX, &text, &e) < 0)
		return 0;
	group = find_group(&text);
	while (group) {
		AUTO(buf) struct buf file = BUF_INIT;
		unsigned n;

		buf_printf(&file, "%s%s/cpu.max", root, group);
		n = read_quota(file.p);
		if (n > 0 && (least == 0 || n < least))
			least = n;
		slash = strrchr(group, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	return least;
}

unsigned
cores_count(void)
{
	unsigned quota = cores_quota("/proc/self/cgroup", "/sys/fs/cgroup");
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	/* Fails where there are more processors than fit into the set. */
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	if (quota > 0 && (long)quota < n)
		n = (long)quota;
	return n > 0 ? (unsigned)n : 1;
}
