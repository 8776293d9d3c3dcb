#include "identity.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
refuse(text *error, const char *option, const char *value, const char *why)
{
    text_puts(error, option);
    text_puts(error, " \"");
    text_puts(error, value);
    text_puts(error, "\": ");
    text_puts(error, why);
    return false;
}

/* (uid_t)-1 means "as it is" to the kernel. */
static bool
read_number(const char *word, unsigned *number)
{
    char *end;

    if (!isdigit((unsigned char)*word))
        return false;
    errno = 0;
    unsigned long value = strtoul(word, &end, 10);
    if (errno || *end || value >= UINT32_MAX)
        return false;
    *number = (unsigned)value;
    return true;
}

/* ---- Who ---------------------------------------------------------------- */

static bool
find_user(identity *who, const char *user, bool has_group, text *error)
{
    unsigned number;
    bool numeric = read_number(user, &number);
    const struct passwd *entry = numeric ? getpwuid(number) : getpwnam(user);

    if (!entry && !numeric)
        return refuse(error, "--user", user,
                      "there is no such user; getent passwd lists them");
    if (!entry && !has_group)
        return refuse(error, "--user", user,
                      "no user has this number, and so no group: give --group "
                      "too");
    who->uid = entry ? entry->pw_uid : number;
    if (!entry)
        return true;
    who->gid = entry->pw_gid;
    who->name = strdup(entry->pw_name);
    return who->name || refuse(error, "--user", user, "out of memory");
}

static bool
find_group(identity *who, const char *group, text *error)
{
    unsigned number;

    if (read_number(group, &number)) {
        who->gid = number;
        return true;
    }
    const struct group *entry = getgrnam(group);
    if (!entry)
        return refuse(error, "--group", group,
                      "there is no such group; getent group lists them");
    who->gid = entry->gr_gid;
    return true;
}

/* A successor is what it is to become. */
static bool
is_it(const identity *who)
{
    return geteuid() == who->uid && getuid() == who->uid &&
           getegid() == who->gid && getgid() == who->gid;
}

bool
identity_find(identity *who, const char *user, const char *group, text *error)
{
    *who = (identity){ .uid = geteuid(), .gid = getegid() };
    if (!user && !group)
        return true;
    if (user && !find_user(who, user, group != NULL, error))
        return false;
    if (group && !find_group(who, group, error))
        return false;
    if (is_it(who) && who->uid != 0)
        return true;
    if (geteuid() != 0)
        return refuse(error, user ? "--user" : "--group", user ? user : group,
                      "only root can become another one; start as root, or "
                      "leave it out");
    who->wanted = true;
    who->drops = who->uid != 0;
    return true;
}

void
identity_free(identity *who)
{
    free(who->name);
    *who = (identity){ .wanted = false };
}

/* ---- Becoming it --------------------------------------------------------- */

static bool
fail(text *error, const char *what)
{
    int why = errno;

    text_puts(error, "cannot change the user: ");
    text_puts(error, what);
    text_puts(error, ": ");
    text_puts(error, strerror(why));
    return false;
}

static bool
has_changed(const identity *who)
{
    uid_t uids[3];
    gid_t gids[3];

    if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 ||
        getresgid(&gids[0], &gids[1], &gids[2]) < 0)
        return false;
    for (size_t i = 0; i < 3; i++)
        if (uids[i] != who->uid || gids[i] != who->gid)
            return false;
    return true;
}

/* Must not succeed. */
static bool
can_go_back(void)
{
    return setuid(0) == 0 || seteuid(0) == 0 || setreuid((uid_t)-1, 0) == 0;
}

bool
identity_take(const identity *who, text *error)
{
    if (!who->wanted)
        return true;
    if (who->name ? initgroups(who->name, who->gid) < 0
                  : setgroups(1, &who->gid) < 0)
        return fail(error, "setgroups");
    if (setresgid(who->gid, who->gid, who->gid) < 0)
        return fail(error, "setresgid");
    if (setresuid(who->uid, who->uid, who->uid) < 0)
        return fail(error, "setresuid");
    if (has_changed(who) && !(who->drops && can_go_back()))
        return true;
    text_puts(error, "cannot change the user: the rights of root would stay "
                     "within reach");
    return false;
}

bool
identity_give(const identity *who, const char *path)
{
    return !who->wanted || lchown(path, who->uid, who->gid) == 0;
}

bool
identity_give_open(const identity *who, int fd)
{
    struct stat status;

    if (!who->wanted)
        return true;
    if (fstat(fd, &status) < 0)
        return false;
    return !S_ISREG(status.st_mode) || fchown(fd, who->uid, who->gid) == 0;
}
