/* Log files, the pid file, whose they are, and the trace. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "errorlog.h"
#include "identity.h"
#include "logfile.h"
#include "pidfile.h"
#include "trace.h"

/* A folder of the test's own, which is the current one. */
static char folder[] = P_tmpdir "/wsgid-test-XXXXXX";

static void
enter_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void
remove_folder(void)
{
    char command[sizeof(folder) + 16];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

static const char *
content_of(const char *path)
{
    static char content[8192];
    int fd = open(path, O_RDONLY);
    ssize_t len = fd < 0 ? -1 : read(fd, content, sizeof(content) - 1);

    if (fd >= 0)
        close(fd);
    content[len < 0 ? 0 : len] = '\0';
    return len < 0 ? "(no file)" : content;
}

static void
write_file(const char *path, const char *content)
{
    FILE *out = fopen(path, "w");

    cr_assert_not_null(out);
    fputs(content, out);
    fclose(out);
}

static void
append(logfile *log, const char *line)
{
    struct iovec part = { (char *)(uintptr_t)line, strlen(line) };

    logfile_write(log, &part, 1);
}

TestSuite(logfile, .init = enter_folder, .fini = remove_folder);
TestSuite(identity, .init = enter_folder, .fini = remove_folder);
TestSuite(pidfile, .init = enter_folder, .fini = remove_folder);

Test(logfile, appends)
{
    logfile log;

    write_file("log", "before\n");
    cr_assert(logfile_open(&log, "log", STDOUT_FILENO));
    append(&log, "a\n");
    append(&log, "b\n");
    cr_expect_str_eq(content_of("log"), "before\na\nb\n");
    cr_expect(fcntl(log.fd, F_GETFD) & FD_CLOEXEC);
    logfile_close(&log);
}

Test(logfile, a_dash_is_the_standard_stream_and_stays_open)
{
    logfile log;
    struct stat status;

    cr_assert(logfile_open(&log, "-", STDOUT_FILENO));
    cr_expect_eq(log.fd, STDOUT_FILENO);
    cr_expect(logfile_reopen(&log));
    logfile_close(&log);
    cr_expect_eq(fstat(STDOUT_FILENO, &status), 0);
}

Test(logfile, a_missing_folder_is_said)
{
    logfile log;

    cr_expect_not(logfile_open(&log, "none/log", STDOUT_FILENO));
    cr_expect_eq(errno, ENOENT);
}

Test(logfile, reopens_by_name_wherever_the_program_went)
{
    logfile log;

    cr_assert(logfile_open(&log, "log", STDOUT_FILENO));
    int fd = log.fd;
    append(&log, "old\n");
    cr_assert_eq(rename("log", "log.1"), 0);
    append(&log, "still old\n");
    cr_assert_eq(chdir("/"), 0);
    errno = ERANGE;
    cr_expect(logfile_reopen(&log));
    cr_expect_eq(errno, ERANGE, "a handler must leave errno alone");
    cr_assert_eq(chdir(folder), 0);
    append(&log, "new\n");
    cr_expect_eq(log.fd, fd);
    cr_expect(fcntl(log.fd, F_GETFD) & FD_CLOEXEC);
    cr_expect_str_eq(content_of("log.1"), "old\nstill old\n");
    cr_expect_str_eq(content_of("log"), "new\n");
    logfile_close(&log);
}

Test(logfile, keeps_the_old_file_when_it_cannot_reopen)
{
    logfile log;

    cr_assert_eq(mkdir("logs", 0700), 0);
    cr_assert(logfile_open(&log, "logs/log", STDOUT_FILENO));
    cr_assert_eq(rename("logs", "moved"), 0);
    cr_expect_not(logfile_reopen(&log));
    append(&log, "here\n");
    cr_expect_str_eq(content_of("moved/log"), "here\n");
    logfile_close(&log);
}

/* With --daemon, stderr is nobody's. */
Test(logfile, what_goes_wrong_is_in_the_error_log)
{
    errorlog errors = { .level = WSGI_LOG_INFO };
    logfile log;

    cr_assert_eq(mkdir("logs", 0700), 0);
    cr_assert(logfile_open(&errors.file, "errors", STDERR_FILENO));
    cr_assert(logfile_open(&log, "logs/log", STDOUT_FILENO));
    errorlog_hear(&errors, &log);
    cr_assert_eq(rename("logs", "moved"), 0);
    cr_expect_not(logfile_reopen(&log));
    const char *content = content_of("errors");
    cr_expect(strstr(content, "[ERROR] cannot reopen /"), "%s", content);
    cr_expect(strstr(content, "/logs/log: no such directory; the old file is "
                              "kept\n"),
              "%s", content);
    logfile_close(&log);
    logfile_close(&errors.file);
}

Test(logfile, an_error_log_that_is_full_does_not_hear_itself)
{
    errorlog errors = { .level = WSGI_LOG_INFO };

    cr_assert(logfile_open(&errors.file, "/dev/full", STDERR_FILENO));
    errorlog_hear(&errors, &errors.file);
    errorlog_write(&errors, WSGI_LOG_INFO, "lost");
    cr_expect(atomic_load(&errors.file.complained));
    logfile_close(&errors.file);
}

Test(logfile, a_full_disk_is_said_once_and_stops_nobody)
{
    logfile log;

    cr_assert(logfile_open(&log, "/dev/full", STDOUT_FILENO));
    int said = open("said", O_RDWR | O_CREAT, 0600);
    int kept = dup(STDERR_FILENO);
    dup2(said, STDERR_FILENO);
    append(&log, "a\n");
    append(&log, "b\n");
    dup2(kept, STDERR_FILENO);
    cr_expect_str_eq(content_of("said"),
                     "wsgid: cannot write to /dev/full: no space left on the "
                     "device; log entries are lost\n");
    logfile_close(&log);
    close(said);
    close(kept);
}

#define N_LINES 200

static void *
write_lines(void *user)
{
    for (int i = 0; i < N_LINES; i++)
        append(user, "0123456789012345678901234567890123456789\n");
    return NULL;
}

/* Every line of two threads is whole and in one of the files, while a third
 * reopens. */
Test(logfile, loses_and_mixes_nothing_while_it_is_reopened)
{
    logfile log;
    pthread_t threads[2];
    int n = 0;

    cr_assert(logfile_open(&log, "log", STDOUT_FILENO));
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, write_lines, &log), 0);
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "log.%d", i);
        rename("log", name);
        cr_expect(logfile_reopen(&log));
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    logfile_close(&log);

    FILE *all = popen("cat log*", "r");
    char line[128];
    while (fgets(line, sizeof(line), all)) {
        cr_expect_eq(strlen(line), 41, "%s", line);
        n++;
    }
    pclose(all);
    cr_expect_eq(n, 2 * N_LINES);
}

