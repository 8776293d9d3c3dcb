#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "python/gil.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "python/compat.h"

/* Numbers the threads that come here.  A pthread_t would not do: it is used
 * again once its thread has ended, and the next thread would then take the
 * state of a dead one for its own. */
static unsigned long
this_thread(void)
{
    static atomic_ulong last;
    static _Thread_local unsigned long number;

    if (number == 0)
        number = atomic_fetch_add(&last, 1) + 1;
    return number;
}

bool
wsgi__gil_held(void)
{
    return Py_IsInitialized() && wsgi__py_is_attached();
}

/* PyGILState_Ensure() returns UNLOCKED each time here, because the GIL is not
 * held: so there is nothing to remember of it. */
static void
take(wsgi__gil *gil)
{
    unsigned long self = this_thread();
    gil->foreign = gil->thread != 0 && gil->thread != self;
    if (gil->state && !gil->foreign) {
        PyEval_RestoreThread(gil->state);
        return;
    }
    PyGILState_Ensure();
    if (!gil->foreign)
        gil->thread = self;
}

void
wsgi__gil_enter(wsgi__gil *gil)
{
    if (gil->depth++ > 0)
        return;
    gil->was_held = wsgi__gil_held();
    if (!gil->was_held)
        take(gil);
}

void
wsgi__gil_leave(wsgi__gil *gil)
{
    assert(gil->depth > 0);
    if (--gil->depth > 0 || gil->was_held)
        return;
    if (gil->foreign)
        PyGILState_Release(PyGILState_UNLOCKED);
    else
        gil->state = PyEval_SaveThread();
}

void
wsgi__gil_forget(wsgi__gil *gil)
{
    assert(gil->depth == 0);
    if (gil->state && gil->thread == this_thread() && Py_IsInitialized()) {
        bool held = wsgi__gil_held();
        if (!held)
            PyEval_RestoreThread(gil->state);
        /* Deletes the state unless the host counts on it as well. */
        PyGILState_Release(held ? PyGILState_LOCKED : PyGILState_UNLOCKED);
    }
    memset(gil, 0, sizeof *gil);
}

void *
wsgi__gil_pause(void)
{
    return wsgi__gil_held() ? PyEval_SaveThread() : NULL;
}

void
wsgi__gil_resume(void *paused)
{
    if (paused)
        PyEval_RestoreThread(paused);
}
