/*
 * What the control group of this process allows it: CPUs, and whether the kernel
 * has killed in it for want of memory.
 *
 * Versions 1 and 2.  The readers of text are pure; the others open files below
 * /proc and /sys, and take what is missing as no limit.
 */
#ifndef WSGI_SERVER_CGROUP_H
#define WSGI_SERVER_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Text --------------------------------------------------------------- */

/* The group of a controller in /proc/self/cgroup: "cpu" of version 1, "" for
 * version 2.  false: none, or longer than size. */
bool wsgi__cgroup_path(const char *text, const char *controller, char *path,
                       size_t size);

/* CPUs, rounded up, by a cpu.max ("150000 100000") or by the two files of
 * version 1 put together like that; 0: no limit. */
unsigned wsgi__cgroup_quota(const char *text);

/* The number behind "oom_kill " in a memory.events or memory.oom_control; -1
 * when there is none. */
int64_t wsgi__cgroup_oom_kills(const char *text);

/* ---- This process ------------------------------------------------------- */

/* At most what its affinity allows; at least 1. */
unsigned wsgi__cgroup_cpus(void);

/* How often the kernel has killed in this group; -1: it does not tell. */
int64_t wsgi__cgroup_killed(void);

#endif
