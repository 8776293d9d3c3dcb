/* The command line as data, the names that were probably meant, and --help. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "help.h"

#define MOST 12

static int
parse(args *into, const char *const *words, char *why, size_t size)
{
    char *argv[MOST + 2] = { (char *)(uintptr_t) "wsgid" };
    int argc = 1;
    text error;

    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    text_init(&error, why, size);
    return args_parse(into, argc, argv, &error);
}

/* Everything that was read, as one text. */
static void
describe(const args *a, char *out, size_t size)
{
    FILE *to = fmemopen(out, size, "w");
    const struct {
        const char *name, *value;
    } strings[] = {
        { "chdir", a->chdir },
        { "pythonpath", a->pythonpath },
        { "venv", a->venv },
        { "access", a->access_logfile },
        { "format", a->access_logformat },
        { "errors", a->error_logfile },
        { "pid", a->pid },
        { "user", a->user },
        { "group", a->group },
        { "name", a->name },
        { "metrics", a->metrics_bind },
        { "control", a->control_socket },
        { "workers", a->workers },
    };

    fprintf(to, "%s", a->app ? a->app : "(none)");
    if (a->action != ARGS_SERVE)
        fprintf(to, " action=%d", (int)a->action);
    for (size_t i = 0; i < a->binds.n; i++)
        fprintf(to, " bind=%s", a->binds.items[i]);
    for (size_t i = 0; i < a->env.n; i++)
        fprintf(to, " env=%s", a->env.items[i]);
    for (size_t i = 0; i < a->reload_files.n; i++)
        fprintf(to, " extra=%s", a->reload_files.items[i]);
    for (size_t i = 0; i < a->names.n; i++)
        fprintf(to, " %s:%s", a->names.items[i], a->values.items[i]);
    for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
        if (strings[i].value)
            fprintf(to, " %s=%s", strings[i].name, strings[i].value);
    if (a->log_level != WSGI_LOG_INFO)
        fprintf(to, " level=%d", (int)a->log_level);
    if (a->umask >= 0)
        fprintf(to, " umask=%o", (unsigned)a->umask);
    if (a->daemon)
        fprintf(to, " daemon");
    if (a->reload)
        fprintf(to, " reload");
    if (a->heartbeat_timeout >= 0)
        fprintf(to, " heartbeat=%d", (int)a->heartbeat_timeout);
    if (a->trace)
        fprintf(to, " trace");
    if (a->preload)
        fprintf(to, " preload");
    fclose(to);
}

