#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "python/venv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <wsgi/wsgi.h>

#define MAX_PATH_LEN (64 * 1024)
#define MAX_LINE 8192

typedef struct version {
    int major, minor; /* 0, 0: not known */
} version;

static version
ours(void)
{
    return (version){ PY_MAJOR_VERSION, PY_MINOR_VERSION };
}

static bool
is_known(version v)
{
    return v.major != 0;
}

static bool
is_same(version a, version b)
{
    return a.major == b.major && a.minor == b.minor;
}

/* "3.11", "3.11.2", "3.11.2.final.0"; anything else is not known. */
static version
parse_version(wsgi__span text)
{
    char digits[32];
    version v = { 0, 0 };
    if (text.len >= sizeof(digits))
        return v;
    memcpy(digits, text.ptr, text.len);
    digits[text.len] = '\0';
    if (sscanf(digits, "%4d.%4d", &v.major, &v.minor) != 2)
        return (version){ 0, 0 };
    return v;
}

/* A line "key = value" of pyvenv.cfg; the key in any case. */
static bool
line_is(const char *line, const char *key, wsgi__span *value)
{
    const char *equals = strchr(line, '=');
    if (!equals)
        return false;
    wsgi__span left = { line, (size_t)(equals - line) };
    *value = wsgi__span_of(equals + 1);
    while (value->len > 0 && strchr("\r\n", value->ptr[value->len - 1]))
        value->len--;
    *value = wsgi__span_trim(*value);
    return wsgi__span_is_nocase(wsgi__span_trim(left), wsgi__span_of(key));
}

/* venv writes `version`, virtualenv and uv `version_info`. */
static version
read_version(FILE *file)
{
    char line[MAX_LINE];
    wsgi__span value;
    version found = { 0, 0 };
    while (!is_known(found) && fgets(line, sizeof(line), file))
        if (line_is(line, "version_info", &value) ||
            line_is(line, "version", &value))
            found = parse_version(value);
    return found;
}

/* The version by the name of a folder, lib/python3.12. */
static version
version_in(const char *lib)
{
    version found = { 0, 0 };
    DIR *dir = opendir(lib);
    if (!dir)
        return found;
    struct dirent *entry;
    while (!is_known(found) && (entry = readdir(dir)) != NULL)
        if (strncmp(entry->d_name, "python", 6) == 0)
            found = parse_version(wsgi__span_of(entry->d_name + 6));
    closedir(dir);
    return found;
}

static bool
is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int
refuse_version(const char *folder, version theirs, wsgi__buf *reason)
{
    version v = ours();
    if (wsgi__buf_printf(
            reason,
            "the virtual environment \"%s\" is made for Python "
            "%d.%d, but this is Python %d.%d: make it again with "
            "python%d.%d -m venv, or use a server built for %d.%d",
            folder, theirs.major, theirs.minor, v.major, v.minor, v.major,
            v.minor, theirs.major, theirs.minor) < 0)
        return WSGI_ERR_NOMEM;
    return WSGI_ERR_PYTHON;
}

static int
refuse_folder(const char *folder, const char *why, wsgi__buf *reason)
{
    version v = ours();
    if (wsgi__buf_printf(reason,
                         "\"%s\" is no virtual environment: %s; make one with "
                         "python%d.%d -m venv",
                         folder, why, v.major, v.minor) < 0)
        return WSGI_ERR_NOMEM;
    return WSGI_ERR_PYTHON;
}

/* An environment without the folder where our packages would be: made for
 * another version, or broken. */
static int
check_lib(const char *folder, wsgi__buf *path, wsgi__buf *reason)
{
    version v = ours();
    wsgi__buf_reset(path);
    if (wsgi__buf_printf(path, "%s/lib/python%d.%d", folder, v.major,
                         v.minor) < 0)
        return WSGI_ERR_NOMEM;
    if (is_folder(path->data))
        return WSGI_OK;
    char why[64];
    snprintf(why, sizeof(why), "lib/python%d.%d is missing", v.major, v.minor);
    path->data[strlen(folder) + strlen("/lib")] = '\0';
    version theirs = version_in(path->data);
    return is_known(theirs) ? refuse_version(folder, theirs, reason)
                            : refuse_folder(folder, why, reason);
}

static int
check(const char *folder, wsgi__buf *path, wsgi__buf *reason)
{
    if (!is_folder(folder))
        return refuse_folder(folder, "there is no such folder", reason);
    if (wsgi__buf_printf(path, "%s/pyvenv.cfg", folder) < 0)
        return WSGI_ERR_NOMEM;
    FILE *file = fopen(path->data, "re");
    if (!file)
        return refuse_folder(folder,
                             errno == ENOENT ? "pyvenv.cfg is missing"
                                             : "pyvenv.cfg cannot be read",
                             reason);
    version theirs = read_version(file);
    fclose(file);
    if (is_known(theirs) && !is_same(theirs, ours()))
        return refuse_version(folder, theirs, reason);
    return check_lib(folder, path, reason);
}

int
wsgi__venv_check(const char *folder, wsgi__buf *reason)
{
    wsgi__buf path;
    wsgi__buf_init(&path, MAX_PATH_LEN);
    int status = check(folder, &path, reason);
    wsgi__buf_free(&path);
    return status;
}
