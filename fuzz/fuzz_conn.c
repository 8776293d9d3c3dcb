/*
 * Connections over real sockets, with scripted clients, applications, faults
 * and time: each request gets a complete answer or the connection is closed;
 * nothing is stuck, spins, leaks or grows without bound.
 *
 * Input: lines, a letter and arguments; what is not understood is passed over.
 *
 *   l HEADER BODY WRITE KEEP HIGH SPOOL SNDBUF POLL   first line only: timeouts
 *             in ms, the output's high-water mark, bytes of a body in memory,
 *             the server's socket buffer, 1 for the poll back end
 *   c N       what follows is done by client N, who connects
 *   s TEXT    sends TEXT and CRLF      r TEXT   sends TEXT with its escapes
 *   b N       sends N bytes            g N      reads at most N bytes
 *   e         sends no more            x        closes
 *   t N       N turns of the loop      w MS     time passes, then a turn
 *   a CODE KIND BLOCK COUNT LENGTH END          the answer of the requests
 *             submitted from now on; KIND as in script_executor.h, END is
 *             fail, never, held, rests, late, stops or busy, or nothing
 *   h         what is held goes on     d        the server drains
 *   o N       the next write takes N bytes; 0: none
 *   i N       the next read gives N bytes; 0: none
 *   q N       N is 0: the next write fails; 1: the next read does
 *   m N       the N-th allocation from now fails
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "fuzz.h"
#include "script_executor.h"
#include "server/conn.h"
#include "wire.h"

#define MOST_LINES 200
#define MOST_BYTES ((size_t)2 * 1024 * 1024) /* each way, of one client */
#define MOST_TURNS 4000

/* ---- Time -------------------------------------------------------------------- */

static uint64_t now_us;

int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __real_clock_gettime(clockid_t clock, struct timespec *time);

/* Every look at the clock takes a microsecond, so that a run can be repeated. */
int
__wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_MONOTONIC)
        return __real_clock_gettime(clock, time);
    now_us++;
    time->tv_sec = (time_t)(now_us / 1000000);
    time->tv_nsec = (long)(now_us % 1000000) * 1000;
    return 0;
}

/* ---- World -------------------------------------------------------------------- */

typedef struct client {
    int fd;         /* -1: not connected */
    bool connected; /* was */
    bool closed;    /* by the client */
    bool over;      /* the server has ended its side */
    bool failed;    /* the page is for a job's failure */
    wsgi__buf sent, got;
    int last_status; /* of the access log */
    bool last_to_head;
    size_t n_accesses;
} client;

static struct world {
    wsgi__loop *loop;
    script_executor sx;
    wsgi__log log;
    wsgi__conns set;
    wsgi__listener listener;
    client clients[SCRIPT_MOST_CLIENTS];
    client *at;
    int sndbuf;
    bool disturbed; /* answers may be incomplete: a fault, or time passed */
    bool drains;
    /* Faults of the next call; -1: none. */
    int64_t write_takes, read_gives;
    bool write_fails, read_fails;
    uint64_t n_reads; /* of the server, with bytes: tells progress */
} w;

static void
no_log(void *user, wsgi_log_level level, const char *entry)
{
    (void)user;
    (void)level;
    FUZZ_CHECK(*entry, "an empty entry");
    fuzz_check_sentence(wsgi__span_of(entry));
}

static void
on_access(void *user, const wsgi_access *access)
{
    char value[8];
    const char *colon = strchr(access->remote, ':');

    (void)user;
    FUZZ_CHECK(colon, "%s", access->remote);
    client *c = &w.clients[colon[1] - '0'];
    c->n_accesses++;
    c->last_status = access->status;
    c->last_to_head = strcmp(access->method, "HEAD") == 0;
    FUZZ_CHECK(access->status == 499 ||
                   (access->status >= 200 && access->status <= 999),
               "%d", access->status);
    wsgi_access_header(access, WSGI_HEADER_RESPONSE, "x-job", value,
                       sizeof(value));
    wsgi_access_header(access, WSGI_HEADER_REQUEST, "host", value,
                       sizeof(value));
}