Test(logfile, the_error_log_has_gunicorns_form_and_a_level)
{
    errorlog log = { .level = WSGI_LOG_WARNING };
    long pid = 0;
    int end = 0;

    cr_assert(logfile_open(&log.file, "log", STDERR_FILENO));
    setenv("TZ", "UTC", 1);
    errorlog_write(&log, WSGI_LOG_INFO, "too much");
    errorlog_printf(&log, WSGI_LOG_WARNING, "%s %d", "two\nlines", 7);
    const char *content = content_of("log");
    cr_expect_eq(sscanf(content,
                        "[20%*2d-%*2d-%*2d %*2d:%*2d:%*2d +0000] [%ld] "
                        "[WARNING] two lines 7%n",
                        &pid, &end),
                 1, "%s", content);
    cr_expect_eq(pid, getpid());
    cr_expect_str_eq(content + end, "\n", "%s", content);
    logfile_close(&log.file);
}

static bool
take(pidfile *file, const char *path, char *why)
{
    text error;

    text_init(&error, why, 512);
    return pidfile_take(file, path, &error);
}

Test(pidfile, holds_our_number_until_it_is_released)
{
    pidfile file = { .path = NULL };
    char why[512], expected[32];
    struct stat status;

    snprintf(expected, sizeof(expected), "%ld\n", (long)getpid());
    cr_assert(take(&file, "pid", why), "%s", why);
    cr_expect_str_eq(content_of("pid"), expected);
    cr_assert_eq(stat("pid", &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0644);
    cr_assert_eq(chdir("/"), 0);
    pidfile_release(&file);
    cr_assert_eq(chdir(folder), 0);
    cr_expect_eq(access("pid", F_OK), -1);
}

/* A successor takes the name meanwhile; one that fails gives it back. */
Test(pidfile, steps_aside_and_comes_back)
{
    pidfile file = { .path = NULL };
    char why[512];

    pidfile_rename(&file, ".oldbin");
    cr_assert(take(&file, "pid", why), "%s", why);
    pidfile_rename(&file, ".oldbin");
    cr_expect_eq(access("pid", F_OK), -1);
    cr_expect_eq(access("pid.oldbin", F_OK), 0);
    pidfile_rename(&file, "");
    cr_expect_eq(access("pid", F_OK), 0);
    pidfile_rename(&file, ".oldbin");
    write_file("pid", "1\n");
    pidfile_release(&file);
    cr_expect_eq(access("pid.oldbin", F_OK), -1);
    cr_expect_eq(access("pid", F_OK), 0, "the successor's");
}

Test(pidfile, replaces_what_a_dead_process_left)
{
    char why[512], stale[32];
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    snprintf(stale, sizeof(stale), "%ld\n", (long)child);
    const char *const contents[] = { stale, "", "\n" };

    for (size_t i = 0; i < sizeof(contents) / sizeof(*contents); i++) {
        pidfile file = { .path = NULL };
        write_file("pid", contents[i]);
        cr_expect(take(&file, "pid", why), "'%s': %s", contents[i], why);
        pidfile_release(&file);
    }
}

Test(pidfile, refuses_what_is_not_its_own)
{
    char running[32];
    /* Our parent lives as long as we do. */
    snprintf(running, sizeof(running), "%ld\n", (long)getppid());
    const struct {
        const char *content, *why;
    } cases[] = {
        { running, ", which is running; stop that" },
        { "def app(environ, start_response):\n", "is not a pid file" },
        { "12x", "is not a pid file" },
        { "-1\n", "is not a pid file" },
        { "99999999999999999999999999999999999999\n", "is not a pid file" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        pidfile file = { .path = NULL };
        char why[512];
        write_file("pid", cases[i].content);
        cr_expect_not(take(&file, "pid", why), "%s", cases[i].content);
        cr_expect(strstr(why, cases[i].why), "%s: %s", cases[i].content, why);
        cr_expect_str_eq(content_of("pid"), cases[i].content);
        pidfile_release(&file);
        cr_expect_eq(access("pid", F_OK), 0, "%s", cases[i].content);
    }
}

/* As root, a rename would put a file in the place of /dev/null. */
Test(pidfile, refuses_what_is_no_regular_file)
{
    static const char *const paths[] = { "pipe", "folder", "to-pipe",
                                         "to-nothing" };

    cr_assert_eq(mkfifo("pipe", 0600), 0);
    cr_assert_eq(mkdir("folder", 0700), 0);
    cr_assert_eq(symlink("pipe", "to-pipe"), 0);
    cr_assert_eq(symlink("nothing", "to-nothing"), 0);
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        pidfile file = { .path = NULL };
        struct stat before, after;
        char why[512];
        cr_assert_eq(lstat(paths[i], &before), 0);
        cr_expect_not(take(&file, paths[i], why), "%s", paths[i]);
        cr_expect(strstr(why, "not a regular file; name another"), "%s", why);
        pidfile_release(&file);
        cr_expect_eq(lstat(paths[i], &after), 0, "%s", paths[i]);
        cr_expect_eq(after.st_ino, before.st_ino, "%s", paths[i]);
    }
}

Test(pidfile, follows_a_link_to_a_file)
{
    pidfile file = { .path = NULL };
    char why[512];
    struct stat status;

    write_file("real", "");
    cr_assert_eq(symlink("real", "link"), 0);
    cr_assert(take(&file, "link", why), "%s", why);
    cr_expect_eq(atol(content_of("real")), getpid());
    cr_assert_eq(lstat("link", &status), 0);
    cr_expect(S_ISLNK(status.st_mode));
    pidfile_release(&file);
    cr_expect_eq(access("real", F_OK), -1);
}

Test(pidfile, leaves_a_file_alone_that_another_process_took_over)
{
    pidfile file = { .path = NULL };
    char why[512];

    cr_assert(take(&file, "pid", why), "%s", why);
    write_file("pid", "1\n");
    pidfile_release(&file);
    cr_expect_str_eq(content_of("pid"), "1\n");
}

Test(pidfile, says_what_cannot_be_written)
{
    pidfile file = { .path = NULL };
    char why[512];

    cr_expect_not(take(&file, "none/pid", why));
    cr_expect_str_eq(why, "--pid \"none/pid\": No such file or directory; "
                          "correct the path or create its folder first");
}

static uid_t
owner_of(const char *path)
{
    struct stat status;

    cr_assert_eq(stat(path, &status), 0);
    return status.st_uid;
}

/* A log may be /dev/null or /dev/stdout: the machine's, not this server's. */
Test(identity, gives_away_regular_files_alone)
{
    const identity who = { .wanted = true, .uid = 12345, .gid = 12345 };

    cr_assert_eq(mkfifo("pipe", 0600), 0);
    write_file("file", "");
    int pipe = open("pipe", O_RDWR);
    int file = open("file", O_RDWR);
    cr_expect(identity_give_open(&who, pipe));
    cr_expect_eq(owner_of("pipe"), geteuid());
    /* For which it takes root. */
    cr_expect_eq(identity_give_open(&who, file), geteuid() == 0);
    cr_expect_eq(owner_of("file"), geteuid() == 0 ? 12345 : geteuid());
    close(pipe);
    close(file);
}

Test(trace, reads_like_curl)
{
    static char large[300];
    static const struct {
        wsgi_trace_kind kind;
        const char *data;
        size_t len;
        const char *lines;
    } cases[] = {
        { WSGI_TRACE_TEXT, "accepted from 127.0.0.1:1", 25,
          "[7] * accepted from 127.0.0.1:1\n" },
        { WSGI_TRACE_REQUEST_HEAD, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 28,
          "[7] > GET /x HTTP/1.1\n[7] > Host: a\n[7] > \n" },
        { WSGI_TRACE_RESPONSE_HEAD, "HTTP/1.1 200 OK\r\n\r\n", 19,
          "[7] < HTTP/1.1 200 OK\n[7] < \n" },
        { WSGI_TRACE_REQUEST_HEAD, "GET /\x1b[2J\nbare", 14,
          "[7] > GET /\\x1b[2J\n[7] > bare\n" },
        { WSGI_TRACE_REQUEST_BODY, "hello", 5,
          "[7] } [5 bytes data] hello\n" },
        { WSGI_TRACE_RESPONSE_BODY, "a\n\0b", 4,
          "[7] { [4 bytes data] a\\n\\x00b\n" },
        { WSGI_TRACE_RESPONSE_BODY, "", 0, "[7] { [0 bytes data] \n" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *lines = NULL;
        size_t size;
        FILE *out = open_memstream(&lines, &size);
        trace_write(out, cases[i].kind, 7, cases[i].data, cases[i].len);
        fclose(out);
        cr_expect_str_eq(lines, cases[i].lines, "%s", lines);
        free(lines);
    }

    char *lines = NULL;
    size_t size;
    FILE *out = open_memstream(&lines, &size);
    memset(large, '\x01', sizeof(large));
    trace_write(out, WSGI_TRACE_RESPONSE_BODY, 1, large, sizeof(large));
    fclose(out);
    cr_expect(strncmp(lines, "[1] { [300 bytes data] \\x01", 27) == 0);
    cr_expect_eq(size, 23 + 256 * 4 + 4, "%zu", size);
    cr_expect_str_eq(lines + size - 4, "...\n");
    free(lines);
}
