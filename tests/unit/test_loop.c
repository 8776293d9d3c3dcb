#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "net/loop.h"

#define N(table) (sizeof(table) / sizeof(*(table)))

/* Ours are called in place of the C library's, to count; per thread, since
 * Criterion has threads of its own. */
static _Thread_local int n_epoll_ctl, n_settime, n_clock;
static _Thread_local uint32_t watched; /* the last events asked for */

int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    n_epoll_ctl++;
    watched = event ? event->events : 0;
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

int
timerfd_settime(int fd, int flags, const struct itimerspec *at,
                struct itimerspec *old)
{
    n_settime++;
    return (int)syscall(SYS_timerfd_settime, fd, flags, at, old);
}

int
clock_gettime(clockid_t clock, struct timespec *now)
{
    n_clock++;
    return (int)syscall(SYS_clock_gettime, clock, now);
}

typedef struct conn {
    wsgi__io io; /* first */
    wsgi__loop *loop;
    int peer;
    int calls;
    unsigned events; /* of the last call */
    void (*then)(struct conn *conn);
    struct conn *other;
} conn;

static void
on_ready(wsgi__io *io, unsigned events)
{
    conn *c = (conn *)io;
    c->calls++;
    c->events = events;
    if (c->then)
        c->then(c);
}

static void
open_conn(conn *c, wsgi__loop *loop)
{
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *c = (conn){ .io = { .fd = fds[0], .ready = on_ready },
                 .loop = loop,
                 .peer = fds[1] };
}

static void
close_conn(conn *c)
{
    wsgi__loop_unwatch(c->loop, &c->io);
    close(c->io.fd);
    if (c->peer >= 0)
        close(c->peer);
}

static void
turn(wsgi__loop *loop)
{
    cr_assert_eq(wsgi__loop_run_once(loop, 0), WSGI_OK);
}

static void
send_byte(const conn *c)
{
    cr_assert_eq(write(c->peer, "x", 1), 1);
}

static void
reports_what_is_wanted(wsgi__loop *loop, const char *name)
{
    static const struct {
        unsigned want, events;
    } rows[] = {
        { WSGI__READ, WSGI__READ },
        { WSGI__WRITE, WSGI__WRITE },
        { WSGI__READ | WSGI__WRITE, WSGI__READ | WSGI__WRITE },
        { WSGI__HANGUP, 0 },
        { WSGI__HANGUP | WSGI__READ, WSGI__READ },
        { 0, 0 },
    };
    conn c;

    open_conn(&c, loop);
    send_byte(&c);
    for (size_t i = 0; i < N(rows); i++) {
        c.events = 0;
        c.calls = 0;
        cr_expect_eq(wsgi__loop_watch(loop, &c.io, rows[i].want), WSGI_OK);
        turn(loop);
        cr_expect_eq(c.events, rows[i].events, "%s, row %zu: %u", name, i,
                     c.events);
        cr_expect_eq(c.calls, rows[i].events != 0, "%s, row %zu: %d", name, i,
                     c.calls);
    }
    close_conn(&c);
}

static void
is_level_triggered(wsgi__loop *loop, const char *name)
{
    conn c;

    open_conn(&c, loop);
    send_byte(&c);
    wsgi__loop_watch(loop, &c.io, WSGI__READ);
    for (int i = 1; i <= 3; i++) {
        turn(loop);
        cr_expect_eq(c.calls, i, "%s", name);
    }
    close_conn(&c);
}

/* A client that sends its request and shuts down its side is answered. */
static void
half_closed_is_no_hangup(wsgi__loop *loop, const char *name)
{
    conn c;

    open_conn(&c, loop);
    wsgi__loop_watch(loop, &c.io, WSGI__HANGUP);
    shutdown(c.peer, SHUT_WR);
    turn(loop);
    cr_expect_eq(c.calls, 0, "%s: events %u", name, c.events);
    wsgi__loop_watch(loop, &c.io, WSGI__READ);
    turn(loop);
    cr_expect_eq(c.events, WSGI__READ, "%s: events %u", name, c.events);
    close_conn(&c);
}

static void
hangup_comes_unasked(wsgi__loop *loop, const char *name)
{
    static const unsigned wants[] = { WSGI__READ, WSGI__WRITE, WSGI__HANGUP };

    for (size_t i = 0; i < N(wants); i++) {
        conn c;
        open_conn(&c, loop);
        wsgi__loop_watch(loop, &c.io, wants[i]);
        close(c.peer);
        c.peer = -1;
        turn(loop);
        cr_expect_eq(c.events, wants[i] | WSGI__HANGUP, "%s: want %u got %u",
                     name, wants[i], c.events);
        close_conn(&c);
    }
}

