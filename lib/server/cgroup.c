#include "server/cgroup.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"

#define ROOT "/sys/fs/cgroup"
#define LONGEST_PATH 1024
#define LONGEST_FILE 4096

/* ---- Text --------------------------------------------------------------- */

/* Whether a list such as "cpu,cpuacct", of len bytes, has that word. */
static bool
has_word(const char *list, size_t len, const char *word)
{
    size_t wanted = strlen(word);

    for (;;) {
        const char *comma = memchr(list, ',', len);
        size_t n = comma ? (size_t)(comma - list) : len;
        if (n == wanted && memcmp(list, word, n) == 0)
            return true;
        if (!comma)
            return false;
        list += n + 1;
        len -= n + 1;
    }
}

/* Lines are "number:controllers:path"; version 2 has no controllers. */
bool
wsgi__cgroup_path(const char *text, const char *controller, char *path,
                  size_t size)
{
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n");
        const char *list = memchr(line, ':', len);
        const char *at =
            list ? memchr(list + 1, ':', len - (size_t)(list + 1 - line))
                 : NULL;
        if (at && has_word(list + 1, (size_t)(at - list - 1), controller)) {
            size_t n = len - (size_t)(at + 1 - line);
            if (n >= size)
                return false;
            memcpy(path, at + 1, n);
            path[n] = '\0';
            return true;
        }
        line += len + (line[len] == '\n');
    }
    return false;
}

unsigned
wsgi__cgroup_quota(const char *text)
{
    char *end;
    long long quota = strtoll(text, &end, 10);

    if (end == text || quota <= 0)
        return 0; /* "max", and -1 in version 1 */
    long long period = strtoll(end, NULL, 10);
    if (period <= 0)
        return 0;
    long long cpus = quota / period + (quota % period != 0);
    return cpus < 65536 ? (unsigned)cpus : 0;
}

int64_t
wsgi__cgroup_oom_kills(const char *text)
{
    static const char key[] = "oom_kill ";
    const char *line = text;

    while (line && strncmp(line, key, sizeof(key) - 1) != 0) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return line ? strtoll(line + sizeof(key) - 1, NULL, 10) : -1;
}

/* ---- Files -------------------------------------------------------------- */

/* As text; false when there is nothing to read. */
static bool
read_file(const char *path, char text[LONGEST_FILE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, LONGEST_FILE - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    return len > 0;
}

static bool
read_in(const char *mount, const char *group, const char *name,
        char text[LONGEST_FILE])
{
    char path[2 * LONGEST_PATH];
    int len = snprintf(path, sizeof(path), ROOT "%s%s/%s", mount, group, name);

    return len > 0 && len < (int)sizeof(path) && read_file(path, text);
}

/* "/a/b" becomes "/a", "/a" becomes "", "" is the last. */
static bool
go_up(char *group)
{
    char *slash = strrchr(group, '/');

    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

static bool
find_group(const char *controller, char group[LONGEST_PATH])
{
    char text[LONGEST_FILE];

    if (!read_file("/proc/self/cgroup", text) ||
        !wsgi__cgroup_path(text, controller, group, LONGEST_PATH))
        return false;
    if (strcmp(group, "/") == 0)
        group[0] = '\0';
    return true;
}

static unsigned
least(unsigned a, unsigned b)
{
    return b != 0 && (a == 0 || b < a) ? b : a;
}

/* A group is bound by those around it too. */
static unsigned
quota_v2(void)
{
    char group[LONGEST_PATH], text[LONGEST_FILE];
    unsigned cpus = 0;

    if (!find_group("", group))
        return 0;
    do
        if (read_in("", group, "cpu.max", text))
            cpus = least(cpus, wsgi__cgroup_quota(text));
    while (go_up(group));
    return cpus;
}

static unsigned
quota_v1(void)
{
    char group[LONGEST_PATH], quota[LONGEST_FILE], period[LONGEST_FILE];
    char both[2 * LONGEST_FILE];
    unsigned cpus = 0;

    if (!find_group("cpu", group))
        return 0;
    do
        if (read_in("/cpu", group, "cpu.cfs_quota_us", quota) &&
            read_in("/cpu", group, "cpu.cfs_period_us", period)) {
            snprintf(both, sizeof(both), "%s %s", quota, period);
            cpus = least(cpus, wsgi__cgroup_quota(both));
        }
    while (go_up(group));
    return cpus;
}

/* The set that fits on the stack serves up to 1024 CPUs; with more the call
 * fails, and there is no limit to be found. */
static unsigned
affinity(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

unsigned
wsgi__cgroup_cpus(void)
{
    unsigned cpus = least(affinity(), least(quota_v2(), quota_v1()));

    return cpus > 0 ? cpus : 1;
}

int64_t
wsgi__cgroup_killed(void)
{
    char group[LONGEST_PATH], text[LONGEST_FILE];

    if (find_group("", group) && read_in("", group, "memory.events", text))
        return wsgi__cgroup_oom_kills(text);
    if (find_group("memory", group) &&
        read_in("/memory", group, "memory.oom_control", text))
        return wsgi__cgroup_oom_kills(text);
    return -1;
}