static void
on_trace(void *user, wsgi_trace_kind kind, uint64_t connection,
         const char *data, size_t len)
{
    (void)user;
    FUZZ_CHECK(connection > 0 && len > 0 && data, "trace of kind %d",
               (int)kind);
}

/* ---- Streams that fail as the script says --------------------------------------- */

static wsgi__stream_ops plain, faulty;

static ssize_t
faulty_read(wsgi__stream *stream, void *into, size_t len)
{
    int64_t most = w.read_gives;

    w.read_gives = -1;
    if (w.read_fails) {
        w.read_fails = false;
        errno = ECONNRESET;
        return WSGI__FAILED;
    }
    if (most == 0)
        return WSGI__WANT_READ;
    ssize_t n = plain.read(
        stream, into, most > 0 && (size_t)most < len ? (size_t)most : len);
    w.n_reads += n > 0;
    return n;
}

/* True when the call is over, with its result. */
static bool
write_fault(ssize_t *result)
{
    if (w.write_fails) {
        w.write_fails = false;
        errno = EPIPE;
        *result = WSGI__FAILED;
        return true;
    }
    if (w.write_takes == 0) {
        w.write_takes = -1;
        *result = WSGI__WANT_WRITE;
        return true;
    }
    return false;
}

static ssize_t
faulty_writev(wsgi__stream *stream, const struct iovec *iov, int n)
{
    ssize_t result;

    if (write_fault(&result))
        return result;
    if (w.write_takes < 0)
        return plain.writev(stream, iov, n);
    struct iovec one = iov[0];
    if ((size_t)w.write_takes < one.iov_len)
        one.iov_len = (size_t)w.write_takes;
    w.write_takes = -1;
    return plain.writev(stream, &one, 1);
}

static ssize_t
faulty_sendfile(wsgi__stream *stream, int file, off_t at, size_t len)
{
    ssize_t result;

    if (write_fault(&result))
        return result;
    if (w.write_takes > 0 && (size_t)w.write_takes < len)
        len = (size_t)w.write_takes;
    w.write_takes = -1;
    return plain.sendfile(stream, file, at, len);
}

static void
prepare_streams(void)
{
    wsgi__stream stream;

    wsgi__stream_plain(&stream, -1);
    plain = *stream.ops;
    faulty = plain;
    faulty.read = faulty_read;
    faulty.writev = faulty_writev;
    faulty.sendfile = faulty_sendfile;
}

static void
forget_faults(void)
{
    w.write_takes = w.read_gives = -1;
    w.write_fails = w.read_fails = false;
    wsgi__mem_fail_nth(0);
}

/* A buffer in memory of its own: what a client does has no part in the count of
 * allocations. */
static wsgi__buf
buf_in(char *room, size_t size)
{
    return (wsgi__buf){ .data = room, .cap = size, .max = size - 1 };
}

/* ---- Turns ------------------------------------------------------------------------ */

/* No connection holds more than the mark, a block, and heads; what write()
 * gave is in files beyond the mark. */
static void
check_bounds(void)
{
    const size_t heads = 4096;

    for (wsgi__conn *conn = w.set.first; conn; conn = conn->next) {
        FUZZ_CHECK(conn->input.len <= WSGI__INPUT_SIZE, "%zu bytes of input",
                   conn->input.len);
        bool spilled = conn->x && conn->x->spill.len > 0;
        FUZZ_CHECK(spilled || conn->out.pending <= w.set.style.high_water +
                                                       w.sx.largest + heads,
                   "%llu bytes of output",
                   (unsigned long long)conn->out.pending);
    }
}

