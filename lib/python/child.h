/*
 * The end of a process that the application forked.
 *
 * Such a process has a copy of the server, whose sockets and event loop are
 * the parent's: it must not go on serving.  GIL held in every function.
 */
#ifndef WSGI_PYTHON_CHILD_H
#define WSGI_PYTHON_CHILD_H

/* What the process is to end with, if SystemExit is set with None or a number,
 * which is then cleared; -1 otherwise. */
int wsgi__child_status(void);

/* Flushes sys.stdout and sys.stderr and ends the process, as multiprocessing
 * does: without exit handlers and buffers, which the parent has too. */
_Noreturn void wsgi__child_exit(int status);

#endif
