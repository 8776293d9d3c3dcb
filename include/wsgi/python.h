/*
 * libwsgi - the part of the API that speaks Python.
 *
 * Includes Python.h, which wants to come first: include this header before
 * any system header.
 */
#ifndef WSGI_PYTHON_H
#define WSGI_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <wsgi/wsgi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Serves a callable the program already has.  The GIL must be held, in the main
 * interpreter: otherwise WSGI_ERR_STATE.  Takes a new reference,
 * dropped by wsgi_server_free() or the next set_app*. */
WSGI_API int wsgi_server_set_app_object(wsgi_server *server, PyObject *app);

/* Start from WSGI_PYTHON_CONFIG_INIT.  Grows at the end only. */
typedef struct wsgi_python_config {
    size_t size;
    /* Folder of a virtual environment, or NULL: then $VIRTUAL_ENV, if set. */
    const char *venv;
    /* Put before sys.path; NULL-terminated, or NULL. */
    const char *const *path;
    /* sys.argv; NULL-terminated, or NULL for [""]. */
    const char *const *argv;
} wsgi_python_config;

#define WSGI_PYTHON_CONFIG_INIT                                               \
    {                                                                         \
        sizeof(wsgi_python_config), NULL, NULL, NULL                          \
    }

/* Initialises the interpreter without signal handlers and returns with the GIL
 * released.  WSGI_OK and no effect if the program has already initialised
 * Python.  config NULL takes the defaults.  On failure (WSGI_ERR_PYTHON: also a
 * virtual environment that is none or belongs to another Python version;
 * WSGI_ERR_NOMEM; WSGI_ERR_INVALID for a config without its size) `error`, of
 * error_size bytes, gets a message; it may be NULL.  The calling thread becomes
 * Python's main thread. */
WSGI_API int wsgi_python_init(const wsgi_python_config *config, char *error,
                              size_t error_size);

/* Finalises the interpreter if wsgi_python_init() was what initialised it, and
 * unless calls of an application were left behind that do not end.  After
 * every server is freed, on any thread that Python did not make.  Waits for
 * threads of threading.Thread that are no daemons.  Call it at most once:
 * extension modules such as NumPy do not survive a second initialisation. */
WSGI_API void wsgi_python_fini(void);

/* To be called around fork() in a process whose interpreter is initialised. */
WSGI_API void wsgi_python_before_fork(void);
WSGI_API void wsgi_python_after_fork_parent(void);
WSGI_API void wsgi_python_after_fork_child(void);

#ifdef __cplusplus
}
#endif

#endif /* WSGI_PYTHON_H */
