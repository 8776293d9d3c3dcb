#include "clients.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000u
#define EVENTS 64

/* A piece of a line waits in a connection, and is put before what follows. */
#define MAX_PIECE (16 * 1024)
#define MAX_READ (256 * 1024)

/* A server that refuses connections would else be asked without end. */
#define MAX_ERRORS 1000

struct client {
    int fd; /* -1 when there is no connection */
    bool waits_to_write;
    bool reused;     /* has been answered since it was opened */
    uint64_t first;  /* number of the first request that was sent last */
    size_t expected; /* answers to what was sent last */
    size_t answered; /* of them */
    size_t written;  /* bytes of it */
    size_t to_write;
    uint64_t sent_at;
    answer answer;
    char *piece;
    size_t n_piece;
};

static uint64_t
clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static bool
is_busy(const client *c)
{
    return c->answered < c->expected;
}

/* The request that the n-th answer to come belongs to. */
static const request *
request_of(const clients *set, const client *c, size_t n)
{
    uint64_t number = set->style.own ? (uint64_t)(c - set->all) : c->first + n;
    return &set->script->requests[number % set->script->count];
}

/* ---- Connections -------------------------------------------------------- */

static void
watch(clients *set, client *c, int operation, bool write)
{
    struct epoll_event event = {
        .events = EPOLLIN | (write ? EPOLLOUT : 0u),
        .data.ptr = c,
    };
    if (epoll_ctl(set->poll, operation, c->fd, &event) < 0) {
        perror("load: epoll_ctl");
        exit(1);
    }
    c->waits_to_write = write;
}

static void
note_error(clients *set, const char *what, const client *c)
{
    clients_counts *counts = &set->counts;

    if (counts->errors++ == 0)
        snprintf(counts->error, sizeof(counts->error),
                 "%s: status %d, %lld bytes", what, c->answer.status,
                 (long long)c->answer.length);
}

/* Nothing is expected of the connection any more. */
static void
settle(clients *set, client *c)
{
    set->busy -= c->expected > 0;
    c->expected = c->answered = 0;
}

static void
disconnect(client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->n_piece = 0;
}

static bool
connect_client(clients *set, client *c)
{
    const int on = 1;
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(set->style.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        perror("load: socket");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    set->counts.connects++;
    c->reused = false;
    answer_begin(&c->answer);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0 &&
        errno != EINPROGRESS) {
        disconnect(c);
        return false;
    }
    watch(set, c, EPOLL_CTL_ADD, false);
    return true;
}

/* ---- Sending ------------------------------------------------------------ */

/* What a connection sends next, written once more where only a part of it was
 * taken: a number always gives the same text. */
static const char *
outgoing(clients *set, const client *c)
{
    const request *first = request_of(set, c, 0);
    char *to = set->out;

    if (c->expected == 1 && first->n_marks == 0)
        return first->text;
    for (size_t i = 0; i < c->expected; i++) {
        const request *req = request_of(set, c, i);
        request_write(req, c->first + i, to);
        to += req->len;
    }
    return set->out;
}

static void
write_client(clients *set, client *c)
{
    const char *text = outgoing(set, c);

    while (c->written < c->to_write) {
        ssize_t n = send(c->fd, text + c->written, c->to_write - c->written,
                         MSG_NOSIGNAL);
        if (n < 0)
            break; /* a broken connection is found by reading */
        c->written += (size_t)n;
    }
    bool rest =
        c->written < c->to_write && (errno == EAGAIN || errno == ENOTCONN);
    if (rest != c->waits_to_write)
        watch(set, c, EPOLL_CTL_MOD, rest);
}

static size_t
batch_size(const clients *set)
{
    size_t n = set->style.pipeline;
    return set->quota < n ? (size_t)set->quota : n;
}

/* Sends the next requests, if there are any to be sent. */
static void
ask(clients *set, client *c)
{
    size_t n = batch_size(set);

    if (!set->sending || n == 0 || set->counts.errors >= MAX_ERRORS)
        return;
    c->first = set->next;
    c->expected = n;
    c->answered = c->written = c->to_write = 0;
    set->next += n;
    set->quota -= n;
    set->counts.sent += n;
    for (size_t i = 0; i < n; i++)
        c->to_write += request_of(set, c, i)->len;
    set->busy++;
    c->sent_at = clock_ns();
    if (c->fd < 0 && !connect_client(set, c)) {
        note_error(set, "cannot connect", c);
        settle(set, c);
        return;
    }
    write_client(set, c);
}

/* ---- Receiving ---------------------------------------------------------- */

static void
take_answer(clients *set, client *c)
{
    const request *req = request_of(set, c, c->answered++);
    const answer *a = &c->answer;

    c->reused = true;
    set->counts.answered++;
    set->counts.timely += set->sending;
    if (a->status != req->status || a->length != req->length)
        note_error(set, "wrong answer", c);
    if (req->timed)
        histogram_add(&set->latency, set->now - c->sent_at);
}

/* The connection is no more, and what it owed an error. */
static void
lose(clients *set, client *c, const char *why)
{
    if (c->expected > 0) {
        note_error(set, why, c);
        if (is_busy(c))
            set->counts.errors += c->expected - c->answered - 1;
    }
    settle(set, c);
    disconnect(c);
    ask(set, c);
}

/* A server may close between two answers, and a client then asks again on a
 * new connection (RFC 9112 9.3.1). */
static void
ask_again(clients *set, client *c)
{
    size_t n = c->expected - c->answered;

    set->counts.again += n;
    set->counts.sent -= n;
    set->quota += n;
    settle(set, c);
    disconnect(c);
    ask(set, c);
}

