/* Files that change, in a folder of the test's own. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "watcher.h"

static char folder[] = P_tmpdir "/wsgid-test-XXXXXX";
static watcher w;

static void
begin(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    cr_assert(watcher_open(&w));
}

static void
end(void)
{
    char command[sizeof(folder) + 16];

    watcher_close(&w);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(watcher, .init = begin, .fini = end);

static void
write_file(const char *name)
{
    FILE *out = fopen(name, "w");

    cr_assert_not_null(out, "%s", name);
    fputs("x", out);
    fclose(out);
}

static bool
add(const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return watcher_add(&w, path);
}

/* The name of what has changed, "" for nothing. */
static const char *
changed(bool any_python)
{
    static char path[512];
    size_t len = strlen(folder) + 1;

    if (!watcher_take(&w, any_python, path, sizeof(path)))
        return "";
    cr_assert(strncmp(path, folder, len - 1) == 0, "%s", path);
    return path + len;
}

Test(watcher, tells_of_its_files_alone)
{
    cr_assert(add("a.py") && add("b.ini"));
    write_file("c.py");
    cr_expect_str_eq(changed(false), "");
    write_file("a.py");
    cr_expect_str_eq(changed(false), "a.py");
    cr_expect_str_eq(changed(false), "");
    chmod("a.py", 0600);
    cr_expect_str_eq(changed(false), "");
    write_file("b.ini");
    cr_expect_str_eq(changed(false), "b.ini");
    write_file("d");
    cr_assert_eq(rename("d", "a.py"), 0);
    cr_expect_str_eq(changed(false), "a.py");
    unlink("a.py");
    cr_expect_str_eq(changed(false), "a.py");
    write_file("a.py");
    cr_expect_str_eq(changed(false), "a.py");
}

Test(watcher, tells_of_any_python_file_when_asked)
{
    cr_assert(watcher_add_folder(&w, folder));
    write_file("c.py");
    cr_expect_str_eq(changed(false), "");
    write_file("c.py");
    cr_expect_str_eq(changed(true), "c.py");
    write_file("c.pyc");
    write_file("py");
    cr_expect_str_eq(changed(true), "");
}

Test(watcher, knows_a_folder_by_any_path)
{
    char path[256];

    cr_assert(add("a.py"));
    snprintf(path, sizeof(path), "%s/./a.py", folder);
    cr_assert(watcher_add(&w, path));
    cr_assert(add("a.py"));
    cr_expect_eq(w.n_folders, 1);
    cr_expect_eq(w.n_files, 1);
}

Test(watcher, forgets_a_folder_that_is_gone)
{
    cr_assert_eq(mkdir("sub", 0777), 0);
    cr_assert(add("sub/a.py"));
    write_file("sub/a.py");
    cr_expect_str_eq(changed(false), "sub/a.py");
    unlink("sub/a.py");
    cr_assert_eq(rmdir("sub"), 0);
    cr_expect_str_eq(changed(false), "sub/a.py");
    cr_assert_eq(mkdir("sub", 0777), 0);
    write_file("sub/a.py");
    cr_expect_str_eq(changed(false), "");
    cr_assert(add("sub/a.py"));
    write_file("sub/a.py");
    cr_expect_str_eq(changed(false), "sub/a.py");
}

Test(watcher, refuses_what_it_cannot_watch)
{
    char long_path[5000];

    cr_expect_not(add("missing/a.py"));
    cr_expect_not(add("a.py/"));
    cr_expect_not(watcher_add(&w, "a.py"));
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[0] = long_path[4500] = '/';
    long_path[sizeof(long_path) - 1] = '\0';
    cr_expect_not(watcher_add(&w, long_path));
    cr_expect(watcher_add(&w, "/top.py"));
}

Test(watcher, holds_many)
{
    char name[32];

    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "m%d.py", i);
        cr_assert(add(name));
    }
    cr_expect_eq(w.n_files, 1000);
    write_file("m999.py");
    cr_expect_str_eq(changed(false), "m999.py");
}
