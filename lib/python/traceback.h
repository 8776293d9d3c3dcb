/* Exceptions and stacks as text.  GIL held in every function. */
#ifndef WSGI_PYTHON_TRACEBACK_H
#define WSGI_PYTHON_TRACEBACK_H

#include "base/buf.h"

/* Appends the exception that is set, with its traceback and causes as Python
 * prints them, without a final newline, and clears it.  Never fails: when
 * formatting itself raises, the type's name is what is left.  Non-ASCII text
 * is UTF-8, what cannot be encoded is escaped. */
void wsgi__traceback_take(wsgi__buf *out);

#endif
