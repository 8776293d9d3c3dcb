/*
 * Connections that ask a server on 127.0.0.1 as fast as it answers: each sends
 * its next requests when the last are answered.  One thread, one epoll
 * descriptor, nothing allocated for a request.
 *
 *     clients_init(&set, &script, &style);
 *     clients_run(&set, 0.5, 0, 1);       warms up
 *     clients_run(&set, 3, 0, 1);         set.counts and set.latency tell
 *     clients_free(&set);
 */
#ifndef BENCH_CLIENTS_H
#define BENCH_CLIENTS_H

#include "answer.h"
#include "histogram.h"
#include "script.h"

typedef struct clients_style {
    uint16_t port;
    size_t connections;
    size_t pipeline; /* requests that a connection sends at once */
    bool own;        /* a connection asks the request of its number only */
} clients_style;

typedef struct client client;

/* What has been counted since the last clients_run(). */
typedef struct clients_counts {
    uint64_t sent, answered;
    uint64_t timely;     /* of the answered: before the time was over */
    uint64_t errors;     /* answers that are wrong, cut off or unreadable */
    uint64_t unanswered; /* at the end of the patience */
    uint64_t again;      /* sent again, the server having closed in between */
    uint64_t connects;
    uint64_t bytes;
    double seconds;
    char error[160]; /* the first of them, or "" */
} clients_counts;

typedef struct clients {
    const script *script;
    clients_style style;
    int poll;
    client *all;
    size_t busy; /* connections with answers to come */
    uint64_t next;
    uint64_t quota; /* requests that may still be sent */
    bool sending;   /* the time is not over */
    uint64_t now;
    char *in, *out;
    answer_cache cache;
    clients_counts counts;
    histogram latency; /* ns, of the timed requests */
} clients;

/* False, with a message on stderr, if descriptors or memory are short.  Free
 * it in any case. */
bool clients_init(clients *set, const script *requests,
                  const clients_style *style);
void clients_free(clients *set);

/* Sends for so many seconds, or so many requests where `requests` is not 0,
 * and then waits up to `patience` seconds for what is still to come. */
void clients_run(clients *set, double seconds, uint64_t requests,
                 double patience);

#endif
