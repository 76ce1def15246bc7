/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_SYS_CORES_H
#define FIRN_SYS_CORES_H

/*
 * How many processors this process may use at a time: by its affinity, and by
 * its control groups' quota, rounded up. At least 1.
 */
unsigned cores_count(void);

/*
 * The quota alone, 0 when there is none that can be found: the least of the
 * group's and those of the groups it is in. groups is as /proc/self/cgroup,
 * root where control groups of version 2 are mounted.
 */
unsigned cores_quota(const char *groups, const char *root);

#endif
