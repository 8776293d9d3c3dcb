/*
 * How a process ended, in words.  Pure.
 */
#ifndef WSGI_SERVER_SUPERVISOR_CAUSE_H
#define WSGI_SERVER_SUPERVISOR_CAUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the supervisor had told it last. */
typedef enum wsgi__told {
    WSGI__TOLD_NOTHING = 0,
    WSGI__TOLD_DRAIN,
    WSGI__TOLD_END,
    WSGI__KILLED_SILENT, /* by SIGABRT and SIGKILL: no sign of life */
    WSGI__KILLED_LATE,   /* it drained for too long */
    WSGI__KILLED_SLOW,   /* it was told to end and did not */
    WSGI__KILLED_ASKED   /* the user was not willing to wait */
} wsgi__told;

typedef struct wsgi__death {
    const char *who; /* "worker 3" */
    int64_t pid;
    int status; /* of waitpid() */
    wsgi__told told;
    bool drained;       /* its server had begun to, whoever had told it */
    uint64_t limit_ms;  /* that it has passed, for SILENT and LATE */
    bool out_of_memory; /* the kernel has counted a kill in its group */
} wsgi__death;

/* One line, such as "worker 3 (pid 4711) was killed by SIGSEGV". */
void wsgi__cause_text(const wsgi__death *death, char *text, size_t size);

/* Whether it is no more than what it had been told to do. */
bool wsgi__cause_is_expected(const wsgi__death *death);

#endif
