#!/bin/sh
# Each public header compiles alone, as C11 and as C++17, without a warning.
#
#     CC=gcc CXX=g++ check_headers.sh FLAGS... -- HEADER_DIR...
#
# FLAGS name the include folders of our headers and of Python's.
flags=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    flags="$flags $1"
    shift
done
shift
failed=0 n=0

# compile COMPILER STANDARD LANGUAGE HEADER
compile() {
    n=$((n + 1))
    # A translation unit must declare something; macros do not count.
    # shellcheck disable=SC2086
    printf '#include <wsgi/%s>\nextern int declared;\n' "$4" |
        $1 "-std=$2" -Wall -Wextra -Wpedantic -Werror -fsyntax-only $flags \
            -x "$3" - && return
    echo "FAIL: <wsgi/$4> as $2"
    failed=1
}

for folder; do
    for path in "$folder"/wsgi/*.h; do
        [ -f "$path" ] || continue
        compile "${CC:-cc}" c11 c "${path##*/}"
        compile "${CXX:-c++}" c++17 c++ "${path##*/}"
    done
done
if [ $n -eq 0 ]; then
    echo "no headers found"
    exit 2
fi
echo "$n compilations"
exit $failed
