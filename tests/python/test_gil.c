#include "support/python.h"

#include <criterion/criterion.h>
#include <pthread.h>

#include "python/gil.h"

/* python_start() leaves the GIL with the test's own thread, as a host that
 * embeds Python may.  The threading module takes the thread that imports it
 * first for the main one, and finalising waits for that. */
static void
start(void)
{
    python_start();
    PyObject *threading = PyImport_ImportModule("threading");
    cr_assert_not_null(threading);
    Py_DECREF(threading);
}

TestSuite(gil, .init = start, .fini = python_stop);

static int
n_states(void)
{
    int n = 0;
    PyInterpreterState *interpreter = PyInterpreterState_Main();
    for (PyThreadState *state = PyInterpreterState_ThreadHead(interpreter);
         state; state = PyThreadState_Next(state))
        n++;
    return n;
}

/* Runs a thread while this one is without the GIL. */
static void
run(void *(*body)(void *), void *arg)
{
    pthread_t thread;
    PyThreadState *state = PyEval_SaveThread();
    cr_assert_eq(pthread_create(&thread, NULL, body, arg), 0);
    pthread_join(thread, NULL);
    PyEval_RestoreThread(state);
}

Test(gil, of_the_host_is_left_with_it)
{
    wsgi__gil gil = { 0 };
    cr_expect(wsgi__gil_held());
    wsgi__gil_enter(&gil);
    cr_expect(wsgi__gil_held());
    wsgi__gil_leave(&gil);
    cr_expect(wsgi__gil_held());
    wsgi__gil_forget(&gil);
    cr_expect(wsgi__gil_held());
    cr_expect_eq(n_states(), 1);
}

Test(gil, pause_gives_it_back_and_resume_takes_it)
{
    void *paused = wsgi__gil_pause();
    cr_expect_not_null(paused);
    cr_expect_not(wsgi__gil_held());
    cr_expect_null(wsgi__gil_pause(), "there is nothing to give back");
    wsgi__gil_resume(NULL);
    cr_expect_not(wsgi__gil_held());
    wsgi__gil_resume(paused);
    cr_expect(wsgi__gil_held());
}

Test(gil, host_thread_without_it_enters_with_its_own_state)
{
    wsgi__gil gil = { 0 };
    PyThreadState *host = PyThreadState_Get();
    void *paused = wsgi__gil_pause();
    for (int i = 0; i < 3; i++) {
        wsgi__gil_enter(&gil);
        cr_expect_eq(PyThreadState_Get(), host);
        wsgi__gil_leave(&gil);
        cr_expect_not(wsgi__gil_held());
    }
    wsgi__gil_forget(&gil);
    wsgi__gil_resume(paused);
    cr_expect_eq(PyThreadState_Get(), host);
    cr_expect_eq(n_states(), 1);
}

static PyObject *local_module;

static void *
count_in_a_thread_local(void *arg)
{
    wsgi__gil gil = { 0 };
    PyThreadState *state = NULL;
    cr_expect_not(wsgi__gil_held(), "a new thread holds nothing");
    for (int i = 1; i <= 3; i++) {
        wsgi__gil_enter(&gil);
        cr_expect(wsgi__gil_held());
        PyObject *n = PyObject_CallMethod(local_module, "next", NULL);
        cr_expect(n && PyLong_AsLong(n) == i, "threading.local is lost");
        Py_XDECREF(n);
        if (!state)
            state = PyThreadState_Get();
        cr_expect_eq(PyThreadState_Get(), state);
        wsgi__gil_leave(&gil);
        cr_expect_not(wsgi__gil_held());
    }
    wsgi__gil_enter(&gil);
    *(int *)arg = n_states();
    wsgi__gil_leave(&gil);
    wsgi__gil_forget(&gil);
    return NULL;
}

Test(gil, keeps_thread_locals_until_it_is_forgotten)
{
    local_module = python_module("counting", "import threading\n"
                                             "here = threading.local()\n"
                                             "def next():\n"
                                             "    here.n = getattr(here, "
                                             "'n', 0) + 1\n"
                                             "    return here.n\n");
    for (int i = 0; i < 3; i++) {
        int inside = 0;
        run(count_in_a_thread_local, &inside);
        cr_expect_eq(inside, 2);
        cr_expect_eq(n_states(), 1, "a state was left behind");
    }
    Py_CLEAR(local_module);
}

static void *
nest(void *arg)
{
    wsgi__gil *gil = arg;
    wsgi__gil_enter(gil);
    wsgi__gil_enter(gil);
    wsgi__gil_enter(gil);
    wsgi__gil_leave(gil);
    wsgi__gil_leave(gil);
    cr_expect(wsgi__gil_held(), "the inner leave gave it back");
    wsgi__gil_leave(gil);
    cr_expect_not(wsgi__gil_held());
    wsgi__gil_forget(gil);
    return NULL;
}

Test(gil, nests)
{
    wsgi__gil gil = { 0 };
    run(nest, &gil);
    cr_expect_eq(n_states(), 1);
}

static void *
enter_once(void *arg)
{
    wsgi__gil *gil = arg;
    wsgi__gil_enter(gil);
    cr_expect(wsgi__gil_held());
    PyRun_SimpleString("import threading; threading.get_ident()");
    wsgi__gil_leave(gil);
    cr_expect_not(wsgi__gil_held());
    return NULL;
}

