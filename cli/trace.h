/*
 * What passes over connections, in the way of `curl -v`:
 *
 *   [1] * accepted from 127.0.0.1:51000
 *   [1] > POST /x HTTP/1.1
 *   [1] } [5 bytes data] hello
 *   [1] < HTTP/1.1 200 OK
 *   [1] { [2 bytes data] ok
 *
 * The number is the connection's.  Bytes are escaped, a body is shortened.
 */
#ifndef WSGID_TRACE_H
#define WSGID_TRACE_H

#include <stdio.h>

#include <wsgi/wsgi.h>

/* A wsgi_trace_cb: user is a FILE, and one call's lines stay together. */
void trace_write(void *user, wsgi_trace_kind kind, uint64_t connection,
                 const char *data, size_t len);

#endif