/* Nothing to do is one wait to the timeout, not many short ones. */
static void
hangup_alone_does_not_spin_on_data(wsgi__loop *loop, const char *name)
{
    conn c;

    open_conn(&c, loop);
    send_byte(&c);
    wsgi__loop_watch(loop, &c.io, WSGI__HANGUP);
    uint64_t began = wsgi__loop_now(loop);
    cr_expect_eq(wsgi__loop_run_once(loop, 30), WSGI_OK);
    cr_expect_geq(wsgi__loop_now(loop), began + 29, "%s: returned early",
                  name);
    cr_expect_eq(c.calls, 0, "%s", name);
    close_conn(&c);
}

static void
unwatch_other(conn *c)
{
    wsgi__loop_unwatch(c->loop, &c->other->io);
}

/* Both are ready and fetched; whichever comes first unwatches the other. */
static void
no_event_after_unwatch(wsgi__loop *loop, const char *name)
{
    conn a, b;

    open_conn(&a, loop);
    open_conn(&b, loop);
    a.other = &b;
    b.other = &a;
    a.then = b.then = unwatch_other;
    send_byte(&a);
    send_byte(&b);
    wsgi__loop_watch(loop, &a.io, WSGI__READ);
    wsgi__loop_watch(loop, &b.io, WSGI__READ);
    turn(loop);
    cr_expect_eq(a.calls + b.calls, 1, "%s: %d, %d", name, a.calls, b.calls);
    close_conn(&a);
    close_conn(&b);
}

/* Frees the other and watches a new one with its memory and its fd number. */
static void
reuse_other(conn *c)
{
    conn *other = c->other;
    int fd = other->io.fd;

    c->then = NULL;
    close_conn(other);
    memset(other, 0x5a, sizeof(*other));
    open_conn(other, c->loop);
    if (other->io.fd != fd) {
        cr_assert_eq(dup2(other->io.fd, fd), fd);
        close(other->io.fd);
        other->io.fd = fd;
    }
    cr_expect_eq(wsgi__loop_watch(c->loop, &other->io, WSGI__READ), WSGI_OK);
}

static void
no_event_for_a_successor(wsgi__loop *loop, const char *name)
{
    conn a, *b = malloc(sizeof(*b)), c;

    open_conn(&a, loop);
    open_conn(b, loop);
    open_conn(&c, loop);
    a.other = c.other = b;
    a.then = reuse_other;
    send_byte(&a);
    send_byte(b);
    wsgi__loop_watch(loop, &a.io, WSGI__READ);
    wsgi__loop_watch(loop, &b->io, WSGI__READ);
    b->other = &a;
    turn(loop);
    /* b may have come first; what counts is that after a it never came. */
    cr_expect_eq(a.calls, 1, "%s", name);
    cr_expect_eq(b->calls, 0, "%s: an event of the predecessor", name);
    wsgi__loop_unwatch(loop, &a.io);
    turn(loop);
    cr_expect_eq(b->calls, 0, "%s", name);
    send_byte(b);
    turn(loop);
    cr_expect_eq(b->calls, 1, "%s: its own event", name);
    close_conn(&a);
    close_conn(b);
    close_conn(&c);
    free(b);
}

static void
other_wants_to_write(conn *c)
{
    wsgi__loop_watch(c->loop, &c->other->io, WSGI__WRITE);
}

static void
events_are_filtered_by_the_new_want(wsgi__loop *loop, const char *name)
{
    conn a, b;

    open_conn(&a, loop);
    open_conn(&b, loop);
    a.other = &b;
    b.other = &a;
    a.then = b.then = other_wants_to_write;
    send_byte(&a);
    send_byte(&b);
    wsgi__loop_watch(loop, &a.io, WSGI__READ);
    wsgi__loop_watch(loop, &b.io, WSGI__READ);
    turn(loop);
    cr_expect_eq(a.calls + b.calls, 1, "%s: %d, %d", name, a.calls, b.calls);
    a.then = b.then = NULL;
    turn(loop);
    cr_expect_eq((a.events | b.events) & WSGI__WRITE, WSGI__WRITE, "%s", name);
    close_conn(&a);
    close_conn(&b);
}

static void
hangup_passes_a_changed_want(wsgi__loop *loop, const char *name)
{
    conn a, b;

    open_conn(&a, loop);
    open_conn(&b, loop);
    a.other = &b;
    b.other = &a;
    a.then = b.then = other_wants_to_write;
    for (conn *c = &a; c; c = c == &a ? &b : NULL) {
        wsgi__loop_watch(loop, &c->io, WSGI__READ);
        close(c->peer);
        c->peer = -1;
    }
    turn(loop);
    cr_expect_eq(a.calls, 1, "%s", name);
    cr_expect_eq(b.calls, 1, "%s", name);
    cr_expect_eq(a.events & b.events, WSGI__HANGUP, "%s: %u, %u", name,
                 a.events, b.events);
    close_conn(&a);
    close_conn(&b);
}

