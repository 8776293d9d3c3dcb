#!/bin/sh
# Checks the arrows of lib/LAYERS, and that what belongs in one file is in that
# file alone.  Says each breach as "file:line: what", and then fails.
#
#     check_layers.sh [ROOT]
root=${1:-$(dirname "$0")/..}
cd "$root" || exit 2
[ -f lib/LAYERS ] || { echo "no lib/LAYERS in $(pwd)"; exit 2; }
breaches=$(mktemp) || exit 2
trap 'rm -f "$breaches"' EXIT

say() { echo "$*" >>"$breaches"; }

# A file without its comments, line by line: they may name what code may not.
code() {
    awk '{
        out = ""
        for (rest = $0; rest != "";) {
            if (inside) {
                end = index(rest, "*/")
                if (!end) break
                rest = substr(rest, end + 2); inside = 0
            } else {
                start = index(rest, "/*")
                if (!start) { out = out rest; break }
                out = out substr(rest, 1, start - 1) " "
                rest = substr(rest, start + 2); inside = 1
            }
        }
        print out
    }' "$1"
}

# Lines of a file as "number:line" that match an extended regular expression.
grep_code() { code "$1" | grep -nE "$2"; }

# "number room/unit.h" of each #include "...".
quoted_includes() {
    code "$1" | sed -n '=;s/^[ ]*#[ ]*include[ ]*"\([^"]*\)".*/include \1/p' |
        awk '/^[0-9]+$/ { n = $1 } /^include / { print n, $2 }'
}

rule_of() { sed -n "s|^$1:||p" lib/LAYERS; }

check_arrows() {
    file=$1 # lib/room/unit.c
    unit=${file#lib/}; unit=${unit%.*}
    room=${unit%%/*}
    if grep -q "^$unit:" lib/LAYERS; then
        allowed=$(rule_of "$unit")
    elif grep -q "^$room:" lib/LAYERS; then
        allowed=$(rule_of "$room")
    else
        say "$file:1: lib/LAYERS does not know $room"
        return
    fi
    quoted_includes "$file" | while read -r number header; do
        case $header in
        */*) ;;
        *) say "$file:$number: write \"room/$header\""; continue ;;
        esac
        case " $room $allowed " in
        *" ${header%%/*} "*) ;;
        *) say "$file:$number: ${file#lib/} may not include $header" ;;
        esac
    done
}

# In angle brackets an inner header would pass by the arrows.
check_brackets() {
    for file in $(find lib cli -name '*.[ch]' 2>/dev/null | sort); do
        grep_code "$file" 'include[ ]*<(base|http|net|python|server|cli)/' |
            while IFS=: read -r number line; do
                say "$file:$number: inner headers go in quotes: $line"
            done
    done
}

# What may be in these files only (patterns of the shell, separated by blanks).
check_homes() {
    while IFS='	' read -r what homes pattern; do
        for file in $(find lib -name '*.[ch]' | sort); do
            for home in $homes; do
                # shellcheck disable=SC2254
                case $file in $home) continue 2 ;; esac
            done
            grep_code "$file" "$pattern" | while IFS=: read -r number line; do
                say "$file:$number: $what belongs in $homes: $line"
            done
        done
    done <<'HOMES'
http-parser	lib/http/parser.c	[<"]http_parser\.h[>"]
OpenSSL	lib/net/tls.c	[<"]openssl/
the GIL	lib/python/gil.c lib/python/interpreter.c	PyEval_SaveThread
the GIL	lib/python/gil.c	PyGILState_(Ensure|Release)|PyEval_(Restore|Acquire|Release)Thread|Py_(BEGIN|END)_ALLOW|Py_(UN)?BLOCK_THREADS
whose the GIL is	lib/python/gil.c lib/python/compat.h	PyGILState_(Check|Get)
starting threads	lib/server/crew.c lib/server/deadline.c	pthread_create|thrd_create
Python	lib/python/* lib/server/executor*.c lib/server/server.c	[<"]Python\.h[>"]|<wsgi/python\.h>
allocating	lib/base/mem.c	(^|[^A-Za-z0-9_.>])(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|free|strdup|strndup|asprintf|vasprintf)[ ]*\(
HOMES
}

# The command line is a program like any other: public headers and its own.
check_cli() {
    for file in $(find cli -name '*.[ch]' 2>/dev/null | sort); do
        quoted_includes "$file" | while read -r number header; do
            case $header in
            */*) ;;
            *) [ -f "cli/$header" ] && continue ;;
            esac
            say "$file:$number: cli/ may not include $header"
        done
        grep_code "$file" '[<"](Python|http_parser)\.h[>"]' |
            while IFS=: read -r number line; do
                say "$file:$number: cli/ goes through <wsgi/...>: $line"
            done
        grep_code "$file" 'wsgi__' | while IFS=: read -r number line; do
            say "$file:$number: cli/ may not use inner names: $line"
        done
    done
}

for file in $(find lib -name '*.[ch]' | sort); do
    check_arrows "$file"
done
check_brackets
check_homes
check_cli

if [ -s "$breaches" ]; then
    sort -u "$breaches"
    exit 1
fi
