#include "support/python.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "base/buf.h"
#include "base/mem.h"
#include "python/importer.h"

#define CEILING 65536
#define APP "def app(environ, start_response): return [b'']\n"

static const struct {
    const char *path, *text;
} files[] = {
    { "site1.py", "def application(environ, start_response): return []\n" APP
                  "number = 7\n" },
    { "site2.py", APP "def create_app(): return app\n"
                      "def make(config=None): return app\n"
                      "def needs(config): return app\n"
                      "def nothing(): pass\n"
                      "def breaks(): raise LookupError('in the factory')\n" },
    { "objects.py",
      "import types\n"
      "class Site:\n"
      "    def __call__(self, environ, start_response): return []\n"
      "    def method(self, environ, start_response): return []\n"
      "    def late(self, environ): return []\n"
      "    @property\n"
      "    def broken(self): raise AttributeError('inside')\n"
      "class Static:\n"
      "    @staticmethod\n"
      "    def __call__(environ, start_response): return []\n"
      "class Async:\n"
      "    async def __call__(self, scope, receive, send): pass\n"
      "class PerRequest:\n"
      "    def __init__(self, environ, start_response): pass\n"
      "site = Site(); static = Static(); asynchronous = Async()\n"
      "deep = types.SimpleNamespace(er=types.SimpleNamespace(app=site))\n"
      "def any(*args): return []\n"
      "def three(a, b, c): return []\n"
      "def optional(environ, start_response, extra=None): return []\n"
      "async def coroutine(scope, receive, send): pass\n"
      "long = 'x' * 5000\n" },
    { "empty.py", "number = 7\n" },
    { "lazy.py", "def __getattr__(name):\n"
                 "    raise ImportError('no ' + name)\n" },
    { "imports_missing.py", "import not_installed_here\n" },
    { "imports_itself.py", "import imports_itself.sub\n" },
    { "raises.py", "def setup():\n    raise ValueError('no database')\n"
                   "setup()\n" },
    { "syntax.py", "def app(:\n" },
    { "exits.py", "import sys\nsys.exit(4)\n" },
    { "interrupted.py", "raise KeyboardInterrupt\n" },
    { "broken_text.py", "raise ValueError('\\udc80')\n" },
    { "my-app.py", APP },
    { "my.dotted.py", APP },
    { "script.wsgi", APP "application = app\n" },
    { "time.py", APP "mine = True\n" },
    { "codecs.py", APP },
    { "below/alone.py", APP },
    { "\xc3\xbcmlaut.py", APP },
    { "package/__init__.py", "" },
    { "package/wsgi.py", "from . import helper\n" APP },
    { "package/helper.py", "" },
    { "package/unused.py", APP },
    { "other/site1.py", "def app(environ, start_response): return [b'2']\n" },
    { "other/lonely.py", "import neighbour\n" APP },
    { "other/neighbour.py", "" },
    { "other/fails.py", "raise OSError('failing file')\n" },
    { "other/bad.name.py", "raise OSError('from its place')\n" },
    { "folder.py/x", "" },
};

static char folder[] = P_tmpdir "/wsgi-importer-XXXXXX";

static void
write_file(const char *path, const char *text)
{
    char dir[64];
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strchr(dir, '/');
    if (slash) {
        *slash = '\0';
        mkdir(dir, 0700);
    }
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    fputs(text, file);
    fclose(file);
}

/* A folder with a site in it, as the current directory that is on sys.path. */
static void
set_up(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        write_file(files[i].path, files[i].text);
    python_start();
    PySys_SetObject("dont_write_bytecode", Py_True);
    PyObject *here = PyUnicode_FromString("");
    PyList_Insert(PySys_GetObject("path"), 0, here);
    Py_DECREF(here);
}

static void
tear_down(void)
{
    python_stop();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(files[i].path);
    static const char *const folders[] = { "package", "other", "folder.py" };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        rmdir(folders[i]);
    rmdir(folder);
}

TestSuite(importer, .init = set_up, .fini = tear_down);

typedef struct load {
    const char *spec;
    int status;
    const char *wanted[6]; /* in the text; none for success */
    bool factory;
    const char *unwanted;
} load;

