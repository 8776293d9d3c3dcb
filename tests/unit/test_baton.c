/* Every interleaving of an owner that makes calls and threads that watch it. */
#include <criterion/criterion.h>

#include <string.h>

#include "server/baton.h"

/* Thread 0 owns first.  Each thread is a little program that is advanced one
 * atomic step at a time; what a thread does depends on what it has found.  The
 * walk tries every order of steps. */
enum { N_THREADS = 3, N_CALLS = 3 };

typedef enum place {
    OUTSIDE, /* watches: takes a first look */
    SEEN,    /* looks again, and takes the loop if the call is the same */
    IN_LOOP, /* owns: enters a call, or is through */
    IN_CALL, /* leaves it */
    THROUGH
} place;

typedef struct thread {
    place at;
    uint64_t word;
    int calls;
} thread;

typedef struct world {
    uint64_t word;
    thread threads[N_THREADS];
    int takes, losses;
} world;

static long n_states, n_ends, most_takes;

static int
owners(const world *w)
{
    int n = 0;
    for (int i = 0; i < N_THREADS; i++)
        n += w->threads[i].at == IN_LOOP;
    return n;
}

/* One step of one thread; the baton itself is the real one. */
static void
step(world *w, int i)
{
    wsgi__baton baton;
    thread *t = &w->threads[i];
    atomic_init(&baton.word, w->word);

    switch (t->at) {
    case OUTSIDE:
        t->word = wsgi__baton_look(&baton);
        t->at = SEEN;
        break;
    case SEEN:
        t->at = OUTSIDE;
        if (wsgi__baton_take(&baton, t->word, (unsigned)i)) {
            t->at = IN_LOOP;
            w->takes++;
        }
        break;
    case IN_LOOP:
        if (t->calls == N_CALLS) {
            t->at = THROUGH;
            break;
        }
        t->calls++;
        t->word = wsgi__baton_enter(&baton);
        t->at = IN_CALL;
        break;
    case IN_CALL:
        t->at = IN_LOOP;
        if (!wsgi__baton_leave(&baton, t->word)) {
            t->at = OUTSIDE;
            w->losses++;
        }
        break;
    case THROUGH:
        break;
    }
    w->word = atomic_load(&baton.word);
}

static void
check(const world *w)
{
    int n = owners(w);
    cr_assert_leq(n, 1, "two threads have the loop");
    if (n == 1)
        for (unsigned i = 0; i < N_THREADS; i++)
            if (w->threads[i].at == IN_LOOP)
                cr_assert(wsgi__baton_thread(w->word) == i &&
                          !wsgi__baton_in_app(w->word));
    if (wsgi__baton_in_app(w->word)) {
        const thread *t = &w->threads[wsgi__baton_thread(w->word)];
        cr_assert(t->at == IN_CALL && t->word == w->word,
                  "the word names a call that nobody is in");
    }
    cr_assert_leq(w->losses, w->takes);
}

/* Watchers may look for ever: `depth` bounds that. */
static void
walk(const world *w, int depth)
{
    n_states++;
    check(w);
    if (w->takes > most_takes)
        most_takes = w->takes;
    if (depth == 0) {
        n_ends++;
        return;
    }
    for (int i = 0; i < N_THREADS; i++) {
        if (w->threads[i].at == THROUGH)
            continue;
        world next = *w;
        step(&next, i);
        walk(&next, depth - 1);
    }
}

Test(baton, no_interleaving_gives_the_loop_to_two)
{
    world w = { .threads = { { .at = IN_LOOP } } };
    walk(&w, 13);
    cr_assert_gt(n_states, 1000000);
    cr_assert_geq(most_takes, 2, "a loop was taken from its taker too");
}

Test(baton, a_call_is_left_by_the_thread_that_entered_it)
{
    wsgi__baton b = { 0 };
    wsgi__baton_give(&b, 7);
    uint64_t entered = wsgi__baton_enter(&b);
    cr_assert(wsgi__baton_in_app(wsgi__baton_look(&b)));
    cr_assert_eq(wsgi__baton_thread(entered), 7);
    cr_assert(wsgi__baton_leave(&b, entered));
    cr_assert_not(wsgi__baton_in_app(wsgi__baton_look(&b)));
    cr_assert_not(wsgi__baton_leave(&b, entered), "once only");
}

Test(baton, what_was_never_entered_cannot_be_left)
{
    wsgi__baton b = { 0 };
    cr_assert_not(wsgi__baton_leave(&b, 0));
    cr_assert_not(wsgi__baton_leave(&b, wsgi__baton_look(&b)));
}

Test(baton, a_later_call_of_the_same_thread_is_another)
{
    wsgi__baton b = { 0 };
    uint64_t seen = wsgi__baton_enter(&b);
    cr_assert(wsgi__baton_leave(&b, seen));
    uint64_t later = wsgi__baton_enter(&b);
    cr_assert_neq(seen, later);
    cr_assert_not(wsgi__baton_take(&b, seen, 1));
    cr_assert(wsgi__baton_leave(&b, later));
}

Test(baton, a_late_thread_does_not_take_its_successor_for_itself)
{
    wsgi__baton b = { 0 };
    uint64_t mine = wsgi__baton_enter(&b);
    cr_assert(wsgi__baton_take(&b, mine, 1));
    uint64_t theirs = wsgi__baton_enter(&b);
    cr_assert(wsgi__baton_take(&b, theirs, 0), "it owns again, ");
    uint64_t again = wsgi__baton_enter(&b);
    cr_assert_not(wsgi__baton_leave(&b, mine), "by another call than this");
    cr_assert(wsgi__baton_leave(&b, again));
}

Test(baton, a_loop_is_not_taken_between_calls)
{
    wsgi__baton b = { 0 };
    cr_assert_not(wsgi__baton_take(&b, wsgi__baton_look(&b), 1));
}

Test(baton, numbers_of_threads_and_calls_keep_apart)
{
    wsgi__baton b = { 0 };
    wsgi__baton_give(&b, WSGI__BATON_THREADS - 1);
    for (int i = 0; i < 100000; i++) {
        uint64_t entered = wsgi__baton_enter(&b);
        cr_assert_eq(wsgi__baton_thread(entered), WSGI__BATON_THREADS - 1);
        cr_assert(wsgi__baton_leave(&b, entered));
    }
    /* At the end of the numbers they begin anew. */
    atomic_store(&b.word, UINT64_MAX - 1);
    uint64_t entered = wsgi__baton_enter(&b);
    cr_assert_eq(wsgi__baton_thread(entered), WSGI__BATON_THREADS - 1);
    cr_assert(wsgi__baton_leave(&b, entered));
}