static void
close_self(conn *c)
{
    close_conn(c);
    free(c);
}

static void
an_io_may_be_freed_in_its_own_callback(wsgi__loop *loop, const char *name)
{
    for (int i = 0; i < 20; i++) {
        conn *c = malloc(sizeof(*c));
        open_conn(c, loop);
        c->then = close_self;
        send_byte(c);
        cr_expect_eq(wsgi__loop_watch(loop, &c->io, WSGI__READ), WSGI_OK, "%s",
                     name);
    }
    turn(loop);
    turn(loop);
}

/* More than one turn fetches: all get their turn, and none is lost when slots
 * move. */
static void
serves_more_than_a_turn_fetches(wsgi__loop *loop, const char *name)
{
    enum { MANY = 600 };
    struct rlimit limit;
    conn *all = calloc(MANY, sizeof(*all));
    int missed = 0;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < MANY; i++) {
        open_conn(&all[i], loop);
        cr_assert_eq(wsgi__loop_watch(loop, &all[i].io, WSGI__READ), WSGI_OK);
        send_byte(&all[i]);
    }
    for (int i = 0; i < MANY; i += 7)
        wsgi__loop_unwatch(loop, &all[i].io);
    for (int i = 0; i < 4; i++)
        turn(loop);
    for (int i = 0; i < MANY; i++)
        missed += i % 7 ? all[i].calls == 0 : all[i].calls != 0;
    cr_expect_eq(missed, 0, "%s: %d", name, missed);
    for (int i = 0; i < MANY; i++)
        close_conn(&all[i]);
    free(all);
}

typedef struct alarm_clock {
    wsgi__timer timer; /* first */
    wsgi__loop *loop;
    int calls;
    int place; /* in the order of expiry, from 1 */
    unsigned again_ms;
    struct alarm_clock *other;
    void (*then)(struct alarm_clock *alarm);
} alarm_clock;

static int n_expired;

static void
on_expired(wsgi__timer *timer)
{
    alarm_clock *a = (alarm_clock *)timer;
    cr_expect_not(wsgi__timer_armed(timer), "it is not armed any more");
    a->calls++;
    a->place = ++n_expired;
    if (a->then)
        a->then(a);
}

static alarm_clock
new_alarm(wsgi__loop *loop)
{
    return (alarm_clock){ .timer = { .expired = on_expired }, .loop = loop };
}

static void
timers_expire_in_the_order_of_deadlines(wsgi__loop *loop, const char *name)
{
    static const struct {
        unsigned ms;
        int place;
    } rows[] = { { 30, 5 }, { 10, 2 }, { 20, 4 }, { 10, 3 }, { 5, 1 } };
    alarm_clock alarms[N(rows)];

    n_expired = 0;
    for (size_t i = 0; i < N(rows); i++) {
        alarms[i] = new_alarm(loop);
        cr_expect_eq(wsgi__loop_arm(loop, &alarms[i].timer, rows[i].ms), 0);
        cr_expect(wsgi__timer_armed(&alarms[i].timer));
    }
    for (int i = 0; i < 10 && n_expired < (int)N(rows); i++)
        wsgi__loop_run_once(loop, -1);
    for (size_t i = 0; i < N(rows); i++)
        cr_expect_eq(alarms[i].place, rows[i].place, "%s, row %zu: %d", name,
                     i, alarms[i].place);
}

/* One wait for one deadline: it never ends before it. */
static void
a_wait_ends_with_the_deadline(wsgi__loop *loop, const char *name)
{
    alarm_clock a = new_alarm(loop);

    for (unsigned ms = 1; ms < 12; ms++) {
        wsgi__loop_refresh(loop);
        uint64_t began = wsgi__loop_now(loop);
        a.calls = 0;
        wsgi__loop_arm(loop, &a.timer, ms);
        cr_expect_eq(wsgi__loop_run_once(loop, -1), WSGI_OK);
        cr_expect_eq(a.calls, 1, "%s: %u ms took more than one turn", name,
                     ms);
        cr_expect_geq(wsgi__loop_now(loop), began + ms, "%s", name);
    }
    wsgi__loop_arm(loop, &a.timer, 1);
    a.calls = 0;
    wsgi__loop_run_once(loop, 10000);
    cr_expect_eq(a.calls, 1, "%s: with a timeout of its own", name);
    /* A distant deadline does not lengthen a short wait. */
    wsgi__loop_arm(loop, &a.timer, 11);
    turn(loop);
    wsgi__loop_disarm(loop, &a.timer);
}

static void
rearm_at_once(alarm_clock *a)
{
    wsgi__loop_arm(a->loop, &a->timer, a->again_ms);
}