static const load rows[] = {
    /* What works. */
    { .spec = "site1:app" },
    { .spec = "site1" },
    { .spec = "site2" },
    { .spec = "site2:create_app()" },
    { .spec = "site2:make()" },
    { .spec = "site2:create_app", .factory = true },
    { .spec = "site2:create_app()", .factory = true },
    { .spec = "objects:site" },
    { .spec = "objects:site.method" },
    { .spec = "objects:deep.er.app" },
    { .spec = "objects:static" },
    { .spec = "objects:PerRequest" },
    { .spec = "objects:any" },
    { .spec = "objects:optional" },
    { .spec = "objects:Site()" },
    { .spec = "package.wsgi:app" },
    { .spec = "my-app:app" },
    { .spec = "site1.py:app" },
    { .spec = "site1.py" },
    { .spec = "./my-app.py" },
    { .spec = "my.dotted.py" },
    { .spec = "./script.wsgi" },
    { .spec = "time.py:app" },
    { .spec = "\xc3\xbcmlaut.py" },
    { .spec = "\xc3\xbcmlaut:app" },
    { .spec = "other/lonely.py:app" },

    /* What is no specification. */
    { .spec = "",
      .status = WSGI_ERR_INVALID,
      .wanted = { "it is empty", "module:callable" } },
    { .spec = ":app",
      .status = WSGI_ERR_INVALID,
      .wanted = { "module before the colon" } },
    { .spec = "site1:",
      .status = WSGI_ERR_INVALID,
      .wanted = { "callable after the colon" } },
    { .spec = "site1:a..b",
      .status = WSGI_ERR_INVALID,
      .wanted = { "not a dotted name" } },
    { .spec = "site1:a.",
      .status = WSGI_ERR_INVALID,
      .wanted = { "not a dotted name" } },
    { .spec = "site1:.a",
      .status = WSGI_ERR_INVALID,
      .wanted = { "not a dotted name" } },
    { .spec = "site1:1a",
      .status = WSGI_ERR_INVALID,
      .wanted = { "not a dotted name" } },
    { .spec = "site1:a b",
      .status = WSGI_ERR_INVALID,
      .wanted = { "not a dotted name" } },
    { .spec = "site1:a-b",
      .status = WSGI_ERR_INVALID,
      .wanted = { "not a dotted name" } },
    { .spec = "site2:needs(x)",
      .status = WSGI_ERR_INVALID,
      .wanted = { "only empty call parentheses" } },
    { .spec = "site2:make()()",
      .status = WSGI_ERR_INVALID,
      .wanted = { "only empty call parentheses" } },
    { .spec = "site2:()",
      .status = WSGI_ERR_INVALID,
      .wanted = { "only empty call parentheses" } },
    { .spec = ".site1:app",
      .status = WSGI_ERR_INVALID,
      .wanted = { "relative module name" } },
    { .spec = "package..wsgi:app",
      .status = WSGI_ERR_INVALID,
      .wanted = { "module is not a dotted" } },
    { .spec = "package.:app",
      .status = WSGI_ERR_INVALID,
      .wanted = { "module is not a dotted" } },
    { .spec = "site 1:app",
      .status = WSGI_ERR_INVALID,
      .wanted = { "module is not a dotted" } },
    { .spec = "a:b:c",
      .status = WSGI_ERR_INVALID,
      .wanted = { "module is not a dotted" } },
    { .spec = "evil\n\x1b:app",
      .status = WSGI_ERR_INVALID,
      .wanted = { "evil\\n\\x1b" } },

    /* Modules that are not there. */
    { .spec = "sit1:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "the module \"sit1\" was not found",
                  "No module named 'sit1'", "Did you mean site1",
                  "Current directory: " P_tmpdir, "sys.path:\n  ",
                  "lib/python" } },
    { .spec = "my_app:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "Did you mean my-app" } },
    { .spec = "no-such:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "was not found", "distributions have \"-\"" } },
    { .spec = "packag.wsgi:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "Did you mean package" } },
    { .spec = "package.wsgy:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "\"package.wsgy\" was not found",
                  "Did you mean package.wsgi" } },
    { .spec = "site1.sub:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "\"site1.sub\" was not found", "'site1' is not a package",
                  "did you mean \"site1:sub\"?" } },
    { .spec = "alone:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "There is \"below/alone.py\": ", "--chdir below)",
                  "--pythonpath below)" } },
    { .spec = "other.name.x:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "not found" },
      .unwanted = "There is \"" },
    { .spec = "*:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "the module \"*\" was not found" },
      .unwanted = "There is \"" },
    { .spec = "sote1.py",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "no file to import", "/sote1.py: No such file",
                  "Did you mean site1.py", "package.module:callable" } },
    { .spec = "package/wsgi:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "no file to import", "There is one with \".py\"" } },
    { .spec = "./folder.py",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "Is a directory" } },
    { .spec = "missing/app.py:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "No such file" } },

    /* Modules that are there, and raise. */
    { .spec = "imports_missing",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "importing the module raised", "Traceback",
                  "imports_missing.py\"",
                  "No module named 'not_installed_here'",
                  "virtual environment" },
      .unwanted = "was not found" },
    { .spec = "imports_itself",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "importing the module raised", "Traceback" },
      .unwanted = "the module \"imports_itself\" was not found" },
    { .spec = "raises:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "importing the module raised", "in setup",
                  "ValueError: no database" },
      .unwanted = "importlib" },
    { .spec = "syntax:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "syntax.py\", line 1", "def app(:", "SyntaxError" } },
    { .spec = "exits:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "exits.py\", line 2", "SystemExit: 4", "__main__" } },
    { .spec = "interrupted:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "KeyboardInterrupt" } },
    { .spec = "broken_text:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "ValueError: \\udc80" } },
    { .spec = "package/wsgi.py",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "attempted relative import",
                  "\"package.module:callable\"" } },
    { .spec = "other/fails.py",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "OSError: failing file" } },
    { .spec = "other/bad.name.py",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "OSError: from its place" } },

    /* Attributes. */
    { .spec = "site2:ap",
      .status = WSGI_ERR_APP_MISSING,
      .wanted = { "no attribute \"ap\"", "Did you mean app",
                  "callables: app, breaks, create_app, make, needs, "
                  "nothing.",
                  "It was imported from " P_tmpdir, "/site2.py." } },
    { .spec = "package:app",
      .status = WSGI_ERR_APP_MISSING,
      .wanted = { "no attribute \"app\"",
                  "Modules of this package: package.helper, "
                  "package.unused, package.wsgi." } },
    { .spec = "time:app",
      .status = WSGI_ERR_APP_MISSING,
      .wanted = { "no attribute \"app\"" },
      .unwanted = "imported from" }, /* it is part of Python itself */
    { .spec = "codecs:app",
      .status = WSGI_ERR_APP_MISSING,
      .wanted = { "/codecs.py, which hides the one in the current "
                  "directory: give yours another name." } },
    { .spec = "site2:app.config",
      .status = WSGI_ERR_APP_MISSING,
      .wanted = { "the object has no attribute \"config\"" } },
    { .spec = "package:unused.app",
      .status = WSGI_ERR_APP_MISSING,
      .wanted = { "write \"package.unused:...\"" } },
    { .spec = "objects",
      .status = WSGI_ERR_APP_MISSING,
      .wanted = { "neither \"application\" nor \"app\"",
                  "callables: Async, " } },
    { .spec = "empty",
      .status = WSGI_ERR_APP_MISSING,
      .wanted = { "neither \"application\"" },
      .unwanted = "callables" },
    { .spec = "objects:site.broken",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "looking the attribute up raised",
                  "AttributeError: inside" } },
    { .spec = "lazy:app",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "looking the attribute up raised", "ImportError: no app" } },

    /* Objects that are no application. */
    { .spec = "site1:number",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "cannot be called", "type \"int\": 7" } },
    { .spec = "objects:long",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "\"str\": 'xxxx", "x..." } },
    { .spec = "objects:types",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "A module is no application", "callables: " } },
    { .spec = "site2:create_app",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "two arguments (environ, start_response)", "add \"()\"",
                  "--factory" } },
    { .spec = "site2:make",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "add \"()\"" } },
    { .spec = "site2:needs",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "two arguments" },
      .unwanted = "--factory" },
    { .spec = "objects:three",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "two arguments" } },
    { .spec = "objects:site.late",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "two arguments" } },
    { .spec = "objects:coroutine",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "async", "ASGI" } },
    { .spec = "objects:asynchronous",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "async", "ASGI" } },

    /* Factories. */
    { .spec = "site2:breaks()",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "calling the factory", "in breaks",
                  "LookupError: in the factory" } },
    { .spec = "site2:needs()",
      .status = WSGI_ERR_APP_IMPORT,
      .wanted = { "without arguments",
                  "missing 1 required positional argument" } },
    { .spec = "site2:nothing()",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "the factory returned", "NoneType", "end with a return" } },
    { .spec = "site2:nothing",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "the factory returned" },
      .factory = true },
    { .spec = "site1:number()",
      .status = WSGI_ERR_APP_TYPE,
      .wanted = { "cannot be called" } },
};

