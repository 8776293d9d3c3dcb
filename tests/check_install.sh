#!/bin/sh
# Installs to a prefix of its own, builds every example as its first comment
# says, with nothing but pkg-config, and runs it: it must answer /hello and end
# with 0 on SIGTERM.  Also the static library, the CMake package and wsgid.
#
# In the environment: BUILD and SOURCE (folders), PYTHON (the interpreter of
# the libpython in use), CC, CXX, CMAKE, and FLAGS for a library that was built
# with sanitizers.
: "${BUILD:?}" "${SOURCE:?}" "${PYTHON:?}"
: "${CC:=cc}" "${CXX:=c++}" "${CMAKE:=cmake}" "${FLAGS:=}"
warnings="-Wall -Wextra -Werror"
failed=0
server=

work=$(mktemp -d) || exit 2
# shellcheck disable=SC2317
clean_up() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 2' HUP INT TERM

fail() {
    echo "FAIL: $*"
    failed=1
}

show() { sed 's/^/    /' "$@"; }

# ---- The tree ---------------------------------------------------------------

prefix=$work/prefix
"$CMAKE" --install "$BUILD" --prefix "$prefix" >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 1
}
pc=$(find "$prefix" -name libwsgi.pc)
lib=${pc%/pkgconfig/libwsgi.pc}
for file in "$prefix/include/wsgi/wsgi.h" "$prefix/include/wsgi/python.h" \
    "$prefix/include/wsgi/supervisor.h" \
    "$prefix/include/wsgi/version.h" "$prefix/bin/wsgid" "$lib/libwsgi.so" \
    "$lib/libwsgi.so.0" "$lib/libwsgi.a" "$pc" \
    "$lib/cmake/libwsgi/libwsgi-config.cmake"; do
    [ -f "$file" ] || fail "not installed: ${file#"$work"/}"
done
[ "$failed" -eq 0 ] || exit 1

# The tree works wherever it is moved to.
mv "$prefix" "$work/moved"
prefix=$work/moved lib=$work/moved/${lib#"$work/prefix/"}
export PKG_CONFIG_PATH="$lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
export LD_LIBRARY_PATH="$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

# ---- An application, in a folder and in a virtual environment -----------------

mkdir "$work/apps"
cat >"$work/apps/app_of_check.py" <<'PY'
def app(environ, start_response):
    found = environ["PATH_INFO"] == "/hello"
    start_response("200 OK" if found else "404 Not Found",
                   [("Content-Type", "text/plain")])
    return [b"Hello\n" if found else b"Nothing\n"]
PY
cat >"$work/apps/venv_app.py" <<'PY'
from only_in_the_venv import app
PY
"$PYTHON" -m venv --without-pip "$work/venv" || exit 2
cp "$work/apps/app_of_check.py" \
    "$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/only_in_the_venv.py"
export PYTHONPATH="$work/apps" PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1
unset VIRTUAL_ENV PYTHONHOME PORT

# ---- Building and running -----------------------------------------------------

# try NAME PROGRAM ARGUMENTS...: serves, answers, ends.  timeout passes SIGTERM
# on, and ends what does not end by itself.
try() {
    name=$1
    shift
    timeout --foreground -s KILL 120 "$@" >"$work/out" 2>"$work/err" &
    server=$!
    address='' tries=0
    while [ -z "$address" ] && [ $tries -lt 300 ] && kill -0 "$server" 2>/dev/null; do
        sleep 0.1
        tries=$((tries + 1))
        address=$(sed -n 's|.*http://\([^/ ]*\)/$|\1|p' "$work/out")
    done
    if [ -n "$address" ]; then
        code=$(curl -sS --noproxy '*' --max-time 30 -o "$work/body" \
            -w '%{http_code}' "http://$address/hello" 2>>"$work/err")
        if [ "$code" != 200 ] || ! grep -q '^Hello' "$work/body"; then
            fail "$name: GET /hello gave status $code"
        fi
    else
        fail "$name: no address on its stdout"
    fi
    kill -TERM "$server" 2>/dev/null
    wait "$server"
    code=$?
    server=
    [ $code -eq 0 ] || fail "$name: ended with $code"
    if [ "$failed" -ne 0 ]; then
        show "$work/out" "$work/err"
        exit 1
    fi
    echo "$name: answered on $address, ended with 0"
}

# What the build line in the first comment of an example asks pkg-config for.
# shellcheck disable=SC2016
packages_of() {
    sed -n 's/.*\$(pkg-config --cflags --libs \([^)]*\)).*/\1/p' "$1" | head -n 1
}

for source in "$SOURCE"/examples/*.c "$SOURCE"/examples/*.cc; do
    name=${source##*/}
    packages=$(packages_of "$source")
    [ -n "$packages" ] || { fail "$name does not say how it is built"; continue; }
    compiler="$CC" program=$work/$name.out
    case $name in *.cc) compiler="$CXX -std=c++17" ;; esac
    # shellcheck disable=SC2046,SC2086
    $compiler $FLAGS $warnings -o "$program" "$source" \
        $(pkg-config --cflags --libs $packages) >"$work/log" 2>&1 || {
        fail "$name does not build"
        show "$work/log"
        continue
    }
    case $name in
    host_python.c) try "$name" "$program" 127.0.0.1:0 ;;
    venv_host.c)
        try "$name" env -u PYTHONPATH "$program" venv_app:app 127.0.0.1:0 \
            "$work/venv" "$work/apps"
        ;;
    *) try "$name" "$program" app_of_check:app 127.0.0.1:0 ;;
    esac
done

# The static library, with all that it needs.
static=$(pkg-config --cflags --static --libs libwsgi | sed 's/-lwsgi/-l:libwsgi.a/')
# shellcheck disable=SC2086
if ! $CC $FLAGS $warnings -o "$work/static" "$SOURCE/examples/hello.c" $static; then
    fail "hello.c does not link with libwsgi.a"
elif ldd "$work/static" | grep -q libwsgi; then
    fail "hello.c was not linked with libwsgi.a"
else
    try "hello.c, static" "$work/static" app_of_check:app 127.0.0.1:0
fi

# The CMake package.
mkdir "$work/package"
cat >"$work/package/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.20)
project(package C)
find_package(libwsgi 0.1 REQUIRED)
add_executable(hello "$SOURCE/examples/hello.c")
target_link_libraries(hello PRIVATE libwsgi::wsgi)
CMAKE
if "$CMAKE" -S "$work/package" -B "$work/package/build" "-DCMAKE_C_COMPILER=$CC" \
    "-DCMAKE_C_FLAGS=$FLAGS" "-DCMAKE_PREFIX_PATH=$prefix" >"$work/log" 2>&1 &&
    "$CMAKE" --build "$work/package/build" >>"$work/log" 2>&1; then
    try "hello.c, find_package" "$work/package/build/hello" app_of_check:app 127.0.0.1:0
else
    fail "find_package(libwsgi) does not work"
    show "$work/log"
fi

# The command finds its library by itself.
unset LD_LIBRARY_PATH
"$prefix/bin/wsgid" --version >"$work/log" 2>&1 || {
    fail "the installed wsgid does not run"
    show "$work/log"
}
exit $failed