Test(args, accepted)
{
    static const struct {
        const char *words[MOST];
        const char *read;
    } cases[] = {
        { { "m:app" }, "m:app" },
        { { "-b", ":80", "m" }, "m bind=:80" },
        { { "-b:80", "m" }, "m bind=:80" },
        { { "--bind=:80", "--listen", "unix:/x", "m" },
          "m bind=:80 bind=unix:/x" },
        { { "m", "-e", "A=1", "--env=B=2=3", "-eC=" },
          "m env=A=1 env=B=2=3 env=C=" },
        { { "--chdir", "/a", "--pythonpath", "b,c", "--venv=v", "m" },
          "m chdir=/a pythonpath=b,c venv=v" },
        { { "--access-logfile", "-", "--log-file", "e.log", "m" },
          "m access=- errors=e.log" },
        { { "--access-logformat", "%(h)s", "-p", "x.pid", "m" },
          "m format=%(h)s pid=x.pid" },
        { { "--chdir", "a", "--chdir=b", "m" }, "m chdir=b" },
        { { "--chdir=", "m" }, "m chdir=" },
        { { "--log-level", "debug", "m" }, "m level=3" },
        { { "--log-level=WARNING", "m" }, "m level=1" },
        { { "--log-level=critical", "m" }, "m level=0" },
        { { "--trace", "m" }, "m trace" },
        { { "--trace=yes", "m" }, "m trace" },
        { { "--trace", "--no-trace", "m" }, "m" },
        { { "-D", "-u", "www", "-g33", "-m", "027", "-n", "shop", "m" },
          "m user=www group=33 name=shop umask=27 daemon" },
        { { "--umask=0", "--daemon", "--no-daemon", "m" }, "m umask=0" },
        { { "--metrics-bind", ":9100", "--control-socket=x", "m" },
          "m metrics=:9100 control=x" },
        { { "status", "--control-socket", "x" }, "(none) action=4 control=x" },
        { { "--control-socket", "unix:/run/x", "m" }, "m control=/run/x" },
        { { "--control-socket", "./@x", "m" }, "m control=./@x" },
        { { "--reload", "--reload-extra-file", "a", "m",
            "--reload-extra-file=b" },
          "m extra=a extra=b reload" },
        { { "status", "--help" }, "(none) action=2" },
        { { "--", "status" }, "status" },
        { { "-b", "x", "status" }, "status bind=x" },
        { { "--check-app", "m" }, "m action=1" },
        { { "-w", "4", "m" }, "m workers=4" },
        { { "-w0", "m" }, "m workers=0" },
        { { "--workers=auto", "m" }, "m workers=auto" },
        { { "--preload", "m" }, "m preload" },
        { { "--heartbeat-timeout", "3.5", "m" }, "m heartbeat=3500" },
        { { "--heartbeat-timeout=0", "m" }, "m heartbeat=0" },
        { { "--check-app", "--no-check-app", "m" }, "m" },
        /* The library's own, by name, alias and negation. */
        { { "--keep-alive", "5s", "m" }, "m keep-alive:5s" },
        { { "--keep-alive=5", "m", "--keep-alive", "6" },
          "m keep-alive:5 keep-alive:6" },
        { { "--sendfile", "m" }, "m sendfile:yes" },
        { { "--no-sendfile", "m" }, "m sendfile:no" },
        { { "--sendfile=off", "m" }, "m sendfile:off" },
        { { "--factory", "m:make" }, "m:make factory:yes" },
        { { "--root-path", "", "m" }, "m root-path:" },
        /* A value may look like a short option or a file name. */
        { { "--server-header", "-x", "m" }, "m server-header:-x" },
        { { "--", "m" }, "m" },
        { { "--", "--trace" }, "--trace" },
        { { "-b", ":1", "--", "-m" }, "-m bind=:1" },
        /* Help and version need nothing else, and nothing after them. */
        { { "--help" }, "(none) action=2" },
        { { "-h" }, "(none) action=2" },
        { { "--version", "--bogus" }, "(none) action=3" },
        { { "-v" }, "(none) action=3" },
        { { "-vh" }, "(none) action=2" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char why[512], read[512] = "";
        args a;
        int code = parse(&a, cases[i].words, why, sizeof(why));
        cr_expect_eq(code, 0, "case %zu, %s: %s", i, cases[i].read, why);
        describe(&a, read, sizeof(read));
        cr_expect_str_eq(read, cases[i].read, "case %zu: %s, not %s", i, read,
                         cases[i].read);
        args_free(&a);
    }
}

Test(args, refused)
{
    static const struct {
        const char *words[MOST];
        const char *why;
    } cases[] = {
        { { NULL }, "Provide a WSGI application object as module:callable" },
        { { "--trace" },
          "Provide a WSGI application object as module:callable" },
        { { "--timeout", "a:b" }, "--timeout cannot be \"a:b\": expected a" },
        { { "--backlog=x", "a:b" }, "--backlog cannot be \"x\"" },
        { { "--keep-alive", "-1", "a:b" }, "--keep-alive cannot be \"-1\"" },
        { { "--timeout", "soon", "--help" }, "--timeout cannot be" },
        { { "--sendfile=perhaps", "m" }, "--sendfile cannot be \"perhaps\"" },
        { { "--heartbeat-timeout=a-word-that-is-rather-long", "m" },
          "2m or 1h" },
        { { "status", "--control-socket", "x", "--timeout", "soon" },
          "--timeout cannot be" },
        { { "a:b", "c:d" }, "there are two: \"a:b\" and \"c:d\"" },
        { { "--bnid", "x", "m" },
          "unknown option --bnid; did you mean --bind?" },
        { { "--keepalve=3", "m" }, "did you mean --keep-alive?" },
        { { "--acces-logfile", "m" }, "did you mean --access-logfile?" },
        { { "--access_logfile", "m" }, "did you mean --access-logfile?" },
        { { "--error", "m" }, "did you mean --error-logfile?" },
        { { "--no-sendfil", "m" }, "did you mean --sendfile?" },
        { { "--xyzzy", "m" },
          "unknown option --xyzzy; wsgid --help lists what there is" },
        { { "-k", "gevent", "m" },
          "unknown option -k; there is one kind of worker: leave it out" },
        { { "--worker-class=sync", "m" }, "there is one kind of worker" },
        { { "-c", "gunicorn.conf.py", "m" },
          "wsgid reads no configuration file" },
        { { "-t", "30", "m" }, "unknown option -t; write --timeout" },
        { { "--certfile", "x", "m" }, "put a proxy in front" },
        { { "-version" }, "unknown option -version; did you mean --version?" },
        { { "-workers", "2", "m" }, "did you mean --workers?" },
        { { "-bind=:80", "m" }, "did you mean --bind?" },
        { { "-x", "m" }, "unknown option -x;" },
        { { "-vx", "m" }, "unknown option -x;" },
        { { "--bind" }, "--bind needs a value: --bind ADDRESS" },
        { { "-b" }, "--bind needs a value: --bind ADDRESS" },
        { { "--bind", "--trace", "m" }, "--bind needs a value" },
        { { "--keep-alive", "--trace", "m" }, "--keep-alive needs a value" },
        { { "--no-bind", "m" }, "--bind cannot be turned off" },
        { { "--no-trace=1", "m" }, "--no-trace takes no value" },
        { { "--trace=perhaps", "m" },
          "--trace cannot be \"perhaps\": expected yes" },
        { { "-e", "NAME", "m" }, "--env needs NAME=VALUE, not \"NAME\"" },
        { { "-e", "=x", "m" }, "--env needs NAME=VALUE, not \"=x\"" },
        { { "--log-level", "loud", "m" },
          "--log-level is debug, info, warning, error or critical, not "
          "\"loud\"" },
        { { "-w", "some", "m" },
          "--workers is a number from 0 to 256, or auto, not \"some\"" },
        { { "--workers=257", "m" }, "not \"257\"" },
        { { "--workers=-1", "m" }, "not \"-1\"" },
        { { "--workers= 1", "m" }, "not \" 1\"" },
        { { "--heartbeat-timeout=soon", "m" },
          "--heartbeat-timeout cannot be \"soon\"" },
        { { "--heartbeat-timeout", "2.9", "m" },
          "--heartbeat-timeout is 3 seconds or more, or 0 for never, not "
          "\"2.9\"" },
        { { "--=x", "m" }, "unknown option --" },
        { { "--umask", "8", "m" },
          "--umask cannot be \"8\": expected permissions in octal from 0" },
        { { "--control-socket=@x", "m" },
          "--control-socket is the path of a file, which only its owner may "
          "use, not \"@x\"" },
        { { "--control-socket=unix:@x", "m" }, "not \"unix:@x\"" },
        { { "--control-socket=", "m" }, "not \"\"" },
        { { "status", "--control-socket", "@x" }, "not \"@x\"" },
        { { "status" }, "wsgid status needs --control-socket PATH" },
        { { "status", "--control-socket", "x", "m" },
          "takes no application; there is \"m\"" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char why[512];
        args a;
        int code = parse(&a, cases[i].words, why, sizeof(why));
        cr_expect_eq(code, 2, "case %zu, %s", i, cases[i].why);
        cr_expect(strstr(why, cases[i].why), "case %zu: %s, not %s", i, why,
                  cases[i].why);
        args_free(&a);
    }
}

Test(args, a_name_of_any_length_is_only_unknown)
{
    static char word[4096];
    const char *words[] = { word, "m", NULL };
    char why[512];
    args a;

    memset(word, 'x', sizeof(word) - 1);
    word[0] = word[1] = '-';
    cr_expect_eq(parse(&a, words, why, sizeof(why)), 2);
    cr_expect(strncmp(why, "unknown option --xxx", 20) == 0);
    args_free(&a);
}

Test(args, no_name_stands_in_both_tables)
{
    const args_option *option = NULL;

    while ((option = args_option_next(option))) {
        const wsgi_option_info *info = &option->info;
        cr_expect_null(wsgi_option_find(info->name), "%s", info->name);
        if (*info->aliases)
            cr_expect_null(wsgi_option_find(info->aliases), "%s",
                           info->aliases);
        cr_expect_eq(info->size, sizeof(wsgi_option_info), "%s", info->name);
        cr_expect_not_null(option->take, "%s", info->name);
    }
}

Test(help, has_every_option_in_79_columns)
{
    char *help = NULL, name[64];
    size_t size;
    FILE *out = open_memstream(&help, &size);
    const args_option *own = NULL;
    const wsgi_option_info *info = NULL;

    help_print(out);
    fclose(out);
    while ((own = args_option_next(own))) {
        snprintf(name, sizeof(name), " --%s", own->info.name);
        cr_expect(strstr(help, name), "%s", name);
    }
    while ((info = wsgi_option_next(info))) {
        snprintf(name, sizeof(name), " --%s%s",
                 info->kind == WSGI_KIND_BOOL ? "[no-]" : "", info->name);
        cr_expect(strstr(help, name), "%s", name);
    }
    for (const char *line = help; *line;) {
        size_t len = strcspn(line, "\n");
        cr_expect_leq(len, 79, "%.*s", (int)len, line);
        line += len + (line[len] == '\n');
    }
    free(help);
}

/* The last value counts, in the unit of the library; else its default. */
Test(args, number)
{
    static const struct {
        const char *words[MOST];
        int64_t number;
    } cases[] = {
        { { "m" }, 30000 },
        { { "--graceful-timeout", "5", "m" }, 5000 },
        { { "--graceful-timeout=5", "--graceful-timeout=2m", "m" }, 120000 },
        { { "--keep-alive=7", "m" }, 30000 },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char why[512];
        args a;
        cr_assert_eq(parse(&a, cases[i].words, why, sizeof(why)), 0, "%s",
                     why);
        cr_expect_eq(args_number(&a, "graceful-timeout"), cases[i].number,
                     "case %zu", i);
        args_free(&a);
    }
}
