#include "script_executor.h"

#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

#define PERIOD 26
#define LARGEST_BLOCK ((size_t)100 * 1000)
#define FILE_SIZE ((size_t)256 * 1024)
#define STEPS_PER_RUN 4

char
script_pattern(unsigned number, uint64_t at)
{
    return (char)('a' + (number * 7 + at) % PERIOD);
}

static const char *
pattern_from(unsigned number, uint64_t at)
{
    static char text[LARGEST_BLOCK + PERIOD];

    if (!text[0])
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = (char)('a' + i % PERIOD);
    return text + (number * 7 + at) % PERIOD;
}

/* A descriptor of a file of pattern text that all files are. */
static int
open_file(void)
{
    static int file = -1;

    if (file < 0) {
        file = memfd_create("pattern", MFD_CLOEXEC);
        for (size_t at = 0; file >= 0 && at < FILE_SIZE; at += PERIOD)
            if (write(file, pattern_from(0, 0), PERIOD) != PERIOD)
                abort();
    }
    int copy = dup(file);
    if (copy < 0)
        abort();
    return copy;
}

static script_executor *
from_base(wsgi__executor *base)
{
    return (script_executor *)(void *)base;
}

static script_record *
record_of(script_executor *sx, const wsgi__job *job)
{
    for (size_t i = sx->n_records; i-- > 0;)
        if (sx->records[i].job == job)
            return &sx->records[i];
    FUZZ_CHECK(false, "the job is not the executor's");
    return NULL;
}

/* ---- What the connection asks for ----------------------------------------- */

static void
check_request(const wsgi__job *job)
{
    char last[1];
    int64_t len = job->body->len;

    FUZZ_CHECK(job->req->chunked || len == (job->req->content_length < 0
                                                ? 0
                                                : job->req->content_length),
               "a body of %lld bytes for %lld", (long long)len,
               (long long)job->req->content_length);
    FUZZ_CHECK(len == 0 || wsgi__body_read(job->body, len - 1, last, 1) == 1,
               "the last byte cannot be read");
    FUZZ_CHECK(wsgi__body_read(job->body, len, last, 1) == 0,
               "there is more than the length");
}

static void
op_submit(wsgi__executor *base, wsgi__job *job)
{
    script_executor *sx = from_base(base);

    for (size_t i = 0; i < sx->n_records; i++)
        FUZZ_CHECK(sx->records[i].job != job, "submitted while it runs");
    FUZZ_CHECK(sx->n_records < SCRIPT_MOST_JOBS, "more requests than bytes");
    check_request(job);
    job->paused = job->cancelled = false;
    script_record *r = &sx->records[sx->n_records];
    *r = (script_record){
        .answer = sx->next,
        .job = job,
        .client = (unsigned)(job->conn->remote_port.ptr[0] - '0'),
        .number = (unsigned)sx->n_records++,
        .to_head = wsgi__request_is_head(job->req),
        .minor = job->req->minor,
        .fd = -1,
    };
    size_t size = r->answer.block * r->answer.count;
    if (size > sx->budget || size > FILE_SIZE - PERIOD) {
        r->answer.block = r->answer.count = 0;
        size = 0;
    }
    sx->budget -= size;
    bool whole = r->answer.kind == 'f' || r->answer.kind == 'c';
    size_t most = whole ? size : r->answer.block;
    if (most > sx->largest)
        sx->largest = most;
    sx->n_running++;
}

static void
op_pause(wsgi__executor *base, wsgi__job *job)
{
    FUZZ_CHECK(!record_of(from_base(base), job)->ended,
               "paused behind its end");
    job->paused = true;
}

static void
op_resume(wsgi__executor *base, wsgi__job *job)
{
    record_of(from_base(base), job);
    job->paused = false;
}

static void
op_cancel(wsgi__executor *base, wsgi__job *job)
{
    record_of(from_base(base), job);
    job->cancelled = true;
}

/* ---- Steps of an answer ----------------------------------------------------- */

static void
give_head(script_record *r)
{
    char digits[2][32];
    wsgi__header headers[2] = { { WSGI__SPAN("X-Job"), { 0 } },
                                { WSGI__SPAN("Content-Length"), { 0 } } };
    char status[32];
    const script_answer *a = &r->answer;
    bool known = a->kind == 'g' || a->kind == 'f' || a->kind == 'c';

    snprintf(status, sizeof(status), "%d X", a->code);
    snprintf(digits[0], sizeof(digits[0]), "%u", r->number);
    snprintf(digits[1], sizeof(digits[1]), "%lld", (long long)a->length);
    headers[0].value = wsgi__span_of(digits[0]);
    headers[1].value = wsgi__span_of(digits[1]);
    wsgi__response res = {
        .status = wsgi__span_of(status),
        .code = a->code,
        .headers = headers,
        .n_headers = a->length >= 0 ? 2 : 1,
        .content_length = a->length,
        .known_length = known ? (int64_t)(a->block * a->count) : -1,
    };
    r->head_given = true;
    r->job->events->head(r->job, &res);
}

typedef struct loan {
    script_executor *sx;
    char *bytes;
} loan;