static void
zero_is_the_next_turn(wsgi__loop *loop, const char *name)
{
    alarm_clock a = new_alarm(loop);

    a.then = rearm_at_once;
    wsgi__loop_arm(loop, &a.timer, 0);
    for (int i = 1; i <= 5; i++) {
        cr_expect_eq(wsgi__loop_run_once(loop, -1), WSGI_OK);
        cr_expect_eq(a.calls, i, "%s: once a turn, %d", name, a.calls);
    }
    wsgi__loop_disarm(loop, &a.timer);
}

static void
disarm_other(alarm_clock *a)
{
    wsgi__loop_disarm(a->loop, &a->other->timer);
    wsgi__loop_disarm(a->loop, &a->other->timer);
    memset(a->other, 0x5a, sizeof(*a->other)); /* as free would */
}

static void
a_callback_may_free_any_timer(wsgi__loop *loop, const char *name)
{
    alarm_clock a = new_alarm(loop), same = new_alarm(loop);
    alarm_clock b = new_alarm(loop), *other = malloc(sizeof(*other));

    *other = new_alarm(loop);
    a.other = &same;
    b.other = other;
    a.then = b.then = disarm_other;
    wsgi__loop_arm(loop, &a.timer, 0);
    wsgi__loop_arm(loop, &same.timer, 0);
    wsgi__loop_arm(loop, &b.timer, 1);
    wsgi__loop_arm(loop, &other->timer, 2);
    while (!b.calls)
        wsgi__loop_run_once(loop, -1);
    free(other);
    cr_expect_eq(wsgi__loop_run_once(loop, 5), WSGI_OK);
    cr_expect_eq(a.calls + b.calls, 2, "%s", name);
}

static void
arming_again_moves_the_deadline(wsgi__loop *loop, const char *name)
{
    alarm_clock a = new_alarm(loop), b = new_alarm(loop);

    n_expired = 0;
    wsgi__loop_arm(loop, &a.timer, 1);
    wsgi__loop_arm(loop, &b.timer, 3);
    wsgi__loop_arm(loop, &a.timer, 6);
    while (n_expired < 2)
        wsgi__loop_run_once(loop, -1);
    cr_expect_eq(b.place, 1, "%s", name);
    cr_expect_eq(a.place, 2, "%s", name);
    cr_expect_eq(a.calls, 1, "%s", name);
}

static void
sixteen_lengths_are_kept(wsgi__loop *loop, const char *name)
{
    alarm_clock a[33];

    for (unsigned i = 0; i < 33; i++) {
        a[i] = new_alarm(loop);
        int status = wsgi__loop_arm(loop, &a[i].timer, 1000 + i);
        cr_expect_eq(status, i < 32 ? WSGI_OK : WSGI_ERR_INVALID,
                     "%s: length %u", name, i + 1);
    }
    cr_expect_not(wsgi__timer_armed(&a[32].timer));
    cr_expect_eq(wsgi__loop_arm(loop, &a[0].timer, 9999), WSGI_ERR_INVALID);
    cr_expect(wsgi__timer_armed(&a[0].timer), "%s: as it was", name);
    cr_expect_eq(wsgi__loop_arm(loop, &a[32].timer, 1000), WSGI_OK);
}

static void
many_timers_of_one_length(wsgi__loop *loop, const char *name)
{
    enum { MANY = 2000 };
    alarm_clock *all = calloc(MANY, sizeof(*all));
    int wrong = 0;

    n_expired = 0;
    for (int i = 0; i < MANY; i++) {
        all[i] = new_alarm(loop);
        wsgi__loop_arm(loop, &all[i].timer, 2);
    }
    for (int i = 0; i < MANY; i += 2)
        wsgi__loop_disarm(loop, &all[i].timer);
    while (n_expired < MANY / 2)
        wsgi__loop_run_once(loop, -1);
    for (int i = 0; i < MANY; i++)
        wrong += all[i].place != (i % 2 ? i / 2 + 1 : 0);
    cr_expect_eq(wrong, 0, "%s: %d", name, wrong);
    free(all);
}

/* Work between the turns is not time already waited. */
static void
refresh_reads_the_clock(wsgi__loop *loop, const char *name)
{
    alarm_clock a = new_alarm(loop);
    const struct timespec work = { 0, 20 * 1000000 };

    nanosleep(&work, NULL);
    uint64_t before = wsgi__loop_now(loop);
    wsgi__loop_refresh(loop);
    cr_expect_geq(wsgi__loop_now(loop), before + 20, "%s", name);
    wsgi__loop_arm(loop, &a.timer, 10000);
    turn(loop);
    cr_expect_eq(a.calls, 0, "%s", name);
    wsgi__loop_disarm(loop, &a.timer);
}

typedef struct letter {
    wsgi__post post; /* first */
    wsgi__loop *loop;
    struct letter *next;
    int place;
} letter;

static int n_posted;

