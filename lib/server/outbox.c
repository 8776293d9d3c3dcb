/* What a thread without the loop has to report: it is copied, posted to the
 * loop, and told to the connection there, in order. */
#include "server/executor_parts.h"

#include "base/macros.h"
#include "base/mem.h"

/* Bytes on their way to the loop at which a thread lets its call go, or waits
 * in write(). */
#define MOST_UNSEEN ((size_t)256 * 1024)

typedef enum record_kind { HEAD, DATA, FROM_FILE } record_kind;

struct wsgi__record {
    wsgi__record *next;
    record_kind kind;
    wsgi__response *head; /* HEAD: owned */
    wsgi__chunk chunk;    /* DATA, whose bytes follow, or are lent */
    char bytes[];
};

/* ---- Loans -------------------------------------------------------------- */

/* A block of the application's that the output refers to. */
struct wsgi__loan {
    wsgi__loan *next;
    executor *ex;
    PyObject *bytes;
};

static void
return_loan(void *owner)
{
    wsgi__loan *l = owner;
    l->next = atomic_load(&l->ex->returned);
    while (!atomic_compare_exchange_weak(&l->ex->returned, &l->next, l))
        ;
}

void
wsgi__loans_settle(executor *ex)
{
    if (!atomic_load_explicit(&ex->returned, memory_order_relaxed))
        return;
    wsgi__loan *l = atomic_exchange(&ex->returned, NULL);
    while (l) {
        wsgi__loan *next = l->next;
        Py_DECREF(l->bytes);
        wsgi__mem_free(l);
        l = next;
    }
}

/* The loan has the reference to bytes once the chunk is taken. */
void
wsgi__loan_offer(executor *ex, wsgi__chunk *chunk, PyObject *bytes)
{
    /* What else is bytes may have a destructor, which would run anywhere. */
    if (chunk->len < WSGI__LEND_FROM || !PyBytes_CheckExact(bytes))
        return;
    wsgi__loan *l = wsgi__mem_alloc(sizeof(*l));
    if (!l)
        return; /* it is copied, then */
    *l = (wsgi__loan){ .ex = ex, .bytes = bytes };
    chunk->release = return_loan;
    chunk->owner = l;
}

void
wsgi__loan_drop(wsgi__chunk *chunk)
{
    wsgi__mem_free(chunk->owner);
}

/* ---- On the loop's thread ----------------------------------------------- */

/* The connection may have taken the bytes; if not, they go back. */
static void
tell(wsgi__run *r, wsgi__record *record)
{
    const wsgi__job_events *events = r->job->events;
    bool wanted = !r->ended;
    switch (record->kind) {
    case HEAD:
        r->head_told = true;
        if (wanted)
            events->head(r->job, record->head);
        wsgi__mem_free(record->head);
        break;
    case DATA:
    case FROM_FILE:
        if (wanted)
            events->data(r->job, &record->chunk);
        if (record->chunk.release && !record->chunk.taken)
            record->chunk.release(record->chunk.owner);
        break;
    }
    wsgi__mem_free(record);
}

typedef struct parcel {
    wsgi__record *first;
    bool end_due, over;
    wsgi__end how;
} parcel;

static parcel
take_all(wsgi__run *r)
{
    executor *ex = r->ex;
    pthread_mutex_lock(&ex->lock);
    parcel all = { r->first, r->end_due, r->state == WSGI__RUN_OVER, r->how };
    r->first = r->last = NULL;
    r->unseen = 0;
    r->posted = r->end_due = false;
    pthread_cond_broadcast(&ex->room);
    pthread_mutex_unlock(&ex->lock);
    return all;
}

static void
on_post(wsgi__post *post)
{
    wsgi__run *r = WSGI__OWNER(post, wsgi__run, post);
    parcel all = take_all(r);
    while (all.first) {
        wsgi__record *next = all.first->next;
        tell(r, all.first);
        all.first = next;
    }
    if (all.end_due && !r->ended) {
        r->end_told = true;
        r->job->events->end(r->job, all.how);
    }
    if (all.over) {
        wsgi__executor_finish(r->ex, r);
        return;
    }
    wsgi__deadline_arm(r); /* it has made progress */
    wsgi__executor_requeue(r->ex, r);
}

