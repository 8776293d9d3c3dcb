#include "foreign.h"

#include <stddef.h>
#include <string.h>

#define ONE_KIND                                                              \
    "there is one kind of worker: leave it out (--threads N for calls side "  \
    "by side)"
#define NO_FILE                                                               \
    "wsgid reads no configuration file: write the options on the command "    \
    "line"
#define NO_TLS "TLS is not part of wsgid: put a proxy in front"
#define NO_TRUST                                                              \
    "wsgid believes no X-Forwarded-* field: the application reads them "      \
    "(docs/operations.md)"

static const struct {
    const char *name, *remedy;
} remedies[] = {
    { "k", ONE_KIND },
    { "worker-class", ONE_KIND },
    { "c", NO_FILE },
    { "config", NO_FILE },
    { "t", "write --timeout" },
    { "T", "write --threads" },
    { "check-config", "write --check-app" },
    { "host", "write --bind HOST:PORT" },
    { "port", "write --bind :PORT" },
    { "certfile", NO_TLS },
    { "keyfile", NO_TLS },
    { "forwarded-allow-ips", NO_TRUST },
    { "proxy-protocol", NO_TRUST },
    { "capture-output", "stderr is the error log: print() shows already" },
    { "processes", "write --workers" },
};

const char *
foreign_remedy(const char *name)
{
    for (size_t i = 0; i < sizeof(remedies) / sizeof(*remedies); i++)
        if (strcmp(remedies[i].name, name) == 0)
            return remedies[i].remedy;
    return NULL;
}