static void
on_post(wsgi__post *post)
{
    letter *l = (letter *)post;
    l->place = ++n_posted;
    if (l->next)
        wsgi__loop_post(l->loop, &l->next->post);
}

static void
posts_run_in_order(wsgi__loop *loop, const char *name)
{
    letter letters[5];

    n_posted = 0;
    for (size_t i = 0; i < N(letters); i++) {
        letters[i] = (letter){ .post.fn = on_post, .loop = loop };
        wsgi__loop_post(loop, &letters[i].post);
    }
    cr_expect_eq(n_posted, 0, "%s: not before the turn", name);
    cr_expect_eq(wsgi__loop_run_once(loop, -1), WSGI_OK);
    for (size_t i = 0; i < N(letters); i++)
        cr_expect_eq(letters[i].place, (int)i + 1, "%s: %zu", name, i);
}

static void
a_post_of_a_post_runs_in_the_next_turn(wsgi__loop *loop, const char *name)
{
    letter b = { .post.fn = on_post, .loop = loop };
    letter a = { .post.fn = on_post, .loop = loop, .next = &b };

    n_posted = 0;
    wsgi__loop_post(loop, &a.post);
    cr_expect_eq(wsgi__loop_run_once(loop, -1), WSGI_OK);
    cr_expect_eq(n_posted, 1, "%s", name);
    cr_expect_eq(wsgi__loop_run_once(loop, -1), WSGI_OK, "does not wait");
    cr_expect_eq(n_posted, 2, "%s", name);
    /* Reused, from its own callback too. */
    b.next = &b;
    wsgi__loop_post(loop, &b.post);
    for (int i = 3; i < 6; i++) {
        wsgi__loop_run_once(loop, -1);
        cr_expect_eq(n_posted, i, "%s", name);
    }
}

static int order_of_kinds[3], n_kinds;

static void
kind_ready(conn *c)
{
    order_of_kinds[n_kinds++] = 1;
    wsgi__loop_unwatch(c->loop, &c->io);
}

static void
kind_post(wsgi__post *post)
{
    (void)post;
    order_of_kinds[n_kinds++] = 2;
}

static void
kind_timer(wsgi__timer *timer)
{
    (void)timer;
    order_of_kinds[n_kinds++] = 3;
}

static void
descriptors_come_before_posts_before_timers(wsgi__loop *loop, const char *name)
{
    wsgi__timer timer = { .expired = kind_timer };
    wsgi__post post = { .fn = kind_post };
    conn c;

    n_kinds = 0;
    wsgi__loop_arm(loop, &timer, 0);
    wsgi__loop_post(loop, &post);
    open_conn(&c, loop);
    c.then = kind_ready;
    send_byte(&c);
    wsgi__loop_watch(loop, &c.io, WSGI__READ);
    turn(loop);
    cr_assert_eq(n_kinds, 3, "%s", name);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(order_of_kinds[i], i + 1, "%s", name);
    close_conn(&c);
}

static void
wakes_once(wsgi__loop *loop, const char *name)
{
    wsgi__loop_wake(loop);
    wsgi__loop_wake(loop);
    cr_expect_eq(wsgi__loop_run_once(loop, -1), WSGI_OK);
    uint64_t began = wsgi__loop_now(loop);
    cr_expect_eq(wsgi__loop_run_once(loop, 20), WSGI_OK);
    cr_expect_geq(wsgi__loop_now(loop), began + 19, "%s: not again", name);
}

static wsgi__loop *woken;

static void
on_signal(int number)
{
    int before = errno;

    (void)number;
    errno = 12345;
    wsgi__loop_wake(woken);
    if (errno != 12345)
        abort();
    errno = before;
}

/* The signal comes while it waits, or before; it returns in both cases. */
static void
a_signal_handler_may_wake(wsgi__loop *loop, const char *name)
{
    struct sigaction action = { .sa_handler = on_signal,
                                .sa_flags = SA_RESTART };
    struct itimerval soon = { .it_value = { .tv_usec = 5000 } };

    woken = loop;
    sigaction(SIGALRM, &action, NULL);
    raise(SIGALRM);
    cr_expect_eq(wsgi__loop_run_once(loop, -1), WSGI_OK, "%s", name);
    setitimer(ITIMER_REAL, &soon, NULL);
    cr_expect_eq(wsgi__loop_run_once(loop, -1), WSGI_OK, "%s: EINTR", name);
    turn(loop);
}

enum { POSTERS = 4, POSTS = 2000 };

typedef struct poster {
    pthread_t thread;
    wsgi__loop *loop;
    int received; /* by the loop's thread */
    struct numbered {
        wsgi__post post; /* first */
        struct poster *from;
        int number;
    } posts[POSTS];
} poster;

static int n_out_of_order, n_received;

static void
on_numbered(wsgi__post *post)
{
    struct numbered *n = (struct numbered *)post;
    n_out_of_order += n->number != n->from->received;
    n->from->received++;
    n_received++;
}

