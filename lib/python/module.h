/*
 * The module that an application is in, by its name or by its file.  GIL held
 * in every function.
 */
#ifndef WSGI_PYTHON_MODULE_H
#define WSGI_PYTHON_MODULE_H

#include "python/loading.h"

/* WSGI_OK: *module is a new reference.  Else WSGI_ERR_APP_IMPORT, *module is
 * NULL, the story is told and no exception is left set. */
int wsgi__module_load(wsgi__loading *loading, PyObject **module);

#endif
