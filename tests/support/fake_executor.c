#include "support/fake_executor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fake_executor *
from_base(wsgi__executor *base)
{
    return (fake_executor *)(void *)base;
}

static void
note_request(fake_executor *fx, const wsgi__job *job)
{
    snprintf(fx->last_target, sizeof(fx->last_target), "%.*s",
             (int)job->req->target.len, job->req->target.ptr);
    fx->last_body_len = job->body->len;
    ssize_t n = wsgi__body_read(job->body, 0, fx->last_body,
                                sizeof(fx->last_body) - 1);
    fx->last_body[n > 0 ? n : 0] = '\0';
}

static void
op_submit(wsgi__executor *base, wsgi__job *job)
{
    fake_executor *fx = from_base(base);
    if (fx->n_jobs == FAKE_MOST_JOBS)
        abort();
    job->paused = job->cancelled = false;
    fx->jobs[fx->n_jobs++] = (fake_run){ .job = job };
    fx->submitted++;
    note_request(fx, job);
}

static void
op_pause(wsgi__executor *base, wsgi__job *job)
{
    from_base(base)->paused++;
    job->paused = true;
}

static void
op_resume(wsgi__executor *base, wsgi__job *job)
{
    (void)base;
    job->paused = false;
}

static void
op_cancel(wsgi__executor *base, wsgi__job *job)
{
    from_base(base)->cancelled++;
    job->cancelled = true;
}

static size_t
count_blocks(const fake_answer *a)
{
    size_t n = 0;
    while (a->blocks[n])
        n++;
    return n;
}

static void
give_head(fake_run *r, const fake_answer *a)
{
    wsgi__header length = { WSGI__SPAN("Content-Length"), { 0 } };
    char digits[32];
    snprintf(digits, sizeof(digits), "%lld", (long long)a->content_length);
    length.value = wsgi__span_of(digits);
    int64_t known = a->file ? a->file_len : -1;
    for (size_t i = 0; a->gathered && a->blocks[i]; i++)
        known = (known < 0 ? 0 : known) + (int64_t)strlen(a->blocks[i]);
    wsgi__response res = {
        .status = wsgi__span_of(a->status),
        .code = atoi(a->status),
        .headers = &length,
        .n_headers = a->content_length >= 0,
        .content_length = a->content_length,
        .known_length = known,
    };
    r->head_given = true;
    r->job->events->head(r->job, &res);
}

static void
return_loan(void *owner)
{
    ((fake_executor *)owner)->loans_returned++;
}

static void
give_block(fake_executor *fx, fake_run *r, const fake_answer *a, size_t n)
{
    const char *block = a->blocks[r->block % n];
    wsgi__chunk chunk = {
        .data = block,
        .len = strlen(block),
        .fd = -1,
        .pushed = a->pushed,
        .release = return_loan,
        .owner = fx,
    };
    r->block++;
    r->job->events->data(r->job, &chunk);
}

static void
give_file(fake_run *r, const fake_answer *a)
{
    wsgi__chunk chunk = { .fd = a->file, .file_len = a->file_len };
    r->block++;
    r->job->events->data(r->job, &chunk);
}

/* Returns true when there is nothing more to give. */
static bool
give_all(fake_executor *fx, fake_run *r)
{
    const fake_answer *a = &fx->answer;
    size_t n = count_blocks(a);
    size_t total = a->file ? 1 : n * (a->repeat + 1);

    if (!r->head_given)
        give_head(r, a);
    while (r->block < total) {
        if (r->job->cancelled || (r->job->paused && !a->pushed))
            return false;
        if (a->file)
            give_file(r, a);
        else
            give_block(fx, r, a, n);
    }
    return !r->job->paused;
}

static void
finish(fake_executor *fx, fake_run *r, wsgi__end how)
{
    wsgi__job *job = r->job;
    bool ended = r->ended;
    memmove(r, r + 1, (size_t)(fx->jobs + fx->n_jobs - (r + 1)) * sizeof(*r));
    fx->n_jobs--;
    fx->ended++;
    if (!ended)
        job->events->end(job, how);
    fx->done++;
    job->paused = job->cancelled = false;
    job->events->done(job);
}

/* Returns whether the job is over. */
static bool
advance_late(fake_executor *fx, fake_run *r)
{
    if (r->ended) {
        if (!fx->released)
            return false;
        finish(fx, r, WSGI__END_TIMEOUT);
        return true;
    }
    if (!fx->answer.fails_first)
        give_all(fx, r);
    r->ended = true;
    r->job->events->end(r->job, WSGI__END_TIMEOUT);
    return false;
}

static bool
advance(fake_executor *fx, fake_run *r)
{
    const fake_answer *a = &fx->answer;
    bool over = false;
    if (a->times_out || r->ended)
        return advance_late(fx, r);
    if (a->sheds || a->leaves) {
        finish(fx, r, a->sheds ? WSGI__END_SHED : WSGI__END_CANCELLED);
        return true;
    }
    if (!r->job->cancelled) {
        if (a->holds && !fx->released)
            return false;
        over = !a->fails_first && give_all(fx, r);
    }
    if (r->job->cancelled)
        finish(fx, r, WSGI__END_CANCELLED);
    else if (a->fails_first || (over && a->fails))
        finish(fx, r, WSGI__END_FAILED);
    else if (over)
        finish(fx, r, WSGI__END_OK);
    else
        return false;
    return true;
}

static bool
op_run(wsgi__executor *base)
{
    fake_executor *fx = from_base(base);
    for (size_t i = 0; i < fx->n_jobs;)
        if (!advance(fx, &fx->jobs[i]))
            i++;
    return true;
}

static void
op_leaving(wsgi__executor *base, wsgi__job *job)
{
    (void)job;
    from_base(base)->leaving++;
}

static bool
op_ready(const wsgi__executor *base)
{
    const fake_executor *fx = (const fake_executor *)(const void *)base;
    for (size_t i = 0; i < fx->n_jobs; i++)
        if (!fx->jobs[i].job->paused && (!fx->answer.holds || fx->released))
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
fake_executor_init(fake_executor *fx)
{
    *fx = (fake_executor){ .base.ops = &ops };
    fx->answer.status = "200 OK";
    fx->answer.content_length = -1;
    fx->answer.blocks[0] = "hello";
    fx->answer.gathered = true;
}

void
fake_executor_release(fake_executor *fx)
{
    fx->released = true;
}