static void *
post_all(void *arg)
{
    poster *p = arg;
    for (int i = 0; i < POSTS; i++) {
        p->posts[i] = (struct numbered){ { .fn = on_numbered }, p, i };
        wsgi__loop_post(p->loop, &p->posts[i].post);
        if (i % 100 == 0) /* so that the loop falls asleep between */
            nanosleep(&(struct timespec){ 0, 50000 }, NULL);
    }
    return NULL;
}

/* A lost wake-up would leave the loop waiting: the test's timeout. */
static void
threads_post_and_nothing_is_lost(wsgi__loop *loop, const char *name)
{
    poster *posters = calloc(POSTERS, sizeof(*posters));

    n_received = n_out_of_order = 0;
    for (int i = 0; i < POSTERS; i++) {
        posters[i].loop = loop;
        cr_assert_eq(
            pthread_create(&posters[i].thread, NULL, post_all, &posters[i]),
            0);
    }
    while (n_received < POSTERS * POSTS)
        cr_assert_eq(wsgi__loop_run_once(loop, -1), WSGI_OK);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    cr_expect_eq(n_out_of_order, 0, "%s: %d", name, n_out_of_order);
    free(posters);
}

static void
reads_the_clock_once_a_turn(wsgi__loop *loop, const char *name)
{
    alarm_clock a = new_alarm(loop);

    wsgi__loop_arm(loop, &a.timer, 1000);
    n_clock = 0;
    for (int i = 0; i < 10; i++)
        turn(loop);
    cr_expect_eq(n_clock, 10, "%s: %d", name, n_clock);
    wsgi__loop_disarm(loop, &a.timer);
}

#define CASE(function)                                                        \
    {                                                                         \
#function, function                                                   \
    }
static const struct {
    const char *name;
    void (*run)(wsgi__loop *loop, const char *name);
} cases[] = {
    CASE(reports_what_is_wanted),
    CASE(is_level_triggered),
    CASE(half_closed_is_no_hangup),
    CASE(hangup_comes_unasked),
    CASE(hangup_alone_does_not_spin_on_data),
    CASE(no_event_after_unwatch),
    CASE(no_event_for_a_successor),
    CASE(events_are_filtered_by_the_new_want),
    CASE(hangup_passes_a_changed_want),
    CASE(an_io_may_be_freed_in_its_own_callback),
    CASE(serves_more_than_a_turn_fetches),
    CASE(timers_expire_in_the_order_of_deadlines),
    CASE(a_wait_ends_with_the_deadline),
    CASE(zero_is_the_next_turn),
    CASE(a_callback_may_free_any_timer),
    CASE(arming_again_moves_the_deadline),
    CASE(sixteen_lengths_are_kept),
    CASE(many_timers_of_one_length),
    CASE(refresh_reads_the_clock),
    CASE(posts_run_in_order),
    CASE(a_post_of_a_post_runs_in_the_next_turn),
    CASE(descriptors_come_before_posts_before_timers),
    CASE(wakes_once),
    CASE(a_signal_handler_may_wake),
    CASE(threads_post_and_nothing_is_lost),
    CASE(reads_the_clock_once_a_turn),
};

static void
run_cases(wsgi__loop_kind kind, const char *backend)
{
    for (size_t i = 0; i < N(cases); i++) {
        char name[128];
        wsgi__loop *loop = wsgi__loop_new(kind);
        cr_assert_not_null(loop, "%s", backend);
        snprintf(name, sizeof(name), "%s: %s", backend, cases[i].name);
        cases[i].run(loop, name);
        wsgi__loop_free(loop);
    }
}

Test(loop, over_epoll)
{
    run_cases(WSGI__LOOP_EPOLL, "epoll");
}

Test(loop, over_poll)
{
    run_cases(WSGI__LOOP_POLL, "poll");
}

Test(loop, the_environment_chooses_the_back_end)
{
    static const struct {
        const char *value;
        bool poll;
    } rows[] = {
        { "poll", true }, { "epoll", false }, { "", false }, { NULL, false }
    };

    for (size_t i = 0; i < N(rows); i++) {
        if (rows[i].value)
            setenv("WSGI_LOOP", rows[i].value, 1);
        else
            unsetenv("WSGI_LOOP");
        wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_AUTO);
        cr_expect_eq(wsgi__loop_fd(loop) == -1, rows[i].poll, "row %zu", i);
        wsgi__loop_free(loop);
    }
    setenv("WSGI_LOOP", "poll", 1);
    wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_EPOLL);
    cr_expect_neq(wsgi__loop_fd(loop), -1, "what is asked for is taken");
    wsgi__loop_free(loop);
}

