#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "python/gil.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

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

/* Whether the calling thread has a thread state attached.  Python is
 * initialised. */
static bool
is_attached(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    return PyThreadState_GetUnchecked() != NULL;
#elif PY_VERSION_HEX >= 0x030c0000
    return _PyThreadState_UncheckedGet() != NULL;
#else
    /* Before 3.12 there is one current state for the whole process, so it may
     * be another thread's: which may be freed at any moment, hence must not be
     * looked into while comparing pointers is enough. */
    PyThreadState *current = _PyThreadState_UncheckedGet();
    PyThreadState *mine = PyGILState_GetThisThreadState();
    if (!current || !mine || current == mine)
        return current && mine;
    /* Only a sub-interpreter gives a thread a second state.  They are put at
     * the head of the list. */
    if (PyInterpreterState_Head() == PyInterpreterState_Main())
        return false;
    return current->thread_id == PyThread_get_thread_ident();
#endif
}

bool
wsgi__gil_held(void)
{
    return Py_IsInitialized() && is_attached();
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

/* PyGILState_Ensure() ends the process when it has no memory for a new state.
 * One that is made beforehand counts as one use, which forgetting gives up. */
static bool
make_state(wsgi__gil *gil)
{
    if (gil->state || gil->thread != 0 || PyGILState_GetThisThreadState())
        return true;
    PyThreadState *state = PyThreadState_New(PyInterpreterState_Main());
    if (!state)
        return false;
    gil->state = state;
    gil->thread = this_thread();
    return true;
}

bool
wsgi__gil_try_enter(wsgi__gil *gil)
{
    if (gil->depth == 0 && !wsgi__gil_held() && !make_state(gil))
        return false;
    wsgi__gil_enter(gil);
    return true;
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
        bool held = wsgi__gil_held() && PyThreadState_Get() == gil->state;
        /* That of a sub-interpreter, perhaps. */
        void *other = held ? NULL : wsgi__gil_pause();
        if (!held)
            PyEval_RestoreThread(gil->state);
        /* Deletes the state unless the host counts on it as well. */
        PyGILState_Release(held ? PyGILState_LOCKED : PyGILState_UNLOCKED);
        wsgi__gil_resume(other);
    }
    memset(gil, 0, sizeof(*gil));
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