/* As server/serve.c does it. */
static void
turn(void)
{
    FUZZ_CHECK(wsgi__loop_run_once(w.loop, 0) == WSGI_OK, "%s",
               strerror(errno));
    for (int i = 0; i < 8; i++) {
        w.sx.base.ops->run(&w.sx.base);
        if (!wsgi__conns_continue(&w.set))
            break;
    }
    wsgi__loop_refresh(w.loop);
    wsgi__conns_flush(&w.set);
    wsgi__conns_reap(&w.set);
    check_bounds();
}

static void
build(wsgi__span line)
{
    unsigned ms[4] = { 20000, 20000, 20000, 5000 };

    for (int i = 0; i < 4; i++)
        ms[i] = (unsigned)fuzz_number(&line, ms[i], 60000);
    size_t high = (size_t)fuzz_number(&line, 16384, 1 << 17);
    size_t spool = (size_t)fuzz_number(&line, 1024, 1 << 20);
    w.sndbuf = (int)fuzz_number(&line, 32768, 1 << 17);
    bool poll_loop = fuzz_number(&line, 0, 1) == 1;
    w.loop = wsgi__loop_new(poll_loop ? WSGI__LOOP_POLL : WSGI__LOOP_EPOLL);
    script_executor_init(&w.sx);
    w.log = (wsgi__log){ WSGI_LOG_DEBUG, no_log, NULL };
    if (wsgi__conns_init(&w.set, w.loop, &w.sx.base, &w.log) < 0)
        abort();
    w.set.limits = (wsgi__parser_limits){ .max_line = 256,
                                          .max_fields = 16,
                                          .max_field_size = 256,
                                          .max_body = 100 * 1000 };
    w.set.timeouts = (wsgi__timeouts){ ms[0], ms[1], ms[2], ms[3] };
    w.set.body_in_memory = spool;
    w.set.most = SCRIPT_MOST_CLIENTS;
    w.set.style.high_water = high;
    w.set.style.keep_alive = ms[3] > 0;
    w.set.style.keep_head = true;
    w.set.style.server = WSGI__SPAN("fuzz");
    w.set.access.cb = on_access;
    w.set.trace = on_trace;
    w.set.stream_ops = &faulty;
    strcpy(w.listener.self.host, "127.0.0.1");
    strcpy(w.listener.self.port, "80");
}

/* ---- Clients ------------------------------------------------------------------------ */

static void
connect_client(client *c)
{
    int pair[2];
    wsgi__endpoint peer = { "192.0.2.1", "0" };

    c->connected = true;
    peer.port[0] = (char)('0' + (c - w.clients));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                   pair) < 0)
        abort();
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &w.sndbuf, sizeof(w.sndbuf));
    c->fd = pair[0];
    /* The socket is taken over whatever the result. */
    wsgi__conns_add(&w.set, pair[1], &w.listener, &peer);
}

static void
send_bytes(wsgi__span bytes)
{
    client *c = w.at;

    if (c->fd < 0 || bytes.len > c->sent.max - c->sent.len)
        return;
    ssize_t n = send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    if (n > 0)
        wsgi__buf_append(&c->sent, bytes.ptr, (size_t)n);
}

static void
send_text(wsgi__span text, bool escapes)
{
    static char room[64 * 1024];
    wsgi__buf bytes = buf_in(room, sizeof(room));

    if (escapes) {
        fuzz_unescape(text, &bytes);
    } else {
        wsgi__buf_append(&bytes, text.ptr, text.len);
        wsgi__buf_puts(&bytes, "\r\n");
    }
    if (bytes.len)
        send_bytes(wsgi__buf_span(&bytes));
}

static void
send_bulk(size_t len)
{
    static char bulk[100 * 1000];

    memset(bulk, 'b', len);
    if (len)
        send_bytes((wsgi__span){ bulk, len });
}