Test(loop, poll_has_nothing_to_publish)
{
    wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_POLL);

    cr_expect_eq(wsgi__loop_publish(loop), WSGI_ERR_SYSTEM);
    cr_expect_eq(errno, ENOTSUP);
    wsgi__loop_free(loop);
}

Test(loop, no_system_call_when_nothing_changes)
{
    wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_EPOLL);
    conn c;

    open_conn(&c, loop);
    n_epoll_ctl = 0;
    wsgi__loop_watch(loop, &c.io, WSGI__READ);
    wsgi__loop_watch(loop, &c.io, WSGI__READ);
    wsgi__loop_watch(loop, &c.io, WSGI__READ | WSGI__HANGUP);
    cr_expect_eq(n_epoll_ctl, 1, "%d", n_epoll_ctl);
    wsgi__loop_watch(loop, &c.io, WSGI__WRITE);
    cr_expect_eq(n_epoll_ctl, 2, "%d", n_epoll_ctl);
    wsgi__loop_unwatch(loop, &c.io);
    wsgi__loop_unwatch(loop, &c.io);
    cr_expect_eq(n_epoll_ctl, 3, "%d", n_epoll_ctl);
    close_conn(&c);
    wsgi__loop_free(loop);
}

/* The kernel refuses to modify an exclusive registration, or to make one of
 * another. */
Test(loop, shared_is_exclusive_and_can_be_changed)
{
    static const struct {
        unsigned want;
        uint32_t events;
    } rows[] = {
        { WSGI__READ | WSGI__SHARED, EPOLLIN | EPOLLEXCLUSIVE },
        { WSGI__READ, EPOLLIN },
        { WSGI__READ | WSGI__SHARED, EPOLLIN | EPOLLEXCLUSIVE },
        { WSGI__READ | WSGI__WRITE, EPOLLIN | EPOLLOUT },
    };
    wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_EPOLL);
    conn c;

    open_conn(&c, loop);
    send_byte(&c);
    for (size_t i = 0; i < N(rows); i++) {
        c.calls = 0;
        cr_expect_eq(wsgi__loop_watch(loop, &c.io, rows[i].want), WSGI_OK,
                     "row %zu", i);
        cr_expect_eq(watched, rows[i].events, "row %zu", i);
    }
    turn(loop);
    cr_expect_eq(c.calls, 1);
    close_conn(&c);
    wsgi__loop_free(loop);
}

Test(loop, refuses_what_cannot_be_watched)
{
    wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_EPOLL);
    wsgi__io io = { .fd = -1, .ready = on_ready };

    cr_expect_eq(wsgi__loop_watch(loop, &io, WSGI__READ), WSGI_ERR_SYSTEM);
    cr_expect_eq(errno, EBADF);
    cr_expect_eq(io.want, 0);
    wsgi__loop_free(loop);
}

static bool
readable(const wsgi__loop *loop, int timeout_ms)
{
    struct pollfd p = { .fd = wsgi__loop_fd(loop), .events = POLLIN };
    return poll(&p, 1, timeout_ms) == 1;
}

/* A host that looks at nothing but the one descriptor. */
Test(loop, its_fd_is_readable_when_there_is_something_to_do)
{
    wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_EPOLL);
    alarm_clock a = new_alarm(loop);
    letter b = { .post.fn = on_post, .loop = loop };
    letter l = { .post.fn = on_post, .loop = loop, .next = &b };
    conn c;

    wsgi__loop_publish(loop);
    cr_expect_not(readable(loop, 0), "nothing to do");

    open_conn(&c, loop);
    wsgi__loop_watch(loop, &c.io, WSGI__READ);
    cr_expect_not(readable(loop, 0));
    send_byte(&c);
    cr_expect(readable(loop, 0), "a descriptor");
    turn(loop);
    cr_expect(readable(loop, 0), "it still is");
    wsgi__loop_unwatch(loop, &c.io);
    cr_expect_not(readable(loop, 0));

    wsgi__loop_post(loop, &l.post);
    wsgi__loop_publish(loop);
    cr_expect(readable(loop, 0), "a post");
    turn(loop);
    wsgi__loop_publish(loop);
    cr_expect(readable(loop, 0), "the post that it made");
    turn(loop);
    wsgi__loop_publish(loop);
    cr_expect_not(readable(loop, 0));
    b.next = NULL;
    wsgi__loop_post(loop, &b.post);
    cr_expect(readable(loop, 0), "a post after publish");
    turn(loop);
    wsgi__loop_publish(loop);
    cr_expect_not(readable(loop, 0));

    wsgi__loop_wake(loop);
    cr_expect(readable(loop, 0), "a wake");
    turn(loop);
    cr_expect_not(readable(loop, 0));

    wsgi__loop_refresh(loop);
    wsgi__loop_arm(loop, &a.timer, 5);
    wsgi__loop_publish(loop);
    cr_expect(readable(loop, 10000), "a deadline");
    turn(loop);
    cr_expect_eq(a.calls, 1, "which is then past");
    wsgi__loop_publish(loop);
    cr_expect_not(readable(loop, 0));

    wsgi__loop_arm(loop, &a.timer, 0);
    wsgi__loop_publish(loop);
    cr_expect(readable(loop, 1000), "a deadline already past");
    turn(loop);
    cr_expect_eq(a.calls, 2);
    close_conn(&c);
    wsgi__loop_free(loop);
}

