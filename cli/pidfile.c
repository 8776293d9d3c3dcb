#include "pidfile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "path.h"

#define NO_FILE 0 /* or an empty one */
#define NO_NUMBER (-1)

/* The number in the file, NO_FILE or NO_NUMBER. */
static long
read_number(const char *path)
{
    char content[32];
    char *end;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return errno == ENOENT ? NO_FILE : NO_NUMBER;
    ssize_t len = read(fd, content, sizeof(content) - 1);
    close(fd);
    if (len < 0)
        return NO_NUMBER;
    content[len] = '\0';
    long number = strtol(content, &end, 10);
    while (isspace((unsigned char)*end))
        end++;
    if (end != content + len || number < 0 || number > INT_MAX)
        return NO_NUMBER;
    return number;
}

/* A process of another user answers EPERM. */
static bool
is_alive(long number)
{
    return kill((pid_t)number, 0) == 0 || errno == EPERM;
}

static void
put_option(text *error, const char *path)
{
    text_puts(error, "--pid \"");
    text_puts(error, path);
    text_puts(error, "\": ");
}

/* A device or a pipe must not give way to a file, nor a link to nothing. */
static bool
is_special(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

static bool
may_replace(const char *path, text *error)
{
    if (is_special(path)) {
        put_option(error, path);
        text_puts(error, "this is not a regular file; name another");
        return false;
    }
    long number = read_number(path);
    if (number == NO_NUMBER) {
        put_option(error, path);
        text_puts(error, "this file is not a pid file; remove it or name "
                         "another");
        return false;
    }
    if (number == NO_FILE || number == getpid() || !is_alive(number))
        return true;
    put_option(error, path);
    text_puts(error, "it belongs to process ");
    text_number(error, (uint64_t)number, 1);
    text_puts(error, ", which is running; stop that or name another file");
    return false;
}

static bool
write_number(int fd)
{
    char content[32];
    text line;

    text_init(&line, content, sizeof(content));
    text_number(&line, (uint64_t)getpid(), 1);
    text_puts(&line, "\n");
    return write(fd, line.at, line.len) == (ssize_t)line.len &&
           fchmod(fd, 0644) == 0;
}

/* Beside the file and renamed over it: readers never see half a number. */
static bool
replace(const char *path)
{
    char *beside = NULL;

    if (asprintf(&beside, "%s.XXXXXX", path) < 0)
        return false;
    int fd = mkostemp(beside, O_CLOEXEC);
    bool done = fd >= 0 && write_number(fd);
    if (fd >= 0)
        close(fd);
    done = done && rename(beside, path) == 0;
    int error = errno;
    if (!done && fd >= 0)
        unlink(beside);
    free(beside);
    errno = error;
    return done;
}

bool
pidfile_take(pidfile *file, const char *path, text *error)
{
    char *absolute = path_resolved(path);

    if (absolute && !may_replace(absolute, error)) {
        free(absolute);
        return false;
    }
    if (!absolute || !replace(absolute)) {
        int why = errno;
        put_option(error, path);
        text_puts(error, strerror(why));
        text_puts(error, path_remedy(why));
        free(absolute);
        return false;
    }
    file->path = absolute;
    return true;
}

/* The caller frees it; NULL when out of memory. */
static char *
current_name(const pidfile *file, const char *suffix)
{
    char *name = NULL;

    if (asprintf(&name, "%s%s", file->path, suffix ? suffix : "") < 0)
        return NULL;
    return name;
}

void
pidfile_rename(pidfile *file, const char *suffix)
{
    if (!file->path)
        return;
    char *from = current_name(file, file->suffix);
    char *to = current_name(file, suffix);
    if (from && to && read_number(from) == getpid() && rename(from, to) == 0)
        file->suffix = suffix;
    free(from);
    free(to);
}

void
pidfile_release(pidfile *file)
{
    char *name = file->path ? current_name(file, file->suffix) : NULL;

    if (name && read_number(name) == getpid())
        unlink(name);
    free(name);
    free(file->path);
    *file = (pidfile){ .path = NULL };
}
