#include "path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *
path_absolute(const char *path)
{
    char *here, *joined = NULL;

    if (path[0] == '/')
        return strdup(path);
    here = getcwd(NULL, 0);
    if (!here || strcmp(path, ".") == 0 || path[0] == '\0')
        return here;
    if (asprintf(&joined, "%s/%s", strcmp(here, "/") ? here : "", path) < 0)
        joined = NULL;
    free(here);
    return joined;
}
