/*
 * Load for a server on 127.0.0.1:
 *
 *     load [OPTIONS] PORT SCRIPT
 *
 *     --connections N   connections at once (64)
 *     --pipeline N      requests that each of them sends at once (1)
 *     --own             connection n asks the n-th request only; otherwise
 *                       all requests take turns
 *     --warm-up S       seconds of load that are not counted (0)
 *     --seconds S       seconds of load that are counted (3)
 *     --requests N      so many requests instead, in at most --seconds
 *     --wait            say "ready" when warm, and go on when a byte comes on
 *                       standard input
 *
 * SCRIPT is described in script.h.  Prints one line of JSON.  Exits with 1 if
 * any answer was wrong.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clients.h"

/* How long answers may be late, in seconds. */
#define PATIENCE_WARM 0.5
#define PATIENCE 3.0
#define PATIENCE_COUNTED 30.0

typedef struct settings {
    clients_style style;
    double warm_up, seconds;
    uint64_t requests;
    bool wait;
    const char *script;
} settings;

static void
usage(void)
{
    fprintf(stderr, "usage: load [--connections N] [--pipeline N] [--own] "
                    "[--warm-up S]\n            [--seconds S] [--requests N] "
                    "[--wait] PORT SCRIPT\n");
    exit(2);
}

static size_t
number(const char *text, unsigned long most)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (end == text || *end || n == 0 || n > most) {
        fprintf(stderr, "load: %s is no number from 1 to %lu\n", text, most);
        exit(2);
    }
    return n;
}

static double
duration(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds >= 0 && seconds <= 86400)) {
        fprintf(stderr, "load: %s is no number of seconds\n", text);
        exit(2);
    }
    return seconds;
}

static void
read_option(settings *set, int option)
{
    switch (option) {
    case 'c':
        set->style.connections = number(optarg, 60000);
        break;
    case 'p':
        set->style.pipeline = number(optarg, 1024);
        break;
    case 'o':
        set->style.own = true;
        break;
    case 'u':
        set->warm_up = duration(optarg);
        break;
    case 's':
        set->seconds = duration(optarg);
        break;
    case 'n':
        set->requests = number(optarg, 1000000000);
        break;
    case 'w':
        set->wait = true;
        break;
    default:
        usage();
    }
}

static void
read_arguments(settings *set, int argc, char **argv)
{
    static const struct option options[] = {
        { "connections", required_argument, NULL, 'c' },
        { "pipeline", required_argument, NULL, 'p' },
        { "own", no_argument, NULL, 'o' },
        { "warm-up", required_argument, NULL, 'u' },
        { "seconds", required_argument, NULL, 's' },
        { "requests", required_argument, NULL, 'n' },
        { "wait", no_argument, NULL, 'w' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        read_option(set, option);
    if (argc - optind != 2)
        usage();
    set->style.port = (uint16_t)number(argv[optind], 65535);
    set->script = argv[optind + 1];
}

/* Whoever measures the server looks at it now and when all is over. */
static void
wait_for_go(void)
{
    char byte;

    printf("ready\n");
    fflush(stdout);
    if (read(STDIN_FILENO, &byte, 1) != 1)
        exit(2);
}

static double
percentile_us(const clients *set, double percent)
{
    return (double)histogram_percentile(&set->latency, percent) / 1000;
}

static void
print_counts(const clients *set)
{
    const clients_counts *counts = &set->counts;

    printf("{\"requests\": %llu, \"timely\": %llu, \"seconds\": %.6f, "
           "\"errors\": %llu, \"unanswered\": %llu, "
           "\"again\": %llu, \"connects\": %llu, "
           "\"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f, "
           "\"bytes\": %llu, \"error\": \"%s\"}\n",
           (unsigned long long)counts->answered,
           (unsigned long long)counts->timely, counts->seconds,
           (unsigned long long)counts->errors,
           (unsigned long long)counts->unanswered,
           (unsigned long long)counts->again,
           (unsigned long long)counts->connects, percentile_us(set, 50),
           percentile_us(set, 99), (double)set->latency.max / 1000,
           (unsigned long long)counts->bytes, counts->error);
}

static void
run(clients *set, const settings *how)
{
    if (how->warm_up > 0)
        clients_run(set, how->warm_up, 0, PATIENCE_WARM);
    if (how->wait)
        wait_for_go();
    clients_run(set, how->seconds, how->requests,
                how->requests ? PATIENCE_COUNTED : PATIENCE);
    print_counts(set);
}

int
main(int argc, char **argv)
{
    static clients set;
    settings how = {
        .style = { .connections = 64, .pipeline = 1 },
        .seconds = 3,
    };
    script requests;

    read_arguments(&how, argc, argv);
    bool ok = script_read(&requests, how.script);
    if (ok) {
        ok = clients_init(&set, &requests, &how.style);
        if (ok)
            run(&set, &how);
        ok = ok && set.counts.errors == 0 && set.counts.unanswered == 0;
        clients_free(&set);
    }
    script_free(&requests);
    return ok ? 0 : 1;
}
