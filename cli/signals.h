/*
 * Signals of a process that serves, as gunicorn's users know them; a supervisor
 * has its own, see <wsgi/supervisor.h>:
 *
 *   TERM, INT   finish the requests under way, then end; again: end now
 *   QUIT        end now
 *   USR1, HUP   reopen the log files; HUP says that new code needs a restart
 *               (not in a worker, where HUP is the supervisor's)
 *   USR2        is said to need a supervisor
 *   PIPE        ignored: a client that left is no reason to end
 *
 * One stop signal more, after "now", ends the process itself.  TERM, INT and
 * QUIT end processes that the application forks as they end any other.
 */
#ifndef WSGID_SIGNALS_H
#define WSGID_SIGNALS_H

#include <wsgi/wsgi.h>

#include "errorlog.h"

/* Lets all through: whoever started this process may have blocked some, which it
 * inherits. */
void signals_unblock(void);

/* USR1, USR2, HUP and PIPE, from now on.  access is the access log's file or NULL;
 * both outlive the handlers. */
void signals_watch_logs(errorlog *errors, logfile *access);

/* The same in a worker: HUP and USR2 are left as they are. */
void signals_watch_logs_of_worker(errorlog *errors, logfile *access);

/* TERM, INT and QUIT, which until then end the process as they always do. */
void signals_watch_stop(wsgi_server *server);

/* After serving: TERM, INT and QUIT end the process again.  Returns the signal
 * that stopped the server, or 0. */
int signals_forget_stop(void);

/* Before the logs are closed: USR1, USR2 and HUP do nothing from here on. */
void signals_forget_logs(void);

/* "SIGTERM" */
const char *signals_name(int number);

#endif
