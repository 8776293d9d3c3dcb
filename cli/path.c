#include "path.h"

#include <errno.h>
#include <stddef.h>
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

char *
path_resolved(const char *path)
{
    char *resolved = realpath(path, NULL);
    return resolved ? resolved : path_absolute(path);
}

const char *
path_remedy(int error)
{
    static const struct {
        int error;
        const char *remedy;
    } remedies[] = {
        { ENOENT, "; correct the path or create its folder first" },
        { ENOTDIR, "; a part of the path is a file, correct it" },
        { EISDIR, "; name a file in it" },
        { EACCES, "; give this user the permission or choose another path" },
        { EROFS, "; choose a path on another file system" },
    };

    for (size_t i = 0; i < sizeof(remedies) / sizeof(*remedies); i++)
        if (remedies[i].error == error)
            return remedies[i].remedy;
    return "";
}
