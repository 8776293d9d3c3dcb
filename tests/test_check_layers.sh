#!/bin/sh
# Does check_layers.sh see what it is there for?  Each case puts one line into
# one file of a small tree, and says whether that is a breach.
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d) || exit 2
trap 'rm -rf "$tree"' EXIT
failed=0
n=0

fresh_tree() {
    rm -rf "${tree:?}/lib" "$tree/cli"
    mkdir -p "$tree/lib/base" "$tree/lib/http" "$tree/lib/net" \
        "$tree/lib/python" "$tree/lib/server" "$tree/cli"
    cp "$here/../lib/LAYERS" "$tree/lib/LAYERS"
    echo '#include "base/mem.h"' >"$tree/lib/http/clean.c"
    echo '#include "args.h"' >"$tree/cli/main.c"
    : >"$tree/cli/args.h"
}

# expect ok|breach FILE LINE...: the lines are the file.
expect() {
    wanted=$1 file=$2
    shift 2
    fresh_tree
    mkdir -p "$tree/$(dirname "$file")"
    printf '%s\n' "$@" >"$tree/$file"
    found=$(sh "$here/check_layers.sh" "$tree") && got=ok || got=breach
    n=$((n + 1))
    [ "$got" = breach ] && case $found in "$file:$#: "*) ;; *) got="no place" ;; esac
    [ "$got" = "$wanted" ] && return
    echo "FAIL: $file: $*: $got, expected $wanted"
    [ -z "$found" ] || echo "    $found"
    failed=1
}

# The arrows.  A breach is in the last line of its file.
expect ok lib/base/a.c '#include "base/b.h"' '#include <stdio.h>' '#include <wsgi/wsgi.h>'
expect ok lib/http/a.c '#include "base/b.h"' '#include "http/b.h"'
expect ok lib/python/a.h '#include "base/b.h"' '#include "http/b.h"'
expect ok lib/server/a.c '#include "net/b.h"' '#include "python/b.h"' '#include "http/b.h"'
expect breach lib/base/a.c '#include "http/b.h"'
expect breach lib/base/a.h '/* x */' '' '# include  "net/b.h"'
expect breach lib/http/a.c '#include "base/b.h"' '#include "net/b.h"'
expect breach lib/http/a.c '#include "python/b.h"'
expect breach lib/net/a.c '#include "http/b.h"'
expect breach lib/net/a.c '#include "server/b.h"'
expect breach lib/python/a.c '#include "net/b.h"'
expect breach lib/python/a.c '#include "server/b.h"'
expect breach lib/server/conn.c '#include "python/b.h"'
expect breach lib/server/conn.h '#include "python/b.h"'
expect ok lib/server/conn.c '#include "server/b.h"' '#include "net/b.h"'
expect ok lib/server/connect.c '#include "python/b.h"'
expect breach lib/base/a.c '#include "b.h"'
expect breach lib/base/a.c '#include <http/b.h>'
expect breach lib/base/a.c '#include "../http/b.h"'
expect breach lib/attic/a.c 'int x;'

# One home each.
expect ok lib/http/parser.c '#include <http_parser.h>'
expect breach lib/http/parser.h '#include <http_parser.h>'
expect breach lib/server/a.c '#include "net/b.h"' '#include <http_parser.h>'
expect breach lib/net/stream.c '#include <openssl/ssl.h>'
expect ok lib/python/gil.c 'PyGILState_Ensure(); PyEval_SaveThread();'
expect ok lib/python/interpreter.c 'PyEval_SaveThread();'
expect breach lib/python/interpreter.c 'PyEval_RestoreThread(s);'
expect breach lib/python/call.c '' 'PyGILState_Ensure();'
expect breach lib/python/call.c 'Py_BEGIN_ALLOW_THREADS'
expect breach lib/server/executor.c 'PyEval_SaveThread();'
expect ok lib/server/crew.c 'pthread_create(&t, 0, f, 0);'
expect breach lib/server/server.c 'pthread_create(&t, 0, f, 0);'
expect breach lib/net/loop.c 'pthread_create(&t, 0, f, 0);'
expect ok lib/python/a.h '#include <Python.h>'
expect ok lib/server/executor.c '#include <Python.h>'
expect ok lib/server/server.c '#include <wsgi/python.h>'
expect breach lib/server/executor.h '#include <Python.h>'
expect breach lib/server/conn.c '#include <wsgi/python.h>'
expect breach lib/http/vars.c '#include "Python.h"'
expect ok lib/python/compat.h 'PyGILState_GetThisThreadState();'
expect breach lib/python/compat.h 'PyGILState_Ensure();'
expect breach lib/python/call.c 'PyGILState_Check();'
expect ok lib/base/mem.c 'p = malloc(1); free(p);'
expect breach lib/base/buf.c 'p = malloc(1);'
expect breach lib/net/a.c 'free (p);'
expect breach lib/net/a.c 'x = strdup(p);'
expect ok lib/net/a.c 'ops->free(x); ops.free(x); wsgi__mem_free(x);' 'void (*free)(int); freeaddrinfo(a);'
expect ok cli/a.c 'p = malloc(1);'

# Comments may say anything, and code behind them may not.
expect ok lib/net/a.c '/* malloc(1) and PyGILState_Ensure() */'
expect ok lib/net/a.c '/* a' ' * free(x), "http/b.h"' '#include "http/b.h"' ' */ int x;'
expect breach lib/net/a.c '/* a' ' */ p = malloc(1);'
expect breach lib/net/a.c 'int x; /* a */ p = /* b */ malloc(1); /* c */'

# The command line.
expect ok cli/a.c '#include "args.h"' '#include <wsgi/wsgi.h>' '#include <stdio.h>'
expect ok cli/a.c '#include <wsgi/python.h>' 'PyGILState_Ensure();'
expect breach cli/a.c '#include <Python.h>'
expect breach cli/a.c '#include "base/buf.h"'
expect breach cli/a.c '#include "missing.h"'
expect breach cli/a.c '#include <base/buf.h>'
expect breach cli/a.c 'wsgi__buf_init(&b, 1);'

echo "$n cases"
exit $failed
