/*
 * What is said beside an error of an import: near names, where Python looked,
 * what there is instead.  GIL held in every function.
 *
 * Each appends whole lines that start with a newline, or nothing.  None fails:
 * a hint that cannot be had is left out, and no exception is left set.  None
 * may be set on entry.
 */
#ifndef WSGI_PYTHON_HINTS_H
#define WSGI_PYTHON_HINTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/buf.h"

/* "Did you mean ...?": the modules like `name`, which was not found.  A dotted
 * name is compared where it ends: within its package, if that was imported. */
void wsgi__hints_near_modules(wsgi__buf *out, PyObject *name);

/* The module in a folder of the current directory, and how to get there. */
void wsgi__hints_below(wsgi__buf *out, PyObject *name);

/* "Did you mean ...?" among the files of the folder. */
void wsgi__hints_near_files(wsgi__buf *out, PyObject *folder, PyObject *path);

/* The current directory and sys.path, an entry a line; and a word when the
 * current directory is not on it. */
void wsgi__hints_search_path(wsgi__buf *out);

/* "Did you mean ...?" among the attributes of the object, and a module's
 * submodule of that name. */
void wsgi__hints_near_attributes(wsgi__buf *out, PyObject *object,
                                 PyObject *name);

/* The file that the module came from, and the one of the same name in the current
 * directory that it hides. */
void wsgi__hints_origin(wsgi__buf *out, PyObject *module);

/* The modules in a package. */
void wsgi__hints_submodules(wsgi__buf *out, PyObject *module);

/* The public callables that a module or class has. */
void wsgi__hints_callables(wsgi__buf *out, PyObject *object);

#endif