/* Behind an answer after which the server closes. */
static void
reconnect(clients *set, client *c)
{
    if (is_busy(c)) {
        ask_again(set, c);
        return;
    }
    settle(set, c);
    disconnect(c);
    ask(set, c);
}

static void
keep_piece(clients *set, client *c, const char *data, size_t len)
{
    if (len > MAX_PIECE) {
        lose(set, c, "line too long");
        return;
    }
    if (!c->piece)
        c->piece = malloc(MAX_PIECE);
    if (!c->piece) {
        fprintf(stderr, "load: out of memory\n");
        exit(1);
    }
    memcpy(c->piece, data, len);
    c->n_piece = len;
}

/* False when the connection was given up. */
static bool
end_answer(clients *set, client *c)
{
    bool close = c->answer.close;

    if (c->answer.state == ANSWER_FAILED || !is_busy(c)) {
        lose(set, c, "unreadable answer");
        return false;
    }
    take_answer(set, c);
    if (close) {
        reconnect(set, c);
        return false;
    }
    answer_begin(&c->answer);
    return true;
}

static void
feed_client(clients *set, client *c, const char *data, size_t len)
{
    while (len > 0) {
        size_t used = answer_feed(&c->answer, &set->cache, data, len);
        if (used == 0)
            break;
        data += used;
        len -= used;
        if (c->answer.state >= ANSWER_OVER && !end_answer(set, c))
            return;
    }
    if (len > 0 && is_busy(c)) {
        keep_piece(set, c, data, len);
    } else if (len > 0) {
        lose(set, c, "more bytes than were asked for");
    } else if (!is_busy(c)) {
        settle(set, c);
        ask(set, c);
    }
}

/* The kernel drops what is certain to be body: a client that copies megabytes
 * would be slower than the server. */
static ssize_t
receive(clients *set, client *c)
{
    if (c->answer.state == ANSWER_LENGTH && c->answer.left > MAX_READ)
        return recv(c->fd, set->in, MAX_READ, MSG_TRUNC);
    memcpy(set->in, c->piece ? c->piece : "", c->n_piece);
    return recv(c->fd, set->in + c->n_piece, MAX_READ, 0);
}

static void
end_of_input(clients *set, client *c)
{
    bool between = c->answer.state == ANSWER_HEAD && c->n_piece == 0;

    if (between && c->reused && is_busy(c)) {
        ask_again(set, c);
        return;
    }
    answer_closed(&c->answer);
    if (c->answer.state == ANSWER_OVER && is_busy(c)) {
        take_answer(set, c);
        reconnect(set, c);
        return;
    }
    lose(set, c, "closed by the server");
}

static void
read_client(clients *set, client *c)
{
    ssize_t n = receive(set, c);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    set->now = clock_ns();
    if (n <= 0) {
        end_of_input(set, c);
        return;
    }
    set->counts.bytes += (uint64_t)n;
    size_t len = (size_t)n + c->n_piece;
    c->n_piece = 0;
    feed_client(set, c, set->in, len);
}

/* ---- The run ------------------------------------------------------------ */

static void
turn(clients *set, uint64_t until)
{
    struct epoll_event events[EVENTS];
    int ms = until > set->now ? (int)((until - set->now) / 1000000) + 1 : 0;
    int n = epoll_wait(set->poll, events, EVENTS, ms);

    for (int i = 0; i < n; i++) {
        client *c = events[i].data.ptr;
        int fd = c->fd;
        if (events[i].events & EPOLLOUT)
            write_client(set, c);
        if (c->fd == fd && (events[i].events & ~(unsigned)EPOLLOUT))
            read_client(set, c);
    }
    set->now = clock_ns();
}

static void
wait_for_rest(clients *set, uint64_t patience)
{
    uint64_t until = set->now + patience;

    while (set->busy > 0 && set->now < until)
        turn(set, until);
    for (size_t i = 0; i < set->style.connections; i++)
        set->counts.unanswered += set->all[i].expected - set->all[i].answered;
}

void
clients_run(clients *set, double seconds, uint64_t requests, double patience)
{
    set->counts = (clients_counts){ 0 };
    memset(&set->latency, 0, sizeof(set->latency));
    set->quota = requests ? requests : UINT64_MAX;
    set->now = clock_ns();
    turn(set, set->now); /* what the server has closed meanwhile */
    set->sending = true;

    uint64_t start = set->now;
    uint64_t until = start + (uint64_t)(seconds * NS_PER_S);
    for (size_t i = 0; i < set->style.connections; i++)
        if (!is_busy(&set->all[i]))
            ask(set, &set->all[i]);
    while (set->now < until && set->busy > 0)
        turn(set, until);
    set->counts.seconds = (double)(set->now - start) / NS_PER_S;
    set->sending = false;
    wait_for_rest(set, (uint64_t)(patience * NS_PER_S));
}

/* ---- Life --------------------------------------------------------------- */

bool
clients_init(clients *set, const script *requests, const clients_style *style)
{
    memset(set, 0, sizeof(*set));
    set->script = requests;
    set->style = *style;
    set->poll = epoll_create1(EPOLL_CLOEXEC);
    set->all = calloc(style->connections, sizeof(*set->all));
    set->in = malloc(MAX_READ + MAX_PIECE);
    set->out = malloc(style->pipeline * requests->longest);
    if (set->poll < 0 || !set->all || !set->in || !set->out) {
        perror("load: cannot start");
        return false;
    }
    for (size_t i = 0; i < style->connections; i++)
        set->all[i].fd = -1;
    return true;
}

void
clients_free(clients *set)
{
    for (size_t i = 0; set->all && i < set->style.connections; i++) {
        disconnect(&set->all[i]);
        free(set->all[i].piece);
    }
    if (set->poll >= 0)
        close(set->poll);
    free(set->all);
    free(set->in);
    free(set->out);
}