/* Returns whether something came. */
static bool
receive(client *c, size_t most)
{
    static char room[64 * 1024];

    if (c->fd < 0 || most == 0)
        return false;
    ssize_t n =
        recv(c->fd, room, most < sizeof(room) ? most : sizeof(room), 0);
    if (n > 0)
        FUZZ_CHECK(wsgi__buf_append(&c->got, room, (size_t)n) == WSGI_OK,
                   "too much came");
    else if (n == 0 || errno != EAGAIN)
        c->over = true;
    return n > 0;
}

static void
close_client(client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->closed = true;
}

/* ---- The script ----------------------------------------------------------------------- */

static void
set_answer(wsgi__span line)
{
    script_answer *a = &w.sx.next;

    *a = (script_answer){ .code = (int)fuzz_number(&line, 200, 999) };
    if (a->code < 200)
        a->code = 200;
    a->kind = fuzz_letter(&line, 'g');
    a->block = (size_t)fuzz_number(&line, 5, 100 * 1000);
    a->count = (size_t)fuzz_number(&line, 1, 32);
    a->length = fuzz_number(&line, -1, INT64_MAX);
    char end = fuzz_letter(&line, ' ');
    if (end == '-') /* no length */
        end = fuzz_letter(&line, ' ');
    a->fails = end == 'f';
    a->never = end == 'n';
    a->held = end == 'h';
    a->rests = end == 'r';
    a->late = end == 'l';
    a->stops = end == 's';
    a->shed = end == 'b';
}

static void
pass_time(int64_t ms)
{
    now_us += (uint64_t)ms * 1000;
    turn();
}

static void
obey(char command, wsgi__span rest)
{
    switch (command) {
    case 'c':
        w.at = &w.clients[fuzz_number(&rest, 0, SCRIPT_MOST_CLIENTS - 1)];
        if (!w.at->connected)
            connect_client(w.at);
        break;
    case 's':
    case 'r':
        if (rest.len && *rest.ptr == ' ')
            rest = (wsgi__span){ rest.ptr + 1, rest.len - 1 };
        send_text(rest, command == 'r');
        break;
    case 'b':
        send_bulk((size_t)fuzz_number(&rest, 1, 100 * 1000));
        break;
    case 'g':
        receive(w.at, (size_t)fuzz_number(&rest, 65536, 65536));
        break;
    case 'e':
        if (w.at->fd >= 0)
            shutdown(w.at->fd, SHUT_WR);
        break;
    case 'x':
        close_client(w.at);
        break;
    case 't':
        for (int64_t n = fuzz_number(&rest, 1, 20); n > 0; n--)
            turn();
        break;
    case 'w':
        w.disturbed = true;
        pass_time(fuzz_number(&rest, 1000, 100 * 1000));
        break;
    case 'a':
        set_answer(rest);
        break;
    case 'h':
        script_executor_release(&w.sx);
        break;
    case 'd':
        w.drains = true;
        wsgi__conns_drain(&w.set);
        break;
    case 'o':
        w.write_takes = fuzz_number(&rest, 0, 100 * 1000);
        break;
    case 'i':
        w.read_gives = fuzz_number(&rest, 0, 100 * 1000);
        break;
    case 'q':
        w.disturbed = true;
        *(fuzz_number(&rest, 0, 1) ? &w.read_fails : &w.write_fails) = true;
        break;
    case 'm':
        w.disturbed = true;
        wsgi__mem_fail_nth((long)fuzz_number(&rest, 1, 200));
        break;
    default:
        break;
    }
}

static void
play(wsgi__span input)
{
    wsgi__span line = WSGI__SPAN("");
    bool first = input.len > 0 && *input.ptr == 'l';

    if (first)
        fuzz_line(&input, &line);
    if (first && line.len)
        line = (wsgi__span){ line.ptr + 1, line.len - 1 };
    build(line);
    w.at = &w.clients[0];
    connect_client(w.at);
    for (int i = 0; i < MOST_LINES && fuzz_line(&input, &line); i++) {
        char command = line.len ? *line.ptr : ' ';
        if (line.len)
            obey(command, (wsgi__span){ line.ptr + 1, line.len - 1 });
    }
}