static void
check(const load *row)
{
    PyObject *app = Py_None;
    wsgi__buf error;
    wsgi__buf_init(&error, CEILING);
    int status = wsgi__importer_load(row->spec, row->factory, &app, &error);
    const char *text = wsgi__buf_str(&error);
    cr_expect_eq(status, row->status, "%s: %d\n%s", row->spec, status, text);
    cr_expect_eq(app != NULL, status == WSGI_OK, "%s", row->spec);
    cr_expect(!app || PyCallable_Check(app), "%s", row->spec);
    cr_expect_eq(error.len == 0, status == WSGI_OK, "%s: %s", row->spec, text);
    for (const char *const *part = row->wanted; *part; part++)
        cr_expect(strstr(text, *part), "%s: no %s in:\n%s", row->spec, *part,
                  text);
    cr_expect_not(row->unwanted && strstr(text, row->unwanted),
                  "%s: %s in:\n%s", row->spec, row->unwanted, text);
    cr_expect(error.len == 0 || text[error.len - 1] != '\n', "%s", row->spec);
    cr_expect(python_quiet(), "%s: an exception is left", row->spec);
    Py_XDECREF(app);
    wsgi__buf_free(&error);
}

Test(importer, tells_the_whole_story)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(&rows[i]);
}

/* The module that `expression` is asked of is the one with the application. */
static void
expect_loaded(const char *spec, const char *expression)
{
    PyObject *app;
    wsgi__buf error;
    wsgi__buf_init(&error, CEILING);
    int status = wsgi__importer_load(spec, false, &app, &error);
    cr_assert_eq(status, WSGI_OK, "%s: %s", spec, wsgi__buf_str(&error));
    PyObject *globals = PyFunction_GetGlobals(app); /* Borrowed. */
    PyObject *result =
        PyRun_String(expression, Py_eval_input, globals, globals);
    cr_expect_eq(result, Py_True, "%s: not %s", spec, expression);
    cr_expect(python_quiet());
    Py_XDECREF(result);
    Py_DECREF(app);
    wsgi__buf_free(&error);
}

