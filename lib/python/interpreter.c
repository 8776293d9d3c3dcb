/*
 * The life of the process's one interpreter, as <wsgi/python.h> has it:
 * configured as the python3 command would be, for a virtual environment if
 * there is one, with its signals left to the program.
 */
#include <wsgi/python.h>

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "python/gil.h"
#include "python/interpreter.h"
#include "python/traceback.h"
#include "python/venv.h"

#define MAX_PATH_LEN (64 * 1024)
#define MAX_MESSAGE (64 * 1024)

/* The interpreter is one per process, so is this.  The lock lets two threads
 * that each start a server come here at the same time: the second waits until
 * the interpreter is ready. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    bool ours;        /* we initialised it, so we finalise it */
    void *main_state; /* of the thread that did */
} interpreter;

typedef struct message {
    char *text; /* may be NULL */
    size_t size;
} message;

static int fail(message error, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
fail(message error, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (error.text && error.size > 0)
        vsnprintf(error.text, error.size, format, args);
    va_end(args);
    return status;
}

static int
fail_nomem(message error)
{
    return fail(error, WSGI_ERR_NOMEM, "out of memory");
}

/* Python's own words, and what most often is behind them. */
static int
fail_status(message error, PyStatus status)
{
    const char *home = getenv("PYTHONHOME");
    if (PyStatus_IsExit(status))
        return fail(error, WSGI_ERR_PYTHON,
                    "Python asked to exit with status %d instead of starting",
                    status.exitcode);
    const char *text = status.err_msg ? status.err_msg : "unknown error";
    if (home && *home)
        return fail(error, WSGI_ERR_PYTHON,
                    "Python cannot be initialised: %s (PYTHONHOME is \"%s\": "
                    "unset it unless Python %d.%d is installed there)",
                    text, home, PY_MAJOR_VERSION, PY_MINOR_VERSION);
    return fail(error, WSGI_ERR_PYTHON, "Python cannot be initialised: %s",
                text);
}

/* Takes the exception that is set. */
static int
fail_raised(message error)
{
    wsgi__buf text;
    wsgi__buf_init(&text, MAX_MESSAGE);
    wsgi__traceback_take(&text);
    fail(error, WSGI_ERR_PYTHON, "Python cannot be set up: %s",
         wsgi__buf_str(&text));
    wsgi__buf_free(&text);
    return WSGI_ERR_PYTHON;
}

/* Which environment, or NULL.  A stale $VIRTUAL_ENV is as good as none: the
 * python3 command does not look at it at all. */
static const char *
chosen_venv(const wsgi_python_config *config)
{
    struct stat info;
    if (config->venv)
        return config->venv;
    const char *folder = getenv("VIRTUAL_ENV");
    if (!folder || !*folder || stat(folder, &info) < 0)
        return NULL;
    return folder;
}

/* The interpreter that Python is to take itself for: from there it finds its
 * library and pyvenv.cfg, and it becomes sys.executable. */
static int
find_program(const wsgi_python_config *config, wsgi__buf *program,
             message error)
{
    const char *venv = chosen_venv(config);
    if (!venv) {
        if (wsgi__buf_puts(program, WSGI_PYTHON_EXECUTABLE) < 0)
            return fail_nomem(error);
        return WSGI_OK;
    }
    wsgi__buf reason;
    wsgi__buf_init(&reason, MAX_PATH_LEN);
    int status = wsgi__venv_check(venv, &reason);
    if (status == WSGI_OK &&
        wsgi__buf_printf(program, "%s/bin/python", venv) < 0)
        status = WSGI_ERR_NOMEM;
    if (status == WSGI_ERR_NOMEM)
        fail_nomem(error);
    else if (status < 0)
        fail(error, status, "%s%s", wsgi__buf_str(&reason),
             config->venv ? "" : " (it comes from VIRTUAL_ENV)");
    wsgi__buf_free(&reason);
    return status;
}

/* Locale, UTF-8 mode and allocators as the python3 command has them: under
 * LC_ALL=C, file names and the standard streams are UTF-8. */
static PyStatus
preinitialize(void)
{
    PyPreConfig before;
    PyPreConfig_InitPythonConfig(&before);
    before.parse_argv = 0;
    return Py_PreInitialize(&before);
}

static Py_ssize_t
count(const char *const *list)
{
    Py_ssize_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

static PyStatus
initialize(const wsgi_python_config *from, const char *program)
{
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    config.parse_argv = 0;
    PyStatus status =
        PyConfig_SetBytesString(&config, &config.program_name, program);
    /* Python reads the strings only, whatever its prototype says. */
    if (!PyStatus_Exception(status) && from->argv)
        status = PyConfig_SetBytesArgv(&config, count(from->argv),
                                       (char *const *)from->argv);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

/* -1 with an exception set. */
static int
put_before_path(const char *const *entries)
{
    PyObject *path = PySys_GetObject("path"); /* Borrowed. */
    if (!path || !PyList_Check(path)) {
        PyErr_SetString(PyExc_RuntimeError, "sys.path is no list");
        return -1;
    }
    for (Py_ssize_t i = 0; i < count(entries); i++) {
        PyObject *entry = PyUnicode_DecodeFSDefault(entries[i]);
        int result = entry ? PyList_Insert(path, i, entry) : -1;
        Py_XDECREF(entry);
        if (result < 0)
            return -1;
    }
    return 0;
}

static int
import(const char *name)
{
    PyObject *module = PyImport_ImportModule(name);
    Py_XDECREF(module);
    return module ? 0 : -1;
}

/* The threading module takes the thread that imports it first for the main
 * one, up to 3.12: let that be this one, whichever thread imports the
 * application.  See pass_main_thread_on(). */
static int
claim_main_thread(void)
{
    return import("threading");
}

/* Finalising waits for the end of that thread, unless it is the one that
 * finalises: now it is.  By the name that threading itself gives it: gevent has
 * another one for each.  Without the module, or with another one in its place,
 * there is nothing to wait for. */
static void
pass_main_thread_on(void)
{
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    PyObject *threading = PyDict_GetItemString(modules, "threading");
    Py_XINCREF(threading); /* what is asked now may be anybody's code */
    PyObject *thread =
        threading ? PyObject_GetAttrString(threading, "_main_thread") : NULL;
    PyObject *ident =
        thread ? PyObject_CallMethod(threading, "get_ident", NULL) : NULL;

    if (ident)
        PyObject_SetAttrString(thread, "_ident", ident);
    Py_XDECREF(ident);
    Py_XDECREF(thread);
    Py_XDECREF(threading);
    PyErr_Clear();
}

/* asyncio.run() takes SIGINT from whoever has Python's own handler for it, and
 * gives it back to that. */
static int
forget_sigint(void)
{
    PyObject *module = PyImport_ImportModule("_signal");
    PyObject *before =
        module ? PyObject_CallMethod(module, "signal", "ii", SIGINT, 0) : NULL;
    Py_XDECREF(module);
    Py_XDECREF(before);
    return before ? 0 : -1;
}

/* Whoever imports the signal module first, as subprocess does, turns SIGINT
 * into KeyboardInterrupt where it had its default action, even without
 * install_signal_handlers: Ctrl-C would no longer end the host.  So that is
 * done now, and taken back. */
static int
keep_sigint(void)
{
    struct sigaction action;
    sigaction(SIGINT, NULL, &action);
    int result = import("_signal");
    if (result == 0)
        result = forget_sigint();
    sigaction(SIGINT, &action, NULL);
    return result;
}

static int
start(const wsgi_python_config *config, const char *program, message error)
{
    PyStatus started = preinitialize();
    if (!PyStatus_Exception(started))
        started = initialize(config, program);
    if (PyStatus_Exception(started))
        return fail_status(error, started);
    if (claim_main_thread() < 0 || keep_sigint() < 0 ||
        put_before_path(config->path) < 0) {
        int status = fail_raised(error);
        Py_FinalizeEx();
        return status;
    }
    interpreter.ours = true;
    interpreter.main_state = wsgi__gil_pause();
    return WSGI_OK;
}

/* What an older program does not know of stays at its default. */
static int
read_config(const wsgi_python_config *from, wsgi_python_config *config,
            message error)
{
    *config = (wsgi_python_config)WSGI_PYTHON_CONFIG_INIT;
    if (!from)
        return WSGI_OK;
    if (from->size < sizeof(from->size))
        return fail(error, WSGI_ERR_INVALID,
                    "wsgi_python_config.size is %zu: start from "
                    "WSGI_PYTHON_CONFIG_INIT",
                    from->size);
    memcpy(config, from,
           from->size < sizeof(*config) ? from->size : sizeof(*config));
    return WSGI_OK;
}

/* The lock is held. */
static int
init_locked(const wsgi_python_config *config, message error)
{
    if (Py_IsInitialized())
        return WSGI_OK;
    wsgi__buf program;
    wsgi__buf_init(&program, MAX_PATH_LEN);
    int status = find_program(config, &program, error);
    if (status == WSGI_OK && wsgi__buf_append(&program, "", 1) < 0)
        status = fail_nomem(error);
    if (status == WSGI_OK)
        status = start(config, program.data, error);
    wsgi__buf_free(&program);
    return status;
}

int
wsgi_python_init(const wsgi_python_config *from, char *text, size_t text_size)
{
    message error = { text, text_size };
    wsgi_python_config config;
    int status = read_config(from, &config, error);
    /* A thread that holds the GIL must not wait for the lock. */
    if (status < 0 || wsgi__gil_held())
        return status;
    pthread_mutex_lock(&lock);
    status = init_locked(&config, error);
    pthread_mutex_unlock(&lock);
    return status;
}

static atomic_bool kept;

void
wsgi__interpreter_keep(void)
{
    atomic_store(&kept, true);
}

void
wsgi_python_fini(void)
{
    pthread_mutex_lock(&lock);
    /* Calls that do not end would meet an interpreter that is gone. */
    if (interpreter.ours && !atomic_load(&kept) && Py_IsInitialized()) {
        if (!wsgi__gil_held())
            wsgi__gil_resume(interpreter.main_state);
        pass_main_thread_on();
        Py_FinalizeEx();
    }
    interpreter.ours = false;
    interpreter.main_state = NULL;
    pthread_mutex_unlock(&lock);
}

/* From before fork() until after it, in both processes; other threads may fork
 * as well. */
static _Thread_local wsgi__gil forking;

void
wsgi_python_before_fork(void)
{
    if (!Py_IsInitialized())
        return;
    wsgi__gil_enter(&forking);
    PyOS_BeforeFork();
}

static void
after_fork(void (*tell_python)(void))
{
    if (forking.depth == 0)
        return;
    tell_python();
    wsgi__gil_leave(&forking);
    wsgi__gil_forget(&forking);
}

void
wsgi_python_after_fork_parent(void)
{
    after_fork(PyOS_AfterFork_Parent);
}

void
wsgi_python_after_fork_child(void)
{
    after_fork(PyOS_AfterFork_Child);
}
