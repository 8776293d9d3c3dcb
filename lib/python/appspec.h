/* How an application is named: "module:callable" and its kin.  Pure. */
#ifndef WSGI_PYTHON_APPSPEC_H
#define WSGI_PYTHON_APPSPEC_H

#include "base/buf.h"
#include "base/span.h"

/* Spans into the text that was parsed. */
typedef struct wsgi__appspec {
    wsgi__span text;   /* all of it */
    wsgi__span module; /* "package.module", or the path of a file */
    wsgi__span attr;   /* "name[.name]..."; empty: application or app */
    bool is_file;      /* a '/' in it, or ".py" at its end */
    bool is_call;      /* "()" behind the attribute */
} wsgi__appspec;

/* WSGI_OK, or WSGI_ERR_INVALID: `error` then says what was expected. */
int wsgi__appspec_parse(const char *text, wsgi__appspec *spec,
                        wsgi__buf *error);

#endif
