/* The files of control groups, as both versions have them. */
#include <criterion/criterion.h>

#include "base/macros.h"
#include "server/cgroup.h"

static const struct {
    const char *text, *controller, *path; /* NULL: none */
} paths[] = {
    { "0::/\n", "", "/" },
    { "0::/system.slice/shop.service\n", "", "/system.slice/shop.service" },
    { "0::/a:b\n", "", "/a:b" },
    { "12:cpu,cpuacct:/docker/1\n4:memory:/docker/2\n0::/\n", "cpu",
      "/docker/1" },
    { "12:cpuacct,cpu:/docker/1\n", "cpu", "/docker/1" },
    { "12:cpuset:/docker/1\n", "cpu", NULL },
    { "4:memory:/m\n12:name=systemd:/x\n0::/y", "", "/y" },
    { "4:memory:/m\n", "", NULL },
    { "", "", NULL },
    { "nonsense\n\n:\n", "", NULL },
    { "0::/a-path-that-is-longer-than-there-is-room\n", "", NULL },
};

Test(cgroup, path)
{
    for (size_t i = 0; i < WSGI__COUNT(paths); i++) {
        char path[32];
        bool found = wsgi__cgroup_path(paths[i].text, paths[i].controller,
                                       path, sizeof(path));
        cr_expect_eq(found, paths[i].path != NULL, "%s", paths[i].text);
        if (found && paths[i].path)
            cr_expect_str_eq(path, paths[i].path);
    }
}

static const struct {
    const char *text;
    unsigned cpus;
} quotas[] = {
    { "max 100000\n", 0 },
    { "100000 100000\n", 1 },
    { "150000 100000\n", 2 },
    { "50000 100000\n", 1 },
    { "200000 100000\n", 2 },
    { "200001 100000\n", 3 },
    { "-1\n 100000\n", 0 },
    { "300000\n 100000\n", 3 },
    { "", 0 },
    { "100000", 0 },
    { "100000 0\n", 0 },
    { "100000 -5\n", 0 },
    { "9223372036854775807 1\n", 0 },
};

Test(cgroup, quota)
{
    for (size_t i = 0; i < WSGI__COUNT(quotas); i++)
        cr_expect_eq(wsgi__cgroup_quota(quotas[i].text), quotas[i].cpus, "%s",
                     quotas[i].text);
}

static const struct {
    const char *text;
    int64_t kills;
} events[] = {
    { "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 0\n", 1 },
    { "oom_kill_disable 0\nunder_oom 0\noom_kill 12\n", 12 },
    { "oom_kill_disable 0\nunder_oom 0\n", -1 },
    { "", -1 },
};

Test(cgroup, oom_kills)
{
    for (size_t i = 0; i < WSGI__COUNT(events); i++)
        cr_expect_eq(wsgi__cgroup_oom_kills(events[i].text), events[i].kills,
                     "%s", events[i].text);
}
