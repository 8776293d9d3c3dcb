/*
 * Whether a folder is a virtual environment that this Python can use.  Needs
 * no interpreter.
 */
#ifndef WSGI_PYTHON_VENV_H
#define WSGI_PYTHON_VENV_H

#include "base/buf.h"

/* WSGI_OK; WSGI_ERR_PYTHON when it is none, or belongs to another version of
 * Python than the one compiled against: `reason`, which is empty before, then
 * names the folder, both versions and the remedy in one line.
 * WSGI_ERR_NOMEM. */
int wsgi__venv_check(const char *folder, wsgi__buf *reason);

#endif
