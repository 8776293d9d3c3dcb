/*
 * What the files of a connection share: conn.c has its states and its output,
 * conn_input.c what it reads, conn_job.c what the executor reports,
 * conn_page.c answers without an application, conn_trace.c what is shown of it.
 * For those alone.
 *
 * Most of these may close the connection: look at its state afterwards.
 */
#ifndef WSGI_SERVER_CONN_PARTS_H
#define WSGI_SERVER_CONN_PARTS_H

#include "server/conn.h"

/* ---- conn.c ------------------------------------------------------------- */

/* In HEAD or BODY. */
bool wsgi__conn_is_reading(const wsgi__conn *conn);

/* In HEAD, and no byte of a request has come. */
bool wsgi__conn_is_idle(const wsgi__conn *conn);

/* The one place where the state changes, but for closing: with its deadline and
 * its interest. */
void wsgi__conn_enter(wsgi__conn *conn, wsgi__conn_state state);

/* Starts the deadline of the state anew. */
void wsgi__conn_arm(wsgi__conn *conn);

/* Whether an answer could be queued, by the status of that; else the connection
 * is closed. */
bool wsgi__conn_queued(wsgi__conn *conn, int status);

/* For the flush phase of this turn. */
void wsgi__conn_mark_unflushed(wsgi__conn *conn);

/* Hands the kernel what it takes. */
void wsgi__conn_write_out(wsgi__conn *conn);

/* The answer is complete and the job, if there was one, over: gives the
 * exchange back and goes on with the next request, or ends. */
void wsgi__conn_finish(wsgi__conn *conn);

/* Input is left over, to be parsed later in this turn. */
void wsgi__conn_await_turn(wsgi__conn *conn);

/* ---- conn_input.c ------------------------------------------------------- */

/* Reads and parses what has come. */
void wsgi__conn_read(wsgi__conn *conn);

/* RUN: tells the executor if the client has sent all it will. */
void wsgi__conn_note_leaving(wsgi__conn *conn);

/* LINGER: reads and drops. */
void wsgi__conn_drop_input(wsgi__conn *conn);

/* Answers in the application's place; nothing further is read as a request. */
void wsgi__conn_refuse(wsgi__conn *conn, int code, const char *reason);

/* ---- conn_job.c --------------------------------------------------------- */

extern const wsgi__job_events wsgi__conn_job_events;

/* ---- conn_page.c -------------------------------------------------------- */

/* Answers a complete request with a page of the server's own; false if there is
 * none for it, and it is the application's. */
bool wsgi__conn_answer_page(wsgi__conn *conn);

/* ---- conn_trace.c ------------------------------------------------------- */

void wsgi__conn_trace(const wsgi__conn *conn, wsgi_trace_kind kind,
                      wsgi__span bytes);
void wsgi__conn_trace_text(const wsgi__conn *conn, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A page of the server's own is one piece: head, empty line, body. */
void wsgi__conn_trace_page(const wsgi__conn *conn, wsgi__span page);
void wsgi__conn_trace_chunk(const wsgi__conn *conn, const wsgi__chunk *chunk);

/* For messages: a client on a Unix socket has no address. */
const char *wsgi__conn_peer_name(const wsgi__conn *conn);

#endif
