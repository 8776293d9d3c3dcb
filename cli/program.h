/*
 * What one run of wsgid has: options, logs, the server, and how it fails.
 *
 * The supervisor and its workers are copies of each other up to the fork.
 */
#ifndef WSGID_PROGRAM_H
#define WSGID_PROGRAM_H

#include <stdatomic.h>

#include <wsgi/supervisor.h>
#include <wsgi/wsgi.h>

#include "accesslog.h"
#include "args.h"
#include "detach.h"
#include "errorlog.h"
#include "identity.h"
#include "notify.h"
#include "pidfile.h"
#include "watcher.h"

#define PROGRAM_MESSAGE 4096

/* Exit codes. */
enum {
    DONE = 0,
    WRONG_OUTPUT = 1, /* stdout cannot be written */
    WRONG_USAGE = 2,  /* the command line is wrong */
    CANNOT_BOOT = 3,  /* an address, a file or Python is not to be had */
    CANNOT_IMPORT = 4 /* the application cannot be imported */
};

/* What reload.c has. */
typedef struct reloading {
    watcher watcher;
    int from, to;     /* a pipe with names of files, of the workers */
    int timer;        /* from a change to the reload; -1 like these: none */
    char names[8192]; /* read from the pipe */
    size_t n_names;
    char changed[4096]; /* what has changed last */
    bool complained;
} reloading;

typedef struct program {
    args options;
    char *const *argv;
    char *folder;     /* where it was started */
    unsigned workers; /* 0: without a supervisor */
    wsgi_server *server;
    wsgi_supervisor *supervisor;
    errorlog errors;
    accesslog access;
    pidfile pid;
    detach terminal;
    identity who;
    notify manager;
    reloading reload;
    /* Some process has said why it failed; shared with the workers.  NULL until
     * there can be one. */
    atomic_bool *explained;
    long successor;   /* the process of an upgrade; 0: none */
    long predecessor; /* whose upgrade this one is; 0: nobody's */
    bool python;      /* was started, and is to be ended */
    bool served;      /* the start has been announced */
    bool stopping;    /* the workers have been told */
} program;

/* Says why on stderr, and in the error log too where that is a file; once it has
 * served, in the log alone.  Returns code. */
int program_fail(program *self, int code, const char *why);

/* The same with errno and what to do about it. */
int program_fail_errno(program *self, const char *option, const char *value);

/* The same with the text of the server. */
int program_fail_server(program *self, int code);

/* Where those who watch it ask; NULL: nowhere. */
const char *program_monitor_address(const program *self, wsgi_monitor what);

/* Says what is served, and where. */
void program_greet(program *self);

/* The last line; signal is what stopped it, or 0. */
void program_say_stopped(program *self, int signal);

#endif
