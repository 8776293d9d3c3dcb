/* `wsgid --help`, from the two tables of options. */
#ifndef WSGID_HELP_H
#define WSGID_HELP_H

#include <stdio.h>

#define HELP_USAGE                                                            \
    "Usage: wsgid [options] module:callable\n"                                \
    "       wsgid status --control-socket PATH\n"

/* Lines of at most 79 columns. */
void help_print(FILE *out);

#endif
