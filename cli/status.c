#include "status.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FAILED 1

/* A supervisor answers at once; one that is stopped never does. */
#define PATIENCE_S 10

/* More than the table of all the threads that there can be. */
#define LONGEST_ANSWER ((size_t)32 * 1024 * 1024)

static int
fail(FILE *errors, const char *path, const char *why)
{
    fprintf(errors, "wsgid: --control-socket \"%s\": %s\n", path, why);
    return FAILED;
}

static const char *
reason_of(int error)
{
    switch (error) {
    case ENOENT:
    case ECONNREFUSED:
        return "no server listens there; start wsgid with the same "
               "--control-socket";
    case EACCES:
        return "this user may not ask; ask as the user of the server, or as "
               "root";
    case EAGAIN:
        return "the server does not answer: it is stopped, or very busy";
    default:
        return strerror(error);
    }
}

/* -1 with errno. */
static int
connect_to(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    struct timeval patience = { .tv_sec = PATIENCE_S };
    size_t len = strlen(path);

    if (len >= sizeof(to.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(to.sun_path, path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Everything that comes, with a NUL; the caller frees it.  NULL with errno. */
static char *
read_all(int fd)
{
    size_t len = 0, room = 64 * 1024;
    char *answer = malloc(room);

    while (answer) {
        ssize_t n = read(fd, answer + len, room - len - 1);
        if (n < 0 || len + (size_t)n > LONGEST_ANSWER)
            break;
        len += (size_t)n;
        answer[len] = '\0';
        if (n == 0)
            return answer;
        if (room - len > 1)
            continue;
        char *grown = realloc(answer, room * 2);
        if (!grown)
            break;
        answer = grown;
        room *= 2;
    }
    int error = errno;
    free(answer);
    errno = error;
    return NULL;
}

/* NULL with errno. */
static char *
ask(const char *path)
{
    static const char request[] = "GET /status HTTP/1.0\r\n\r\n";
    const size_t len = sizeof(request) - 1;
    int fd = connect_to(path);

    if (fd < 0)
        return NULL;
    ssize_t n = send(fd, request, len, MSG_NOSIGNAL);
    char *answer = n == (ssize_t)len ? read_all(fd) : NULL;
    int error = errno;
    close(fd);
    errno = error;
    return answer;
}

int
status_print(const char *path, FILE *out, FILE *errors)
{
    char *answer = ask(path);

    if (!answer)
        return fail(errors, path, reason_of(errno));
    const char *body = strstr(answer, "\r\n\r\n");
    bool good = body && strncmp(answer, "HTTP/1.1 200 ", 13) == 0;
    if (good)
        fputs(body + 4, out);
    free(answer);
    return good ? 0
                : fail(errors, path,
                       "who listens there is no wsgid, or another version");
}