/* ---- On the thread of the call ------------------------------------------ */

/* lock */
static void
post(wsgi__run *r)
{
    if (r->posted)
        return;
    r->posted = true;
    r->post.fn = on_post;
    wsgi__loop_post(r->ex->set.loop, &r->post);
}

static void
add(wsgi__run *r, wsgi__record *record)
{
    pthread_mutex_lock(&r->ex->lock);
    if (r->last)
        r->last->next = record;
    else
        r->first = record;
    r->last = record;
    r->unseen += record->chunk.len;
    post(r);
    pthread_mutex_unlock(&r->ex->lock);
}

static wsgi__record *
new_record(record_kind kind, size_t n_bytes)
{
    wsgi__record *record = wsgi__mem_alloc(sizeof(*record) + n_bytes);
    if (record)
        *record = (wsgi__record){ .kind = kind, .chunk = { .fd = -1 } };
    return record;
}

int
wsgi__outbox_head(wsgi__run *r, const wsgi__response *res)
{
    wsgi__record *record = new_record(HEAD, 0);
    if (record)
        record->head = wsgi__response_dup(res);
    if (!record || !record->head) {
        wsgi__mem_free(record);
        return WSGI_ERR_NOMEM;
    }
    add(r, record);
    return WSGI_OK;
}

int
wsgi__outbox_bytes(wsgi__run *r, PyObject *bytes, bool pushed)
{
    wsgi__chunk chunk = wsgi__chunk_of(bytes, pushed);
    /* The loop may not come to it while a call has a thread of its own. */
    wsgi__loans_settle(r->ex);
    wsgi__loan_offer(r->ex, &chunk, bytes);
    wsgi__record *record = new_record(DATA, chunk.release ? 0 : chunk.len);
    if (!record) {
        wsgi__loan_drop(&chunk);
        return WSGI_ERR_NOMEM;
    }
    if (chunk.release) {
        Py_INCREF(bytes);
    } else {
        memcpy(record->bytes, chunk.data, chunk.len);
        chunk.data = record->bytes;
    }
    record->chunk = chunk;
    add(r, record);
    return WSGI_OK;
}

int
wsgi__outbox_file(wsgi__run *r, const wsgi__call_chunk *file)
{
    wsgi__record *record = new_record(FROM_FILE, 0);
    if (!record)
        return WSGI_ERR_NOMEM;
    record->chunk.fd = file->fd;
    record->chunk.at = file->at;
    record->chunk.file_len = file->len;
    add(r, record);
    return WSGI_OK;
}

void
wsgi__outbox_end(wsgi__run *r, wsgi__end how)
{
    pthread_mutex_lock(&r->ex->lock);
    r->end_due = true;
    r->how = how;
    post(r);
    pthread_mutex_unlock(&r->ex->lock);
}

void
wsgi__outbox_leave(wsgi__run *r, wsgi__runner *self, wsgi__run_state state)
{
    executor *ex = r->ex;
    self->now = NULL;
    pthread_mutex_lock(&ex->lock);
    r->state = state;
    post(r);
    if (!self->inbox)
        wsgi__crew_set_idle(ex, self);
    pthread_mutex_unlock(&ex->lock);
}

static bool
is_full(wsgi__run *r)
{
    pthread_mutex_lock(&r->ex->lock);
    bool full = r->unseen >= MOST_UNSEEN;
    pthread_mutex_unlock(&r->ex->lock);
    return full;
}

bool
wsgi__outbox_must_wait(wsgi__run *r, const wsgi__runner *self)
{
    return r->job->paused || self->others_wait || is_full(r);
}

static void
await_room(wsgi__run *r)
{
    executor *ex = r->ex;
    pthread_mutex_lock(&ex->lock);
    while (r->unseen >= MOST_UNSEEN && !r->job->cancelled)
        pthread_cond_wait(&ex->room, &ex->lock);
    pthread_mutex_unlock(&ex->lock);
}

void
wsgi__outbox_await_room(wsgi__run *r)
{
    if (!is_full(r))
        return;
    void *paused = wsgi__gil_pause();
    await_room(r);
    wsgi__gil_resume(paused);
}
