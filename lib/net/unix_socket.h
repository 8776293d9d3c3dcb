/*
 * A Unix socket to listen on, and its file: what is in its way, which mode it
 * has, and when it is removed.  No messages: errno says what is wrong.
 */
#ifndef WSGI_NET_UNIX_SOCKET_H
#define WSGI_NET_UNIX_SOCKET_H

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Makes a non-blocking socket that listens, or gives -1 with errno.  The file
 * of a dead server is replaced; EADDRINUSE when somebody listens there, EEXIST
 * when something else is in the way.  The file has that mode from before anybody
 * can connect; an abstract socket (sun_path begins with a NUL) has neither. */
int wsgi__unix_listen(const struct sockaddr_un *at, socklen_t len, int backlog,
                      mode_t mode);

/* The file of a socket that was made here, remembered by what it is: another
 * server may have put its own in the place. */
typedef struct wsgi__unix_file {
    char *path; /* absolute, as it is after chdir("/") too; NULL: none */
    dev_t dev;
    ino_t ino;
} wsgi__unix_file;

/* WSGI_ERR_NOMEM; there may be nothing to remember, which is WSGI_OK. */
int wsgi__unix_file_remember(wsgi__unix_file *file, const char *path);

/* Removes the file if it is still that one. */
void wsgi__unix_file_remove(const wsgi__unix_file *file);

void wsgi__unix_file_forget(wsgi__unix_file *file);

#endif
