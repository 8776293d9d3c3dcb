#include <wsgi/python.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "python/gil.h"
#include "support/python.h"

/* A folder for each test; no variable of the caller's environment that moves
 * Python. */
static char folder[] = P_tmpdir "/wsgi-interpreter-XXXXXX";

static void
set_up(void)
{
    static const char *const variables[] = { "VIRTUAL_ENV", "PYTHONHOME",
                                             "PYTHONPATH" };
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    setenv("PYTHONMALLOC", "malloc", 1);
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void
tear_down(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_expect_eq(system(command), 0);
}

TestSuite(interpreter, .init = set_up, .fini = tear_down);

static wsgi__gil gil;

static void
start(const wsgi_python_config *config)
{
    char error[1024] = "";
    int status = wsgi_python_init(config, error, sizeof error);
    cr_assert_eq(status, WSGI_OK, "%d: %s", status, error);
    cr_expect_str_empty(error);
    cr_expect_not(wsgi__gil_held(), "returns with the GIL released");
}

static void
finish(void)
{
    wsgi__gil_forget(&gil);
    wsgi_python_fini();
    cr_expect_not(Py_IsInitialized());
}

/* Whether an expression, with sys and os, is true. */
static bool
is_true(const char *expression)
{
    wsgi__gil_enter(&gil);
    PyObject *module = python_module("__asked__", "import sys, os, site\n");
    bool result = python_true(module, expression);
    if (!result) {
        PyObject *seen = python_eval(
            module, "sys.executable, sys.prefix, sys.path, sys.argv");
        PySys_FormatStderr("%s: %R\n", expression, seen);
        Py_XDECREF(seen);
    }
    Py_DECREF(module);
    wsgi__gil_leave(&gil);
    return result;
}

Test(interpreter, is_the_one_that_libpython_belongs_to)
{
    start(NULL);
    cr_expect(is_true("sys.executable == '" WSGI_PYTHON_EXECUTABLE "'"));
    cr_expect(is_true("sys.prefix == sys.base_prefix"));
    cr_expect(is_true("sys.argv == ['']"));
    cr_expect(is_true("'' not in sys.path and os.getcwd() not in sys.path"));
    cr_expect(is_true("__import__('threading').main_thread() is "
                      "__import__('threading').current_thread()"));
    finish();
}

Test(interpreter, leaves_signals_alone)
{
    static const int signals[] = { SIGINT, SIGPIPE, SIGXFSZ, SIGTERM };
    struct sigaction after;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL);
    start(NULL);
    cr_expect(is_true("__import__('subprocess')"));
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        sigaction(signals[i], NULL, &after);
        cr_expect_eq(after.sa_handler, SIG_DFL, "%d", signals[i]);
    }
    finish();
}

Test(interpreter, takes_path_and_argv)
{
    static const char *const path[] = { "/srv/site", ".", NULL };
    static const char *const argv[] = { "wsgid", "-c", "--help", NULL };
    wsgi_python_config config = WSGI_PYTHON_CONFIG_INIT;
    config.path = path;
    config.argv = argv;
    start(&config);
    cr_expect(is_true("sys.path[:2] == ['/srv/site', '.']"));
    cr_expect(is_true("len(sys.path) > 4"));
    cr_expect(is_true("sys.argv == ['wsgid', '-c', '--help']"));
    finish();
}

Test(interpreter, honours_the_variables_of_python)
{
    setenv("PYTHONPATH", "/srv/lib", 1);
    setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    start(NULL);
    cr_expect(is_true("sys.path[0] == '/srv/lib'"));
    cr_expect(is_true("sys.dont_write_bytecode"));
    finish();
}

Test(interpreter, is_utf8_in_the_c_locale)
{
    static const char *const variables[] = { "LANG", "LC_CTYPE",
                                             "PYTHONUTF8" };
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    setenv("LC_ALL", "C", 1);
    start(NULL);
    cr_expect(is_true("sys.getfilesystemencoding() == 'utf-8'"));
    cr_expect(is_true("sys.stdout.encoding == 'utf-8'"));
    cr_expect(is_true("open(os.devnull).encoding.lower() == 'utf-8'"));
    finish();
}

