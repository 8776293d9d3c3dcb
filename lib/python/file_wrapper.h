/*
 * wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling").
 *
 * Called by applications as file_wrapper(filelike, blksize=8192), it gives an
 * iterable of blocks with a close().  A server that finds one returned as it is
 * may ask whether the kernel can send the file.  GIL held in every function.
 */
#ifndef WSGI_PYTHON_FILE_WRAPPER_H
#define WSGI_PYTHON_FILE_WRAPPER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <sys/types.h>

/* The type, and the types of io whose read() gives what the descriptor has:
 * gzip.GzipFile and others have a fileno() too, of the packed file. */
typedef struct wsgi__file_types {
    PyTypeObject *wrapper;
    PyObject *raw, *reader, *random; /* FileIO, BufferedReader, -Random */
    PyObject *attr_raw, *attr_fileno, *attr_tell, *attr_flush;
} wsgi__file_types;

typedef struct wsgi__file {
    int fd;
    off_t at;
    int64_t len; /* from `at` to the end */
} wsgi__file;

/* -1 with an exception set; clear then too. */
int wsgi__file_types_init(wsgi__file_types *types);
void wsgi__file_types_clear(wsgi__file_types *types);

/* 1: object wraps a regular file, and *file is what is left to read of it; it
 * is open as long as nobody closes object.  0: it has to be read.  -1 with an
 * exception set. */
int wsgi__file_wrapper_file(const wsgi__file_types *types, PyObject *object,
                            wsgi__file *file);

#endif
