/*
 * The CGI variables of a request, as text: what environ says, without Python.
 * Pure.
 */
#ifndef WSGI_HTTP_VARS_H
#define WSGI_HTTP_VARS_H

#include <stdbool.h>

#include "http/request.h"

typedef struct wsgi__conn_info {
    wsgi__span remote_addr, remote_port; /* port "" on a Unix socket */
    wsgi__span server_name, server_port;
    wsgi__span script_name; /* "" or "/prefix", decoded */
    bool https;
} wsgi__conn_info;

/* Called once per variable; nonzero stops and is returned. */
typedef int (*wsgi__var_cb)(void *user, wsgi__span key, wsgi__span value);

/* A ceiling for scratch that every request of the parser fits under. */
#define WSGI__VARS_MAX_SCRATCH (512 * 1024)

/* Emits REQUEST_METHOD, SCRIPT_NAME, PATH_INFO, QUERY_STRING, REQUEST_URI,
 * RAW_URI, SERVER_NAME, SERVER_PORT, SERVER_PROTOCOL, REMOTE_ADDR, REMOTE_PORT,
 * HTTPS under TLS, CONTENT_TYPE, CONTENT_LENGTH and HTTP_*: each key once,
 * repeated headers joined with ", " (Cookie with "; "), names with '_' and
 * Proxy dropped, Transfer-Encoding dropped.
 *
 * body_length becomes CONTENT_LENGTH where a body was given: for a chunked one
 * it is what came out of the chunks.  scratch is for text that must be made and
 * loses what it had; emitted spans are valid during the callback only, which
 * leaves scratch alone.  dropped (may be NULL) is set to the first header that
 * was dropped for a '_' in its name, or to NULL.
 *
 * PATH_INFO is the decoded path; where script_name is a prefix of it, ending at
 * a '/' or at its end, that prefix is cut off (a proxy may have left it there
 * or not).  For OPTIONS * it is "*".
 *
 * HTTP_HOST is there when the client sent a Host or an absolute-form target.
 * The time grows with n log n of the headers, whatever their names.
 *
 * WSGI_ERR_INVALID for a path that decodes to a NUL, WSGI_ERR_NOMEM. */
int wsgi__vars_each(const wsgi__request *req, const wsgi__conn_info *conn,
                    int64_t body_length, wsgi__buf *scratch,
                    const wsgi__header **dropped, wsgi__var_cb emit,
                    void *user);

/* Whether the variables of a request that is like a model (wsgi__likeness) are
 * those of the model, but for what wsgi__vars_some() emits; of the model itself,
 * whether that can be said of those to come.  The connection is the same. */
bool wsgi__vars_are_alike(const wsgi__request *req);

/* Emits the variables of the request line unless that is the model's,
 * CONTENT_LENGTH, and those of headers[i] where `fields` has 1 << i.  As above
 * in all else. */
int wsgi__vars_some(const wsgi__request *req, const wsgi__conn_info *conn,
                    int64_t body_length, uint64_t fields, wsgi__buf *scratch,
                    wsgi__var_cb emit, void *user);

#endif