Test(interpreter, is_initialised_once)
{
    static const char *const path[] = { "/srv/late", NULL };
    wsgi_python_config config = WSGI_PYTHON_CONFIG_INIT;
    start(NULL);
    config.path = path;
    config.venv = "/nowhere";
    start(&config);
    cr_expect(is_true("'/srv/late' not in sys.path"));
    finish();
}

Test(interpreter, of_the_program_is_left_to_it)
{
    python_start();
    cr_expect_eq(wsgi_python_init(NULL, NULL, 0), WSGI_OK);
    cr_expect(wsgi__gil_held(), "still held");
    wsgi_python_fini();
    cr_expect(Py_IsInitialized());
    python_stop();
}

Test(interpreter, may_be_finalised_with_the_gil_held)
{
    start(NULL);
    PyGILState_Ensure();
    wsgi_python_fini();
    cr_expect_not(Py_IsInitialized());
    wsgi_python_fini();
}

static void *
init_in_thread(void *arg)
{
    *(int *)arg = wsgi_python_init(NULL, NULL, 0);
    return NULL;
}

/* threading has another one for the main thread, and would wait for its end. */
Test(interpreter, may_be_finalised_by_another_thread, .timeout = 60)
{
    pthread_t thread;
    int status = 1;
    pthread_create(&thread, NULL, init_in_thread, &status);
    pthread_join(thread, NULL);
    cr_assert_eq(status, WSGI_OK);
    cr_expect(is_true("__import__('threading').main_thread()"));
    finish();
}

/* As gevent does when it patches threading. */
Test(interpreter, may_be_finalised_where_threads_have_other_names,
     .timeout = 60)
{
    start(NULL);
    cr_expect(is_true("__import__('threading').__dict__.update("
                      "    get_ident=lambda: 7) is None"));
    cr_expect(is_true("setattr(__import__('threading').main_thread(),"
                      "        '_ident', 7) is None"));
    finish();
}

/* What stands in its place may be anything, and goes while it is asked. */
Test(interpreter, may_be_finalised_without_threading)
{
    start(NULL);
    cr_expect(is_true("sys.modules.update(threading=type('Gone', (), {\n"
                      "    '_main_thread': property(lambda self:\n"
                      "        sys.modules.pop('threading') and None),\n"
                      "    'get_ident': lambda self: 7})()) is None"));
    finish();
}

Test(interpreter, is_initialised_once_by_threads_at_the_same_time)
{
    pthread_t thread;
    int theirs = 1;
    pthread_create(&thread, NULL, init_in_thread, &theirs);
    int ours = wsgi_python_init(NULL, NULL, 0);
    pthread_join(thread, NULL);
    cr_expect_eq(ours, WSGI_OK);
    cr_expect_eq(theirs, WSGI_OK);
    cr_expect(is_true("True"));
    finish();
}

Test(interpreter, takes_a_config_of_another_version)
{
    static const char *const path[] = { "/srv/x", NULL };
    wsgi_python_config config = WSGI_PYTHON_CONFIG_INIT;
    char error[256];
    config.size = 0;
    cr_expect_eq(wsgi_python_init(&config, error, sizeof error),
                 WSGI_ERR_INVALID);
    cr_expect(strstr(error, "WSGI_PYTHON_CONFIG_INIT"), "%s", error);
    /* One that ends before argv, whose place is not to be read. */
    config.size = offsetof(wsgi_python_config, argv);
    config.path = path;
    config.argv = (const char *const *)(uintptr_t)1;
    start(&config);
    cr_expect(is_true("sys.path[0] == '/srv/x' and sys.argv == ['']"));
    finish();
}

Test(interpreter, takes_a_longer_config)
{
    struct {
        wsgi_python_config config;
        void *later;
    } newer = { WSGI_PYTHON_CONFIG_INIT, (void *)(uintptr_t)1 };
    newer.config.size = sizeof newer;
    start(&newer.config);
    finish();
}

static void
make_venv(const char *name, const char *option)
{
    char command[256];
    snprintf(command, sizeof command,
             WSGI_PYTHON_EXECUTABLE " -m venv --without-pip %s %s", option,
             name);
    cr_assert_eq(system(command), 0, "%s", command);
}

