"""The interpreter inside wsgid: what a program expects of the python3 command
is there, whether libpython is linked in or shared."""

import json
import os
import subprocess

import pytest
from harness import APPS, PYTHON, WSGID, request

EXTENSION = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *sum_of(PyObject *self, PyObject *list)
{
    PyObject *sum = PyLong_FromLong(0);
    PyObject *items = PySequence_Fast(list, "no sequence");
    for (Py_ssize_t i = 0; sum && items && i < PySequence_Fast_GET_SIZE(items); i++)
        Py_SETREF(sum, PyNumber_Add(sum, PySequence_Fast_GET_ITEM(items, i)));
    Py_XDECREF(items);
    return sum;
}

static PyMethodDef methods[] = { { "sum_of", sum_of, METH_O, NULL }, { 0 } };
static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, "extension_of_test",
                                     NULL, -1, methods };
PyMODINIT_FUNC PyInit_extension_of_test(void) { return PyModule_Create(&module); }
"""


def python(code):
    """What the python3 command says."""
    return json.loads(subprocess.run(
        [PYTHON, "-c", "import json, os, sys, sysconfig; print(json.dumps(%s))" % code],
        check=True, capture_output=True, timeout=60).stdout)


@pytest.fixture(scope="module")
def extension(tmp_path_factory):
    """A folder with an extension module."""
    folder = tmp_path_factory.mktemp("extension")
    source = folder / "extension_of_test.c"
    source.write_text(EXTENSION)
    include = python("sysconfig.get_path('include')")
    if not os.path.exists(include + "/Python.h"):
        pytest.skip(f"no headers in {include}")
    subprocess.run(
        [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-I" + include,
         "-o", folder / ("extension_of_test" + python("sysconfig.get_config_var('EXT_SUFFIX')")),
         source], check=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def server(serve_module, extension):
    return serve_module("interpreter:app", "--pythonpath", str(extension))


def ask(server, path):
    with server.connect() as client:
        client.send(request(path=path))
        response = client.response()
        assert response.status == 200, response
        return json.loads(response.body)


def test_takes_itself_for_the_python3_command(server):
    found = ask(server, "/who")
    expected = python("""dict(
        executable=sys.executable, prefix=sys.prefix, base_prefix=sys.base_prefix,
        exec_prefix=sys.exec_prefix, version=sys.version, stdlib=os.__file__,
        encoding=sys.getfilesystemencoding(), builtin=sys.builtin_module_names,
        abiflags=sys.abiflags)""")
    assert os.path.realpath(found["executable"]) == os.path.realpath(expected["executable"])
    del expected["executable"]
    assert {key: found[key] for key in expected} == expected
    assert set(python("sys.path[1:]")) <= set(found["path"])


def test_has_one_interpreter(server):
    """Linked in, libpython must not come a second time with a library that
    wants the shared one."""
    linked = subprocess.run(["ldd", WSGID], check=True, capture_output=True, text=True).stdout
    shared = [word for word in linked.split() if word.startswith("/") and "libpython" in word]
    found = [name for name in ask(server, "/libraries") if "libpython" in name]
    assert [os.path.realpath(name) for name in found] == [os.path.realpath(name) for name in shared]
    assert shared or "libwsgi" not in linked


@pytest.mark.parametrize("path, expected", [
    ("/use-ctypes", [1, 42, 3]),
    ("/use-ssl", "PROTOCOL_TLS_CLIENT"),
    ("/use-sqlite3", 42),
    ("/use-decimal", ["0.3", True]),
    ("/use-builtin-modules", ["b", "c"]),
    ("/use-extension", 42),
    ("/use-subprocess", 42),
    ("/fork-processes", [1, 2, 3]),
    ("/spawn-processes", [1, 2, 3]),
    ("/forkserver-processes", [1, 2, 3]),
])
def test_modules(server, path, expected):
    assert ask(server, path) == expected


def test_a_virtual_environment_made_by_it(serve, tmp_path):
    """sys.executable is what tools start to make one; what is installed there
    is found."""
    executable = python("sys.executable")
    subprocess.run([executable, "-m", "venv", "--without-pip", tmp_path / "venv"],
                   check=True, timeout=60)
    server = serve("interpreter:app", "--venv", str(tmp_path / "venv"), cwd=APPS)
    found = ask(server, "/who")
    assert found["prefix"] == str(tmp_path / "venv")
    assert found["executable"] == str(tmp_path / "venv/bin/python")
    assert found["base_prefix"] == python("sys.base_prefix")
    assert ask(server, "/use-subprocess") == 42
    assert ask(server, "/spawn-processes") == [1, 2, 3]
