/*
 * Taking and giving back the GIL: the only place that does.
 *
 * GIL not needed in any function here, but wsgi__gil_held() knows.  Under a
 * free-threaded CPython "GIL" means an attached thread state.  Python is
 * initialised, except where a function says otherwise.
 */
#ifndef WSGI_PYTHON_GIL_H
#define WSGI_PYTHON_GIL_H

#include <stdbool.h>

/* Whether the calling thread holds the GIL.  False before Python is
 * initialised and after it is finalised.  PyGILState_Check() is no answer to
 * this: it says 1 after a release once a sub-interpreter exists. */
bool wsgi__gil_held(void);

/* One thread's way into Python, owned by whoever runs that thread.
 * Zero-filled is "never entered".  Keeps the thread's state between
 * enter and leave, so that threading.local lives as long as the thread and
 * entering costs 0.03 us instead of 0.33.
 *
 * Another thread may use it too, if not at the same time: it pays the full
 * price, and the state that is kept stays the first thread's. */
typedef struct wsgi__gil {
    void *state; /* PyThreadState kept for the thread that entered first */
    unsigned long thread; /* number of that thread; 0 before it entered */
    int depth;            /* enter without leave */
    bool was_held;        /* the outermost enter found the GIL held */
    bool foreign;         /* the outermost enter is on another thread */
} wsgi__gil;

/* Takes the GIL; nothing when this thread holds it.  Nests, but not between
 * wsgi__gil_pause() and wsgi__gil_resume() within. */
void wsgi__gil_enter(wsgi__gil *gil);

/* The same where memory may be short: false when there is none for the state of
 * a thread that has not been here before, and nothing has happened. */
bool wsgi__gil_try_enter(wsgi__gil *gil);

/* Gives it back; nothing when the outermost enter found it held. */
void wsgi__gil_leave(wsgi__gil *gil);

/* Gives up the kept state and zero-fills.  Called by the thread that entered:
 * on any other, the state stays until Python is finalised, because its thread
 * may live and have other uses for it.  After Python is finalised, it only
 * zero-fills. */
void wsgi__gil_forget(wsgi__gil *gil);

/* Around something that blocks: gives back the GIL if this thread holds it,
 * and takes it again.  pause gives NULL, and resume(NULL) does nothing, when
 * it is not held; also before Python is initialised. */
void *wsgi__gil_pause(void);
void wsgi__gil_resume(void *paused);

#endif