static const char in_venv[] =
    "sys.prefix == os.path.join(os.getcwd(), 'my env') and "
    "sys.base_prefix != sys.prefix and "
    "sys.executable == sys.prefix + '/bin/python' and "
    "any(p.startswith(sys.prefix + '/lib') and p.endswith('site-packages') "
    "for p in sys.path)";

Test(interpreter, runs_in_a_virtual_environment)
{
    char path[128];
    make_venv("'my env'", "");
    snprintf(path, sizeof path, "%s/my env", folder);
    wsgi_python_config config = WSGI_PYTHON_CONFIG_INIT;
    config.venv = path;
    setenv("VIRTUAL_ENV", "/usr", 1); /* outdone by the one that is given */
    start(&config);
    cr_expect(is_true(in_venv));
    cr_expect(is_true("not any('dist-packages' in p for p in sys.path)"));
    finish();
}

Test(interpreter, runs_in_a_virtual_environment_by_its_relative_path)
{
    make_venv("'my env'", "");
    wsgi_python_config config = WSGI_PYTHON_CONFIG_INIT;
    config.venv = "my env/";
    start(&config);
    cr_expect(is_true("os.path.samefile(sys.prefix, 'my env')"));
    cr_expect(is_true("os.path.isabs(sys.executable)"));
    finish();
}

Test(interpreter, runs_in_the_virtual_environment_of_the_variable)
{
    char path[128];
    make_venv("'my env'", "--system-site-packages");
    snprintf(path, sizeof path, "%s/my env", folder);
    setenv("VIRTUAL_ENV", path, 1);
    start(NULL);
    cr_expect(is_true(in_venv));
    cr_expect(is_true("all(p in sys.path for p in "
                      "site.getsitepackages([sys.base_prefix]) "
                      "if os.path.isdir(p))"));
    finish();
}

Test(interpreter, passes_over_a_variable_that_names_nothing)
{
    setenv("VIRTUAL_ENV", "/nowhere/at/all", 1);
    start(NULL);
    cr_expect(is_true("sys.prefix == sys.base_prefix"));
    finish();
}

#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor) TEXT_OF(major) "." TEXT_OF(minor)
#define OUR_VERSION VERSION_TEXT(PY_MAJOR_VERSION, PY_MINOR_VERSION)
#define OUR_LIB "lib/python" OUR_VERSION

static const struct {
    const char *name;
    const char *cfg; /* of pyvenv.cfg; NULL: none */
    const char *lib; /* a folder to make; NULL: none */
    const char *wanted[4];
} refused[] = {
    { "none", NULL, OUR_LIB, { "no virtual environment", "pyvenv.cfg" } },
    { "venv",
      "home = /usr/bin\nversion = 3.7.2\n",
      OUR_LIB,
      { "Python 3.7", OUR_VERSION, "-m venv" } },
    { "virtualenv",
      "virtualenv = 20.1\nversion_info = 3.6.1.final.0\n",
      OUR_LIB,
      { "Python 3.6", OUR_VERSION } },
    { "blanks and case",
      "VERSION=3.5\r\n",
      OUR_LIB,
      { "Python 3.5", OUR_VERSION } },
    { "by lib", "home = /usr/bin\n", "lib/python3.4", { "Python 3.4" } },
    { "no lib",
      "version = " OUR_VERSION ".1\n",
      NULL,
      { "no virtual environment", OUR_LIB } },
    { "no version", "version =\n", "lib/perl", { OUR_LIB " is missing" } },
};

static void
make_refused(size_t i)
{
    char command[256];
    snprintf(command, sizeof command, "rm -rf env; mkdir -p env/%s",
             refused[i].lib ? refused[i].lib : "");
    cr_assert_eq(system(command), 0);
    FILE *file = refused[i].cfg ? fopen("env/pyvenv.cfg", "w") : NULL;
    if (file) {
        fputs(refused[i].cfg, file);
        fclose(file);
    }
}

Test(interpreter, refuses_what_is_not_its_virtual_environment)
{
    char error[1024];
    setenv("VIRTUAL_ENV", "env", 1);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        make_refused(i);
        int status = wsgi_python_init(NULL, error, sizeof error);
        cr_expect_eq(status, WSGI_ERR_PYTHON, "%s: %d", refused[i].name,
                     status);
        cr_expect(strstr(error, "\"env\"") && strstr(error, "VIRTUAL_ENV"),
                  "%s: %s", refused[i].name, error);
        for (const char *const *part = refused[i].wanted; *part; part++)
            cr_expect(strstr(error, *part), "%s: no %s in: %s",
                      refused[i].name, *part, error);
        cr_expect_not(Py_IsInitialized(), "%s", refused[i].name);
    }
}

