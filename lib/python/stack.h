/*
 * Where other threads are, as text, and raising something there.
 */
#ifndef WSGI_PYTHON_STACK_H
#define WSGI_PYTHON_STACK_H

#include <stdbool.h>

#include "base/buf.h"

/* Appends the stack of the thread of that number (threading.get_ident()), as
 * Python prints it, most recent call last, without a final newline.  False:
 * there is no such thread in Python, or no memory; out has what could be had.
 * GIL held. */
bool wsgi__stack_of(unsigned long thread, wsgi__buf *out);

/* Appends the stacks of all threads without having the GIL: for when somebody
 * keeps it.  What others change meanwhile may come out wrong.  False where this
 * version of CPython offers no way. */
bool wsgi__stack_of_all(wsgi__buf *out);

/* Raises an exception in that thread, once it runs Python code again: one that
 * `except Exception` does not catch.  `message` is its text.  GIL held. */
bool wsgi__stack_raise(unsigned long thread, const char *message);

#endif
