/*
 * Who has the event loop.
 *
 * A loop belongs to one thread at a time, its owner.  While the owner is in a
 * call of the application, and only then, another thread may take the loop
 * from it; the owner finds out when it comes back.  Everything is in one word,
 * so that each step is one atomic operation:
 *
 *   state of the word   | step                | by                | then
 *   --------------------+---------------------+-------------------+-----------
 *   LOOP, owner n       | enter: store        | n                 | APP n, new
 *   LOOP, owner n       | give to m: store    | n                 | LOOP m
 *   APP n, call c       | leave: compare with | n                 | LOOP n
 *                       | APP n c, exchange   |                   |
 *   APP n, call c       | take: compare with  | m, who has seen   | LOOP m
 *                       | APP n c, exchange   | APP n c before    |
 *   anything but APP n c| leave, take: fail   | n, m              | unchanged
 *
 * Every call has its own number c, so a word that was seen some time ago is the
 * same call still, or different.  docs/model/baton.pml is the model of it, and
 * tests/unit/test_baton.c walks through all interleavings.
 *
 * Pure: no threads and no waiting of its own.
 */
#ifndef WSGI_SERVER_BATON_H
#define WSGI_SERVER_BATON_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* | number of the call: 47 bits | thread: 16 bits | in the application: 1 |
 * At a million calls a second the numbers last four years, and would have to
 * come round within one take-over to do harm. */
typedef struct wsgi__baton {
    _Atomic(uint64_t) word;
} wsgi__baton;

#define WSGI__BATON_THREADS 65536u
#define WSGI__BATON_APP UINT64_C(1)
#define WSGI__BATON_CALL (UINT64_C(1) << 17)

static inline bool
wsgi__baton_in_app(uint64_t word)
{
    return word & WSGI__BATON_APP;
}

static inline unsigned
wsgi__baton_thread(uint64_t word)
{
    return (unsigned)(word >> 1) % WSGI__BATON_THREADS;
}

/* Any thread.  What is read before it is of before. */
static inline uint64_t
wsgi__baton_look(const wsgi__baton *baton)
{
    return atomic_load(&baton->word);
}

/* By the owner, or before there is one: thread has the loop from here on, and
 * sees what was written to it before. */
static inline void
wsgi__baton_give(wsgi__baton *baton, unsigned thread)
{
    uint64_t word = atomic_load_explicit(&baton->word, memory_order_relaxed);
    word -= word % WSGI__BATON_CALL;
    atomic_store(&baton->word, word | (uint64_t)thread << 1);
}

/* By the owner, before a call; returns what to leave with.  Sequentially
 * consistent: what the owner reads afterwards is not of before. */
static inline uint64_t
wsgi__baton_enter(wsgi__baton *baton)
{
    uint64_t word = atomic_load_explicit(&baton->word, memory_order_relaxed);
    word = (word + WSGI__BATON_CALL) | WSGI__BATON_APP;
    atomic_store(&baton->word, word);
    return word;
}

/* After the call: whether the loop is still this thread's.  If not, nothing of
 * the loop may be touched any more.  0 was never entered. */
static inline bool
wsgi__baton_leave(wsgi__baton *baton, uint64_t entered)
{
    return wsgi__baton_in_app(entered) &&
           atomic_compare_exchange_strong(&baton->word, &entered,
                                          entered & ~WSGI__BATON_APP);
}

/* By another thread, of a call that it saw under way: whether the loop is now
 * its own. */
static inline bool
wsgi__baton_take(wsgi__baton *baton, uint64_t seen, unsigned thread)
{
    uint64_t word = seen - seen % WSGI__BATON_CALL;
    return wsgi__baton_in_app(seen) &&
           atomic_compare_exchange_strong(&baton->word, &seen,
                                          word | (uint64_t)thread << 1);
}

#endif