/* ---- What must come of it ---------------------------------------------------------------- */

/* Goes on until nothing moves any more, the clients reading all there is, or
 * nothing. */
static void
settle(bool clients_read)
{
    int quiet = 0, turns = 0;

    while (quiet < 3) {
        uint64_t before = w.sx.n_steps + w.n_reads;
        bool moved = false;
        turn();
        for (int i = 0; i < SCRIPT_MOST_CLIENTS; i++)
            while (clients_read && receive(&w.clients[i], SIZE_MAX))
                moved = true;
        quiet = moved || w.sx.n_steps + w.n_reads != before ? 0 : quiet + 1;
        FUZZ_CHECK(++turns < MOST_TURNS, "it never comes to rest");
    }
}

/* At rest no descriptor is ready: a loop that waits would not return at once,
 * over and over. */
static void
check_rest(void)
{
    struct pollfd fd = { .fd = wsgi__loop_fd(w.loop), .events = POLLIN };

    FUZZ_CHECK(!w.sx.base.ops->ready(&w.sx.base), "a job is ready for ever");
    FUZZ_CHECK(!w.set.unflushed && !w.set.waiting, "work is left");
    for (wsgi__conn *conn = w.set.first; w.drains && conn; conn = conn->next)
        FUZZ_CHECK(conn->state != WSGI__CONN_HEAD || conn->x ||
                       conn->n_requests == 0,
                   "drained, and still waiting for a request");
    if (fd.fd >= 0)
        FUZZ_CHECK(poll(&fd, 1, 0) == 0, "the loop spins");
}

/* How the answers on one connection are read. */
typedef struct reading {
    client *c;
    unsigned number;             /* of the client */
    wsgi__span rest;             /* of what it got */
    size_t n_answered;           /* submitted requests */
    bool over;                   /* nothing may follow */
    bool page;                   /* ended by a page of the server's own */
    bool failed;                 /* which is for a job's failure */
    const script_record *record; /* whose body is compared */
    uint64_t at;
} reading;

static const script_record *
nth_record(unsigned number, size_t nth)
{
    for (size_t i = 0; i < w.sx.n_records; i++)
        if (w.sx.records[i].client == number && nth-- == 0)
            return &w.sx.records[i];
    return NULL;
}

static void
compare_piece(void *user, wsgi__span piece)
{
    reading *r = user;

    for (size_t i = 0; i < piece.len; i++)
        FUZZ_CHECK(
            piece.ptr[i] == script_pattern(r->record->number, r->at + i),
            "byte %llu of job %u is 0x%02x", (unsigned long long)(r->at + i),
            r->record->number, (unsigned char)piece.ptr[i]);
    r->at += piece.len;
}

static void
ignore_piece(void *user, wsgi__span piece)
{
    (void)user;
    (void)piece;
}

static bool
is_failure(wsgi__end how)
{
    return how == WSGI__END_FAILED || how == WSGI__END_TIMEOUT ||
           how == WSGI__END_SHED;
}

static int
code_of(wsgi__end how)
{
    if (how == WSGI__END_TIMEOUT)
        return 504;
    return how == WSGI__END_SHED ? 503 : 500;
}

/* Whether the application gave all that its head promised. */
static bool
is_sound(const script_record *rec)
{
    const script_answer *a = &rec->answer;

    return !is_failure(rec->how) && a->kind != 'c' &&
           (a->length < 0 || rec->given >= (uint64_t)a->length);
}

