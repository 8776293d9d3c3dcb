/* Why a request is refused. */
#ifndef WSGI_HTTP_FAULT_H
#define WSGI_HTTP_FAULT_H

typedef struct wsgi__fault {
    int status;         /* to answer; 0: no fault */
    const char *reason; /* an impersonal clause: "bare LF in the head" */
} wsgi__fault;

#define WSGI__NO_FAULT ((wsgi__fault){ 0, 0 })

/* 400 with the reason, or none where that is NULL. */
static inline wsgi__fault
wsgi__bad_request(const char *reason)
{
    return (wsgi__fault){ reason ? 400 : 0, reason };
}

#endif
