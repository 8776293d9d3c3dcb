/* Where a thread is, and raising something there. */
#include "support/python.h"

#include <criterion/criterion.h>

#include <wsgi/python.h>

#include "base/buf.h"
#include "python/stack.h"

TestSuite(stack, .init = python_start, .fini = python_stop);

/* A thread that is in far_down(), and what it met there. */
static const char *const source =
    "import threading, time\n"
    "met, ready = [], threading.Event()\n"
    "def far_down():\n"
    "    ready.set()\n"
    "    try:\n"
    "        for _ in range(2000): time.sleep(0.01)\n"
    "    except BaseException as e: met.append(e)\n"
    "thread = threading.Thread(target=far_down)\n"
    "thread.start(); ready.wait()\n";

static unsigned long
id_of_thread(PyObject *module)
{
    PyObject *id = python_get(module, "thread.ident");
    unsigned long number = PyLong_AsUnsignedLong(id);
    Py_DECREF(id);
    return number;
}

Test(stack, of_another_thread)
{
    wsgi__buf out;
    wsgi__buf_init(&out, 65536);
    PyObject *module = python_module("sleeper", source);
    unsigned long id = id_of_thread(module);
    cr_expect(wsgi__stack_of(id, &out));
    cr_expect(strstr(wsgi__buf_str(&out), ", in far_down"), "%s",
              wsgi__buf_str(&out));
    cr_expect_neq(out.data[out.len - 1], '\n');
    cr_expect(python_quiet());

    cr_expect(wsgi__stack_raise(id, "too long"));
    cr_expect(python_true(module, "thread.join(20) is None"));
    cr_expect(python_true(module, "isinstance(met[0], SystemExit)"));
    cr_expect(python_true(module, "not isinstance(met[0], Exception)"));
    cr_expect(python_true(module, "'too long' in type(met[0]).__doc__"));

    wsgi__buf_reset(&out);
    cr_expect_not(wsgi__stack_of(id, &out), "it has ended");
    cr_expect_not(wsgi__stack_raise(id, "too late"));
    cr_expect_eq(out.len, 0);
    cr_expect(python_quiet());
    wsgi__buf_free(&out);
    Py_DECREF(module);
}

Test(stack, of_all_without_the_gil)
{
    wsgi__buf out;
    wsgi__buf_init(&out, 65536);
    PyObject *module = python_module("sleeper", source);
    unsigned long id = id_of_thread(module);
    PyThreadState *gil = PyEval_SaveThread();
    bool found = wsgi__stack_of_all(&out);
    PyEval_RestoreThread(gil);
    /* Not every version of CPython shows how. */
    if (found)
        cr_expect(strstr(wsgi__buf_str(&out), " in far_down"), "%s",
                  wsgi__buf_str(&out));
    cr_expect(wsgi__stack_raise(id, "enough"));
    cr_expect(python_true(module, "thread.join(20) is None"));
    wsgi__buf_free(&out);
    Py_DECREF(module);
}
