/* Exceptions and stacks as text.  GIL held in every function. */
#ifndef WSGI_PYTHON_TRACEBACK_H
#define WSGI_PYTHON_TRACEBACK_H

#include "base/buf.h"

/* Appends the exception that is set, with its traceback and causes as Python
 * prints them, without a final newline, and clears it; nothing when none is
 * set.  Never fails: when formatting itself raises, or the text has no room,
 * what is left is frames, type and text, as far as they can be had.  Non-ASCII
 * text is UTF-8, what cannot be encoded is escaped. */
void wsgi__traceback_take(wsgi__buf *out);

#endif