Test(interpreter, refuses_a_virtual_environment_that_is_not_there)
{
    char error[256];
    wsgi_python_config config = WSGI_PYTHON_CONFIG_INIT;
    config.venv = "/nowhere";
    cr_expect_eq(wsgi_python_init(&config, error, sizeof error),
                 WSGI_ERR_PYTHON);
    cr_expect(strstr(error, "\"/nowhere\"") && strstr(error, "no such folder"),
              "%s", error);
    char one[1] = { 'x' };
    cr_expect_eq(wsgi_python_init(&config, one, 1), WSGI_ERR_PYTHON);
    cr_expect_eq(one[0], '\0');
    cr_expect_eq(wsgi_python_init(&config, NULL, 0), WSGI_ERR_PYTHON);
}

/* Python itself leaks what it had set up: the process is left without looking
 * for that. */
Test(interpreter, tells_what_python_says)
{
    char error[512] = "";
    setenv("PYTHONHOME", "/nowhere", 1);
    pid_t child = fork();
    if (child == 0) {
        int status = wsgi_python_init(NULL, error, sizeof error);
        _exit(status == WSGI_ERR_PYTHON && strstr(error, "PYTHONHOME is") ? 0
                                                                          : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x",
              (unsigned)status);
}

Test(interpreter, survives_each_failing_allocation)
{
    make_venv("env", "");
    wsgi_python_config config = WSGI_PYTHON_CONFIG_INIT;
    config.venv = "env";
    int status = WSGI_ERR_NOMEM;
    long nth = 0;
    while (status == WSGI_ERR_NOMEM && nth < 50) {
        char error[256] = "";
        wsgi__mem_fail_nth(++nth);
        status = wsgi_python_init(&config, error, sizeof error);
        wsgi__mem_fail_nth(0);
        cr_expect(status == WSGI_OK || strstr(error, "out of memory"),
                  "%ld: %d %s", nth, status, error);
    }
    cr_expect_eq(status, WSGI_OK);
    cr_expect_gt(nth, 2, "nothing was allocated");
    finish();
}

static int
exit_code_of(pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static const char hooks[] =
    "import os\n"
    "seen = []\n"
    "os.register_at_fork(before=lambda: seen.append('before'),\n"
    "    after_in_parent=lambda: seen.append('parent'),\n"
    "    after_in_child=lambda: seen.append('child'))\n";

static pid_t
fork_with_python(PyObject *module)
{
    wsgi_python_before_fork();
    pid_t child = fork();
    if (child > 0) {
        wsgi_python_after_fork_parent();
        return child;
    }
    wsgi_python_after_fork_child();
    wsgi__gil_enter(&gil);
    bool right = python_true(module, "seen == ['before', 'child'] and "
                                     "__import__('threading').main_thread()"
                                     ".is_alive()");
    wsgi__gil_leave(&gil);
    _exit(right ? 0 : 1);
}

Test(interpreter, is_told_of_forks)
{
    start(NULL);
    wsgi__gil_enter(&gil);
    PyObject *module = python_module("hooks", hooks);
    wsgi__gil_leave(&gil);
    cr_expect_eq(exit_code_of(fork_with_python(module)), 0);
    cr_expect_not(wsgi__gil_held(), "as before");
    wsgi__gil_enter(&gil);
    cr_expect(python_true(module, "seen == ['before', 'parent']"));
    PyRun_SimpleString("import hooks; hooks.seen.clear()");
    cr_expect_eq(exit_code_of(fork_with_python(module)), 0);
    cr_expect(wsgi__gil_held(), "as before");
    Py_DECREF(module);
    wsgi__gil_leave(&gil);
    finish();
}

Test(interpreter, need_not_be_there_for_forks)
{
    wsgi_python_before_fork();
    wsgi_python_after_fork_parent();
    wsgi_python_after_fork_child();
    cr_expect_not(Py_IsInitialized());
}