Test(gil, serves_another_thread_than_the_one_it_keeps)
{
    wsgi__gil gil = { 0 };
    void *paused = wsgi__gil_pause();
    enter_once(&gil);
    void *kept = gil.state;
    wsgi__gil_resume(paused);
    run(enter_once, &gil);
    cr_expect_eq(gil.state, kept, "the state of the first is kept");
    cr_expect_eq(n_states(), 1, "the other's is not");
    paused = wsgi__gil_pause();
    enter_once(&gil);
    wsgi__gil_forget(&gil);
    wsgi__gil_resume(paused);
}

/* glibc gives the next thread the pthread_t, and the stack, of the last. */
Test(gil, does_not_take_the_state_of_a_thread_that_has_ended)
{
    wsgi__gil gil = { 0 };
    run(enter_once, &gil);
    void *kept = gil.state;
    cr_expect_not_null(kept);
    run(enter_once, &gil);
    cr_expect_eq(gil.state, kept);
    cr_expect_eq(n_states(), 2);
    wsgi__gil_forget(&gil);
    cr_expect_null(gil.state);
    cr_expect_eq(n_states(), 2, "it is Python's to delete");
}

static void *
is_held(void *arg)
{
    *(bool *)arg = wsgi__gil_held();
    return NULL;
}

/* Looks from a thread that has been in Python, while this one holds the GIL. */
static void *
enter_then_look(void *arg)
{
    wsgi__gil gil = { 0 };
    pthread_barrier_t *meet = arg;
    wsgi__gil_enter(&gil);
    wsgi__gil_leave(&gil);
    pthread_barrier_wait(meet);
    pthread_barrier_wait(meet);
    cr_expect_not(wsgi__gil_held(), "it is another thread's");
    pthread_barrier_wait(meet);
    wsgi__gil_forget(&gil);
    return NULL;
}

Test(gil, of_another_thread_is_not_held)
{
    pthread_barrier_t meet;
    pthread_t thread;
    bool held = true;
    pthread_barrier_init(&meet, NULL, 2);
    void *paused = wsgi__gil_pause();
    pthread_create(&thread, NULL, enter_then_look, &meet);
    pthread_barrier_wait(&meet);
    wsgi__gil_resume(paused);
    pthread_barrier_wait(&meet); /* it looks while this thread has it */
    pthread_barrier_wait(&meet);
    pthread_t other;
    pthread_create(&other, NULL, is_held, &held);
    pthread_join(other, NULL);
    cr_expect_not(held);
    paused = wsgi__gil_pause();
    pthread_join(thread, NULL);
    wsgi__gil_resume(paused);
    pthread_barrier_destroy(&meet);
}

Test(gil, is_told_apart_under_a_sub_interpreter)
{
    PyThreadState *first = PyThreadState_Get();
    PyThreadState *sub = Py_NewInterpreter();
    cr_assert_not_null(sub);
    cr_expect(wsgi__gil_held(), "in the sub-interpreter");
    void *paused = wsgi__gil_pause();
    cr_expect_not(wsgi__gil_held(), "after a release there");
    wsgi__gil_resume(paused);
    cr_expect_eq(PyThreadState_Get(), sub);
    PyThreadState_Swap(first);
    cr_expect(wsgi__gil_held(), "in the first, beside a sub-interpreter");
    paused = wsgi__gil_pause();
    cr_expect_not(wsgi__gil_held());
    wsgi__gil_resume(paused);
    bool held = true;
    PyThreadState_Swap(sub);
    pthread_t thread;
    pthread_create(&thread, NULL, is_held, &held);
    pthread_join(thread, NULL);
    cr_expect_not(held, "another thread, meanwhile");
    Py_EndInterpreter(sub);
    PyThreadState_Swap(first);
}

/* A host may free its server while it is in a sub-interpreter. */
Test(gil, is_forgotten_in_a_sub_interpreter)
{
    wsgi__gil gil = { 0 };
    PyThreadState *first = PyThreadState_Get();
    PyEval_SaveThread();
    wsgi__gil_enter(&gil);
    wsgi__gil_leave(&gil);
    PyEval_RestoreThread(first);
    PyThreadState *sub = Py_NewInterpreter();
    cr_assert_not_null(sub);
    wsgi__gil_forget(&gil);
    cr_expect_eq(PyThreadState_Get(), sub);
    Py_EndInterpreter(sub);
    PyThreadState_Swap(first);
}

static void *
enter_many(void *arg)
{
    wsgi__gil gil = { 0 };
    long *counter = arg;
    for (int i = 0; i < 2000; i++) {
        wsgi__gil_enter(&gil);
        ++*counter; /* the GIL is what protects it */
        wsgi__gil_leave(&gil);
    }
    wsgi__gil_forget(&gil);
    return NULL;
}

Test(gil, excludes)
{
    enum { N = 4 };
    pthread_t threads[N];
    long counter = 0;
    void *paused = wsgi__gil_pause();
    for (int i = 0; i < N; i++)
        pthread_create(&threads[i], NULL, enter_many, &counter);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    wsgi__gil_resume(paused);
    cr_expect_eq(counter, N * 2000);
    cr_expect_eq(n_states(), 1);
}

Test(gil_without_python, is_never_held)
{
    wsgi__gil gil = { 0 };
    cr_expect_not(wsgi__gil_held());
    cr_expect_null(wsgi__gil_pause());
    wsgi__gil_resume(NULL);
    wsgi__gil_forget(&gil);
    python_start();
    wsgi__gil kept = { 0 };
    void *paused = wsgi__gil_pause();
    wsgi__gil_enter(&kept);
    wsgi__gil_leave(&kept);
    wsgi__gil_resume(paused);
    python_stop();
    cr_expect_not(wsgi__gil_held(), "after it is finalised");
    cr_expect_null(wsgi__gil_pause());
    wsgi__gil_forget(&kept);
    cr_expect_null(kept.state);
}