Test(importer, takes_application_before_app)
{
    PyObject *app;
    wsgi__buf error;
    wsgi__buf_init(&error, CEILING);
    cr_assert_eq(wsgi__importer_load("site1", false, &app, &error), WSGI_OK);
    PyObject *name = PyObject_GetAttrString(app, "__name__");
    cr_expect(python_is_str(name, "application"));
    Py_DECREF(name);
    Py_DECREF(app);
    wsgi__buf_free(&error);
}

Test(importer, file_is_a_module_by_its_stem)
{
    expect_loaded("site1.py:app", "__name__ == 'site1'");
    expect_loaded("site1:app", "__file__.endswith('/site1.py')");
    expect_loaded("./my-app.py", "__name__ == 'my-app'");
    expect_loaded("other/lonely.py",
                  "__import__('sys').path[0].endswith('/other')");
}

Test(importer, file_whose_stem_is_taken_has_its_path_as_name)
{
    expect_loaded("time.py", "mine and __name__.endswith('/time.py')");
    expect_loaded("my.dotted.py", "__name__.endswith('/my.dotted.py')");
    expect_loaded("site1:app", "__name__ == 'site1'");
    expect_loaded("other/site1.py:app",
                  "__name__.endswith('/other/site1.py') and "
                  "__import__('sys').modules[__name__].app is app");
}

Test(importer, file_is_run_once)
{
    expect_loaded("my.dotted.py", "not globals().setdefault('seen', [])");
    expect_loaded("my.dotted.py", "'seen' in globals()");
    expect_loaded("site1.py:app", "not globals().setdefault('seen', [])");
    expect_loaded("site1.py:app", "'seen' in globals()");
    expect_loaded("./site1.py:app",
                  "__import__('sys').path.count(__import__('os').getcwd())"
                  " == 1");
}

Test(importer, file_that_fails_is_not_kept)
{
    static const load fails = { .spec = "other/bad.name.py",
                                .status = WSGI_ERR_APP_IMPORT,
                                .wanted = { "OSError" } };
    check(&fails);
    check(&fails);
}

Test(importer, says_when_the_current_directory_is_not_on_the_path)
{
    static const load there = {
        .spec = "site1:app",
        .status = WSGI_ERR_APP_IMPORT,
        .wanted = { "There is a \"site1\" in the current", "not on sys.path",
                    "PYTHONPATH", "wsgi_python_config" },
        .unwanted = "Did you mean"
    };
    PyList_SetSlice(PySys_GetObject("path"), 0, 1, NULL);
    check(&there);
}

Test(importer, survives_each_failing_allocation)
{
    static const char *const specs[] = {
        "sit1:app", "site2:ap", "raises", "site1:number", "a..b", "x/y.py"
    };
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        long asked = 1;
        for (long nth = 1; nth <= asked; nth++) {
            PyObject *app;
            wsgi__buf error;
            wsgi__buf_init(&error, CEILING);
            wsgi__mem_fail_nth(nth);
            int status = wsgi__importer_load(specs[i], false, &app, &error);
            asked = wsgi__mem_count();
            wsgi__mem_fail_nth(0);
            cr_expect_lt(status, 0, "%s, %ld", specs[i], nth);
            cr_expect_null(app);
            cr_expect(python_quiet(), "%s, %ld", specs[i], nth);
            wsgi__buf_free(&error);
        }
    }
}