static void
return_loan(void *owner)
{
    loan *l = owner;
    FUZZ_CHECK(l->sx->n_lent > 0, "given back twice");
    l->sx->n_lent--;
    free(l->bytes);
    free(l);
}

static void
give_block(script_executor *sx, script_record *r)
{
    size_t len = r->answer.block;
    loan *l = malloc(sizeof(*l));
    char *bytes = malloc(len ? len : 1);

    if (!l || !bytes)
        abort();
    memcpy(bytes, pattern_from(r->number, r->given), len);
    *l = (loan){ sx, bytes };
    wsgi__chunk chunk = { .data = bytes,
                          .len = len,
                          .fd = -1,
                          .pushed = r->answer.kind == 'p',
                          .release = return_loan,
                          .owner = l };
    r->given += len;
    sx->n_lent++;
    r->job->events->data(r->job, &chunk);
    if (!chunk.taken)
        return_loan(l);
}

static void
give_file(script_record *r)
{
    uint64_t len = r->answer.block * r->answer.count;
    off_t at = (off_t)(r->number * 7 % PERIOD);

    if (r->answer.kind == 'c')
        at += (off_t)(FILE_SIZE / PERIOD * PERIOD);
    r->fd = open_file();
    wsgi__chunk chunk = { .fd = r->fd, .at = at, .file_len = (int64_t)len };
    r->given = len;
    r->n_given = r->answer.count;
    r->job->events->data(r->job, &chunk);
}

static void
let_go(script_executor *sx, script_record *r)
{
    wsgi__job *job = r->job;

    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    r->job = NULL;
    sx->n_running--;
    job->paused = job->cancelled = false;
    job->events->done(job);
}

static void
finish(script_executor *sx, script_record *r, wsgi__end how)
{
    wsgi__job *job = r->job;

    FUZZ_CHECK(!r->ended, "ends twice");
    r->ended = true;
    r->how = how;
    job->events->end(job, how);
    let_go(sx, r);
}

/* The end is told, and the call goes on. */
static bool
stop(script_record *r)
{
    FUZZ_CHECK(!r->ended, "ends twice");
    r->ended = true;
    r->how = WSGI__END_TIMEOUT;
    r->job->events->end(r->job, WSGI__END_TIMEOUT);
    return true;
}

/* Returns whether the job is over or has to wait. */
static bool
step(script_executor *sx, script_record *r)
{
    const script_answer *a = &r->answer;
    wsgi__job *job = r->job;

    sx->n_steps++;
    if (r->ended) {
        let_go(sx, r);
        return true;
    }
    if (a->shed && !job->cancelled) {
        finish(sx, r, WSGI__END_SHED);
        return true;
    }
    if ((a->late || (a->stops && r->n_given >= a->count)) && !job->cancelled)
        return stop(r);
    if (job->cancelled || a->never) {
        finish(sx, r, job->cancelled ? WSGI__END_CANCELLED : WSGI__END_FAILED);
        return true;
    }
    if (!r->head_given)
        give_head(r);
    else if (r->n_given >= a->count)
        finish(sx, r, a->fails ? WSGI__END_FAILED : WSGI__END_OK);
    else if (a->kind == 'f' || a->kind == 'c')
        give_file(r);
    else {
        r->n_given++;
        give_block(sx, r);
    }
    return !r->job;
}

/* What is held is inside the application, where no cancel reaches it. */
static bool
waits(const script_executor *sx, const script_record *r)
{
    bool inside =
        r->answer.held || (r->answer.rests && r->n_given > 0) || r->ended;
    if (inside && !sx->released)
        return true;
    return r->job->paused && !r->job->cancelled && r->answer.kind != 'p';
}

static void
op_leaving(wsgi__executor *base, wsgi__job *job)
{
    (void)base, (void)job;
}

static bool
op_run(wsgi__executor *base)
{
    script_executor *sx = from_base(base);

    for (size_t i = 0; i < sx->n_records; i++) {
        script_record *r = &sx->records[i];
        for (int n = 0; r->job && n < STEPS_PER_RUN && !waits(sx, r); n++)
            if (step(sx, r))
                break;
    }
    return true;
}

static bool
op_ready(const wsgi__executor *base)
{
    const script_executor *sx = (const script_executor *)(const void *)base;

    for (size_t i = 0; i < sx->n_records; i++)
        if (sx->records[i].job && !waits(sx, &sx->records[i]))
            return true;
    return false;
}

static const wsgi__executor_ops ops = {
    .submit = op_submit,
    .pause = op_pause,
    .resume = op_resume,
    .cancel = op_cancel,
    .leaving = op_leaving,
    .run = op_run,
    .ready = op_ready,
};

void
script_executor_init(script_executor *sx)
{
    close(open_file()); /* the first one stays open */
    sx->base.ops = &ops;
    sx->next = (script_answer){
        .code = 200, .kind = 'g', .block = 5, .count = 1, .length = -1
    };
    sx->n_records = sx->n_running = sx->n_lent = sx->largest = 0;
    sx->budget = (size_t)1024 * 1024;
    sx->released = false;
    sx->n_steps = 0;
}

void
script_executor_release(script_executor *sx)
{
    sx->released = true;
}
