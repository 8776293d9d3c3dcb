/*
 * Runs a target over files, without libFuzzer:
 *
 *     replay_parser [--not-empty] FILE|FOLDER...
 *
 * Each file is named before it runs, so that the last line tells which one
 * failed.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned long n_files;

static void
die(const char *path)
{
    fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    exit(2);
}

/* In memory of exactly its size, so that a read behind it is found. */
static void
run_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);

    if (!file || !data)
        die(path);
    if (fread(data, 1, size, file) != size)
        die(path);
    fclose(file);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    n_files++;
}

static void run_path(const char *path);

static void
run_folder(const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);

    if (n < 0)
        die(path);
    for (int i = 0; i < n; i++) {
        char child[4096];
        int len =
            snprintf(child, sizeof(child), "%s/%s", path, entries[i]->d_name);
        if (len < 0 || (size_t)len >= sizeof(child)) {
            errno = ENAMETOOLONG;
            die(path);
        }
        if (entries[i]->d_name[0] != '.')
            run_path(child);
        free(entries[i]);
    }
    free(entries);
}

static void
run_path(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        die(path);
    if (S_ISDIR(st.st_mode))
        run_folder(path);
    else
        run_file(path, (size_t)st.st_size);
}

int
main(int argc, char **argv)
{
    int first = argc > 1 && strcmp(argv[1], "--not-empty") == 0 ? 2 : 1;

    for (int i = first; i < argc; i++)
        run_path(argv[i]);
    printf("%lu files\n", n_files);
    return first == 2 && n_files == 0;
}