Test(loop, publishing_is_cheap)
{
    wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_EPOLL);
    alarm_clock a = new_alarm(loop), b = new_alarm(loop);

    n_settime = 0;
    wsgi__loop_arm(loop, &a.timer, 0);
    wsgi__loop_run_once(loop, -1);
    wsgi__loop_publish(loop);
    cr_expect_eq(n_settime, 0, "without deadlines, and by itself: none");

    /* Each request moves the keep-alive deadline away. */
    for (int i = 0; i < 100; i++) {
        wsgi__loop_refresh(loop);
        wsgi__loop_arm(loop, &a.timer, 60000);
        wsgi__loop_publish(loop);
    }
    cr_expect_eq(n_settime, 1, "%d", n_settime);
    wsgi__loop_arm(loop, &b.timer, 3);
    wsgi__loop_publish(loop);
    cr_expect_eq(n_settime, 2, "a nearer one: %d", n_settime);
    cr_expect(readable(loop, 10000));
    turn(loop);
    cr_expect_eq(b.calls, 1);
    wsgi__loop_publish(loop);
    cr_expect_eq(n_settime, 3, "the next: %d", n_settime);
    wsgi__loop_free(loop);
}

Test(loop, free_runs_nothing)
{
    wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_EPOLL);
    alarm_clock a = new_alarm(loop);
    letter l = { .post.fn = on_post, .loop = loop };

    n_posted = 0;
    wsgi__loop_arm(loop, &a.timer, 0);
    wsgi__loop_post(loop, &l.post);
    wsgi__loop_free(loop);
    cr_expect_eq(a.calls, 0);
    cr_expect_eq(n_posted, 0);
    wsgi__loop_free(NULL);
}

Test(loop, survives_every_failing_allocation)
{
    static const wsgi__loop_kind kinds[] = { WSGI__LOOP_EPOLL,
                                             WSGI__LOOP_POLL };
    static const long allocations[] = { 2, 4 };

    for (size_t i = 0; i < N(kinds); i++) {
        wsgi__loop *loop = NULL;
        long n = 0;
        while (!loop && n < 20) {
            errno = 0;
            wsgi__mem_fail_nth(++n);
            loop = wsgi__loop_new(kinds[i]);
            wsgi__mem_fail_nth(0);
            if (!loop)
                cr_expect_eq(errno, ENOMEM, "kind %zu, allocation %ld", i, n);
        }
        cr_expect_eq(n, allocations[i] + 1, "kind %zu: %ld", i, n);
        wsgi__loop_free(loop);
    }
}

/* Growing fails: the new one is refused, the old ones go on. */
Test(loop, poll_refuses_one_more_when_out_of_memory)
{
    wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_POLL);
    conn c[20];
    int refused = 0;

    for (size_t i = 0; i < N(c); i++) {
        open_conn(&c[i], loop);
        send_byte(&c[i]);
        for (long n = 1; n <= 2; n++) {
            wsgi__mem_fail_nth(n);
            int status = wsgi__loop_watch(loop, &c[i].io, WSGI__READ);
            wsgi__mem_fail_nth(0);
            cr_expect(status == WSGI_OK || status == WSGI_ERR_NOMEM);
            refused += status == WSGI_ERR_NOMEM;
        }
        cr_expect_eq(wsgi__loop_watch(loop, &c[i].io, WSGI__READ), WSGI_OK);
    }
    cr_expect_eq(refused, 2, "%d", refused);
    turn(loop);
    for (size_t i = 0; i < N(c); i++) {
        cr_expect_eq(c[i].calls, 1, "%zu", i);
        close_conn(&c[i]);
    }
    wsgi__loop_free(loop);
}

Test(loop, fails_cleanly_without_descriptors)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    int next = dup(0);
    close(next);
    rlim_t before = limit.rlim_cur;
    for (rlim_t room = 0; room < 3; room++) {
        limit.rlim_cur = (rlim_t)next + room;
        setrlimit(RLIMIT_NOFILE, &limit);
        wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_EPOLL);
        int error = errno;
        cr_expect_eq(loop == NULL, room < 2, "room for %d", (int)room);
        if (!loop)
            cr_expect_eq(error, EMFILE);
        wsgi__loop_free(loop);
    }
    limit.rlim_cur = before;
    setrlimit(RLIMIT_NOFILE, &limit);
}
