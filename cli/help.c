#include "help.h"

#include <string.h>

#include "args.h"

#define WIDTH 79
#define COLUMN 30 /* where the sentences begin */

/* What a newer library has in other groups comes last. */
static const struct {
    const char *group, *heading;
} headings[] = {
    { "listening", "Listening" },     { "running", "Running" },
    { "time", "Time limits" },        { "limits", "Size limits" },
    { "application", "Application" }, { "logs", "Logs" },
    { "operations", "Operations" },
};
#define N_HEADINGS (sizeof(headings) / sizeof(*headings))

static size_t
heading_of(const char *group)
{
    size_t i = 0;

    while (i < N_HEADINGS && strcmp(headings[i].group, group) != 0)
        i++;
    return i;
}

/* Prints words from `column` on, breaking lines between them. */
static size_t
print_words(FILE *out, size_t column, const char *words)
{
    while (*words) {
        size_t len = strcspn(words, " ");
        if (column > COLUMN && column + 1 + len > WIDTH) {
            fprintf(out, "\n%*s", COLUMN, "");
            column = COLUMN;
        } else if (column > COLUMN) {
            fputc(' ', out);
            column++;
        }
        fwrite(words, 1, len, out);
        column += len;
        words += len;
        words += strspn(words, " ");
    }
    return column;
}

/* "(--listen)" and "[2048]": each is kept in one piece. */
static void
print_notes(FILE *out, size_t column, const wsgi_option_info *info)
{
    char note[128];
    const char *alias = info->aliases;

    while (*alias) {
        size_t len = strcspn(alias, " ");
        snprintf(note, sizeof(note), "(--%.*s)", (int)len, alias);
        column = print_words(out, column, note);
        alias += len;
        alias += strspn(alias, " ");
    }
    if (*info->initial) {
        snprintf(note, sizeof(note), "[%s]", info->initial);
        print_words(out, column, note);
    }
    fputc('\n', out);
}

/* "  -b, --bind ADDRESS", "      --[no-]sendfile" */
static void
print_option(FILE *out, const wsgi_option_info *info, char letter)
{
    char name[128];
    bool negatable = info->kind == WSGI_KIND_BOOL && *info->initial;
    int len = snprintf(name, sizeof(name), "  %c%c%c --%s%s%s%s",
                       letter ? '-' : ' ', letter ? letter : ' ',
                       letter ? ',' : ' ', negatable ? "[no-]" : "",
                       info->name, *info->argument ? " " : "", info->argument);

    if (len + 2 > COLUMN)
        fprintf(out, "%s\n%*s", name, COLUMN, "");
    else
        fprintf(out, "%-*s", COLUMN, name);
    print_notes(out, print_words(out, COLUMN, info->help), info);
}

static void
print_heading(FILE *out, const char *heading, bool *printed)
{
    if (!*printed)
        fprintf(out, "\n%s:\n", heading);
    *printed = true;
}

/* The options of the n-th heading; those of no known group for n past the
 * last. */
static void
print_group(FILE *out, size_t n)
{
    const char *heading = n < N_HEADINGS ? headings[n].heading : "More";
    const args_option *own = NULL;
    const wsgi_option_info *info = NULL;
    bool printed = false;

    while ((own = args_option_next(own))) {
        if (heading_of(own->info.group) == n) {
            print_heading(out, heading, &printed);
            print_option(out, &own->info, own->letter);
        }
    }
    while ((info = wsgi_option_next(info))) {
        if (heading_of(info->group) == n) {
            print_heading(out, heading, &printed);
            print_option(out, info, 0);
        }
    }
}

void
help_print(FILE *out)
{
    fputs(HELP_USAGE, out);
    fputs("\nServes a Python WSGI application over HTTP.  The application\n"
          "is module:callable, module:factory() or "
          "path/to/file.py:callable.\n\n"
          "Durations are written 30, 30s, 500ms, 2m or 1h; sizes 512, 8k, "
          "16M or 1G; 0 is\nno limit.  Defaults stand in [brackets].\n",
          out);
    for (size_t n = 0; n <= N_HEADINGS; n++)
        print_group(out, n);
}
