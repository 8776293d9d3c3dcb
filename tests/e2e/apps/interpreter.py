"""What a Python program expects of its interpreter, each behind a path; the
answer is JSON."""

import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

asked = {}


def path(function):
    asked["/" + function.__name__.replace("_", "-")] = function
    return function


@path
def who():
    return {"executable": sys.executable, "prefix": sys.prefix,
            "base_prefix": sys.base_prefix, "exec_prefix": sys.exec_prefix,
            "path": sys.path, "version": sys.version, "flags": list(sys.flags),
            "stdlib": os.__file__, "encoding": sys.getfilesystemencoding(),
            "builtin": sys.builtin_module_names, "abiflags": sys.abiflags}


@path
def libraries():
    """The shared libpythons in this process, once every extension module of
    the standard library is."""
    import sysconfig
    folder = sysconfig.get_path("platstdlib") + "/lib-dynload"
    for name in sorted(os.listdir(folder)):
        module = name.split(".")[0]
        if "test" not in module and module not in ("_tkinter", "nis"):
            __import__(module)
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1] for line in maps}
    return sorted(f for f in files if "libpython" in f or "libwsgi" in f)


@path
def use_ctypes():
    import ctypes
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda n: n + 1)
    return [ctypes.pythonapi.Py_IsInitialized(), callback(41),
            ctypes.CDLL(None).strlen(b"abc")]


@path
def use_ssl():
    import ssl
    return ssl.create_default_context().protocol.name


@path
def use_sqlite3():
    import sqlite3
    with sqlite3.connect(":memory:") as db:
        return db.execute("SELECT 6 * 7").fetchone()[0]


@path
def use_decimal():
    import decimal
    return [str(decimal.Decimal("0.1") * 3), hasattr(decimal, "HAVE_THREADS")]


@path
def use_builtin_modules():
    import xml.etree.ElementTree as tree
    import zlib
    return [tree.fromstring("<a>b</a>").text,
            zlib.decompress(zlib.compress(b"c")).decode()]


@path
def use_extension():
    import extension_of_test
    return extension_of_test.sum_of([1, 2, 39])


@path
def use_subprocess():
    done = subprocess.run([sys.executable, "-c", "print(6 * 7)"],
                          capture_output=True, check=True, text=True)
    return int(done.stdout)


def use_process_pool(method):
    import multiprocessing
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        return list(pool.map(abs, [-1, -2, -3]))


@path
def fork_processes():
    return use_process_pool("fork")


@path
def spawn_processes():
    return use_process_pool("spawn")


@path
def forkserver_processes():
    return use_process_pool("forkserver")


def app(environ, start_response):
    answer = json.dumps(asked[environ["PATH_INFO"]]()).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [answer]
