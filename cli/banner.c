#include "banner.h"

#include <string.h>

void
banner_url(text *out, const char *address)
{
    static const char *const wildcards[] = { "0.0.0.0:", "[::]:" };

    if (strncmp(address, "unix:", 5) == 0) {
        text_puts(out, address);
        return;
    }
    text_puts(out, "http://");
    text_puts(out, address);
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(wildcards[i]);
        if (strncmp(address, wildcards[i], len) != 0)
            continue;
        text_puts(out, " (here: http://localhost:");
        text_puts(out, address + len);
        text_puts(out, ")");
    }
}
