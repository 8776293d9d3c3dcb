/*
 * The life of the interpreter, beyond what <wsgi/python.h> tells.
 */
#ifndef WSGI_PYTHON_INTERPRETER_H
#define WSGI_PYTHON_INTERPRETER_H

/* Calls of the application do not end: from here on wsgi_python_fini() leaves
 * the interpreter to the end of the process.  Any thread, no GIL. */
void wsgi__interpreter_keep(void);

#endif
