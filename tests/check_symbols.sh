#!/bin/sh
# The shared library exports what the public headers declare, all of it and
# nothing else.
#
#     check_symbols.sh LIBRARY INCLUDE_DIR
library=$1 include=$2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# Behind each WSGI_API the first name with a parenthesis is the function.
sed '/^#/d' "$include"/wsgi/*.h | tr '\n' ' ' | sed 's|;|;\
|g' | sed -n 's/.*WSGI_API [^(]*[ *]\(wsgi_[a-z0-9_]*\)(.*/\1/p' |
    sort -u >"$work/declared"

# The version node of libwsgi.map is an absolute symbol, not a function.
nm -D --defined-only "$library" >"$work/nm" || exit 2
awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' "$work/nm" |
    sort -u >"$work/exported"

if [ ! -s "$work/declared" ]; then
    echo "no declarations found in $include/wsgi"
    exit 2
fi
comm -13 "$work/declared" "$work/exported" | sed 's/^/exported, not declared: /' >"$work/report"
comm -23 "$work/declared" "$work/exported" | sed 's/^/declared, not exported: /' >>"$work/report"
grep '^wsgi__\|^[^w]' "$work/exported" | sed 's/^/not a public name: /' >>"$work/report"
if [ -s "$work/report" ]; then
    cat "$work/report"
    exit 1
fi
echo "$(wc -l <"$work/exported") symbols"