static void
check_body(reading *r, const wire_head *head, const wire_body *body)
{
    const script_record *rec = r->record;
    bool complete = body->end == WIRE_COMPLETE;

    FUZZ_CHECK(body->size <= rec->given, "%llu bytes of %llu",
               (unsigned long long)body->size, (unsigned long long)rec->given);
    if (head->chunked && complete)
        FUZZ_CHECK(rec->how == WSGI__END_OK && body->size == rec->given,
                   "a last chunk behind %llu of %llu bytes",
                   (unsigned long long)body->size,
                   (unsigned long long)rec->given);
    if (!w.disturbed && !r->c->closed && is_sound(rec) && !rec->to_head)
        FUZZ_CHECK(complete || (body->end == WIRE_UNTIL_CLOSE &&
                                body->size == rec->given),
                   "job %u is not answered completely: %llu of %llu",
                   rec->number, (unsigned long long)body->size,
                   (unsigned long long)rec->given);
    r->over = head->closes || !complete || is_failure(rec->how);
}

/* The answer of an application: X-Job says whose. */
static void
read_answer(reading *r, const wire_head *head, wsgi__span job)
{
    const script_record *rec = nth_record(r->number, r->n_answered++);
    char number[16];

    FUZZ_CHECK(rec, "an answer without a request");
    snprintf(number, sizeof(number), "%u", rec->number);
    FUZZ_CHECK(wsgi__span_eq(job, wsgi__span_of(number)),
               "the answer of job %.*s, not %s", FUZZ_SPAN(job), number);
    FUZZ_CHECK(head->code == rec->answer.code && rec->head_given, "%d",
               head->code);
    FUZZ_CHECK(rec->minor || !head->chunked, "chunked for 1.0");
    r->record = rec;
    r->at = 0;
    wire_body body =
        wire_read_body(head, rec->to_head, r->rest, compare_piece, r);
    r->rest = (wsgi__span){ r->rest.ptr + body.used, r->rest.len - body.used };
    check_body(r, head, &body);
}

/* A page of the server's own is the last answer. */
static void
read_page(reading *r, const wire_head *head)
{
    const script_record *rec = nth_record(r->number, r->n_answered);

    FUZZ_CHECK(head->code >= 400 && head->code <= 599 && head->closes &&
                   head->length >= 0,
               "%d", head->code);
    if (rec && rec->ended && !rec->head_given && is_failure(rec->how)) {
        FUZZ_CHECK(head->code == code_of(rec->how), "%d for a failure",
                   head->code);
        r->failed = true;
        r->n_answered++;
    }
    wire_body body =
        wire_read_body(head, r->c->last_to_head, r->rest, ignore_piece, NULL);
    FUZZ_CHECK(w.disturbed || r->c->closed || body.end == WIRE_COMPLETE,
               "half a page");
    r->rest = (wsgi__span){ r->rest.ptr + body.used, r->rest.len - body.used };
    r->over = r->page = true;
}

static void
read_all(reading *r)
{
    static wire_head head;

    while (r->rest.len > 0) {
        FUZZ_CHECK(!r->over, "more behind the last answer: %.*s",
                   FUZZ_SPAN(r->rest));
        size_t used = wire_read_head(r->rest, &head);
        FUZZ_CHECK(used || w.disturbed || r->c->closed, "half a head");
        if (!used)
            return;
        r->rest = (wsgi__span){ r->rest.ptr + used, r->rest.len - used };
        wsgi__span job = wire_field(&head, WSGI__SPAN("x-job"));
        if (head.code == 100)
            FUZZ_CHECK(head.n_fields == 0, "a 100 with fields");
        else if (job.ptr)
            read_answer(r, &head, job);
        else
            read_page(r, &head);
    }
}

/* How many requests the client has sent, and the status for what is none. */
static size_t
count_requests(const client *c, int *status)
{
    wsgi__parser *parser = wsgi__parser_new(&w.set.limits);
    wsgi__span rest = fuzz_buf(&c->sent);
    wsgi__event event = WSGI__EV_HEAD;
    size_t n = 0, used;

    while (event != WSGI__EV_MORE && event != WSGI__EV_ERROR) {
        event = wsgi__parser_feed(parser, rest.ptr, rest.len, &used);
        rest = (wsgi__span){ rest.ptr + used, rest.len - used };
        if (event == WSGI__EV_END) {
            wsgi__parser_reset(parser);
            n++;
        }
    }
    *status = wsgi__parser_status(parser);
    wsgi__parser_free(parser);
    return n;
}

/* Undisturbed, everything that was sent is answered, up to an answer that ends
 * the connection. */
static void
check_answers(client *c)
{
    reading r = { .c = c,
                  .number = (unsigned)(c - w.clients),
                  .rest = fuzz_buf(&c->got) };
    int status;

    read_all(&r);
    size_t n_sent = count_requests(c, &status), n_submitted = 0;
    while (nth_record(r.number, n_submitted))
        n_submitted++;
    FUZZ_CHECK(n_submitted <= n_sent, "%zu requests made of %zu", n_submitted,
               n_sent);
    if (w.disturbed || c->closed)
        return;
    FUZZ_CHECK(r.n_answered == n_submitted, "%zu answers for %zu requests",
               r.n_answered, n_submitted);
    FUZZ_CHECK(r.over || w.drains || n_submitted == n_sent,
               "%zu requests of %zu answered", n_submitted, n_sent);
    if (!r.over && !w.drains)
        FUZZ_CHECK(status == 0, "no answer to an error, %d", status);
    if (r.page && n_submitted == n_sent && !r.failed)
        FUZZ_CHECK(c->last_status == status, "%d, not %d", c->last_status,
                   status);
}

static bool
times_out(void)
{
    const wsgi__timeouts *t = &w.set.timeouts;
    return t->header && t->body && t->write;
}

/* However it was left, time alone ends it; a client that is gone ends it where
 * there are no deadlines. */
static void
check_end(void)
{
    for (int i = 0; i < SCRIPT_MOST_CLIENTS; i++)
        if (!times_out())
            close_client(&w.clients[i]);
    w.disturbed = true;
    for (int i = 0; i < 6; i++) {
        settle(true);
        pass_time(61 * 1000);
    }
    FUZZ_CHECK(w.set.count == 0 && !w.set.first, "%zu connections are left",
               w.set.count);
    FUZZ_CHECK(!w.set.dead, "a closed connection is not freed");
    FUZZ_CHECK(w.sx.n_running == 0, "%zu jobs run on", w.sx.n_running);
    FUZZ_CHECK(w.sx.n_lent == 0, "%zu blocks are not given back", w.sx.n_lent);
    for (size_t i = 0; i < w.sx.n_records; i++)
        FUZZ_CHECK(w.sx.records[i].ended, "job %zu has no end", i);
}

static void
tear_down(void)
{
    wsgi__conns_free(&w.set);
    wsgi__loop_free(w.loop);
    for (int i = 0; i < SCRIPT_MOST_CLIENTS; i++) {
        close_client(&w.clients[i]);
    }
}

static int
count_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 64; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char rooms[SCRIPT_MOST_CLIENTS][2][MOST_BYTES];
    if (!plain.read) {
        prepare_streams();
        script_executor_init(&w.sx); /* opens what stays open */
        now_us = 1000000;
    }
    memset(&w, 0, sizeof(w));
    forget_faults();
    for (int i = 0; i < SCRIPT_MOST_CLIENTS; i++) {
        w.clients[i].fd = -1;
        w.clients[i].sent = buf_in(rooms[i][0], MOST_BYTES);
        w.clients[i].got = buf_in(rooms[i][1], MOST_BYTES);
    }
    int n_descriptors = count_descriptors();
    play(fuzz_input(data, size));
    forget_faults();
    settle(false);
    check_rest();
    script_executor_release(&w.sx);
    settle(true);
    check_rest();
    for (int i = 0; i < SCRIPT_MOST_CLIENTS; i++)
        check_answers(&w.clients[i]);
    check_end();
    tear_down();
    FUZZ_CHECK(count_descriptors() == n_descriptors, "%d descriptors, not %d",
               count_descriptors(), n_descriptors);
    return 0;
}
