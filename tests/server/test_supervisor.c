/* A supervisor with workers that are C functions: each test is a process of its
 * own, which runs the supervisor and steers it from its events. */
#include <criterion/criterion.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wsgi/supervisor.h>

#define MOST_EVENTS 256

/* What workers tell the test, in memory that all of them share. */
typedef struct shared {
    atomic_int started; /* workers, ever */
    atomic_int drained; /* workers that left when they were told to */
    atomic_int reopened;
    atomic_int now;         /* alive */
    atomic_int most, least; /* of `now`, while anybody looked */
} shared;

typedef struct scene {
    wsgi_supervisor *supervisor;
    shared *shared;
    char log[16384];
    wsgi_supervisor_event events[MOST_EVENTS];
    size_t n_events;
    /* Called at each event; steers. */
    void (*steer)(struct scene *scene, wsgi_supervisor_event event);
    int step, ticks;
} scene;

static scene stage;

static void
on_log(void *user, wsgi_log_level level, const char *entry)
{
    scene *s = user;
    size_t len = strlen(s->log);
    (void)level;
    snprintf(s->log + len, sizeof(s->log) - len, "%s\n", entry);
}

static void
on_event(void *user, wsgi_supervisor_event event)
{
    scene *s = user;
    if (s->n_events < MOST_EVENTS && event != WSGI_SUPERVISOR_TICK)
        s->events[s->n_events++] = event;
    if (s->steer)
        s->steer(s, event);
}

static bool
had(const scene *s, wsgi_supervisor_event event)
{
    for (size_t i = 0; i < s->n_events; i++)
        if (s->events[i] == event)
            return true;
    return false;
}

static void
set_up(void)
{
    alarm(30);
    void *memory = mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    stage = (scene){ .shared = memory };
    stage.supervisor = wsgi_supervisor_new();
    cr_assert_not_null(stage.supervisor);
    wsgi_supervisor_set_log(stage.supervisor, WSGI_LOG_DEBUG, on_log, &stage);
    wsgi_supervisor_set_event(stage.supervisor, on_event, &stage);
}

static void
tear_down(void)
{
    wsgi_supervisor_free(stage.supervisor);
    munmap(stage.shared, sizeof(shared));
}

TestSuite(supervisor, .init = set_up, .fini = tear_down);

static void
set(wsgi_supervisor_option option, int64_t value)
{
    cr_assert_eq(wsgi_supervisor_set_int(stage.supervisor, option, value),
                 WSGI_OK);
}

static void
ask(wsgi_supervisor_request request)
{
    wsgi_supervisor_ask(stage.supervisor, request);
}

/* ---- Workers ------------------------------------------------------------ */

/* Until it is told to go. */
static int
idle(wsgi_worker *worker, void *user)
{
    shared *with = user;
    struct pollfd told = { .fd = wsgi_worker_fd(worker), .events = POLLIN };

    atomic_fetch_add(&with->started, 1);
    wsgi_worker_ready(worker);
    while (wsgi_worker_order_now(worker) == WSGI_WORKER_GO_ON) {
        poll(&told, 1, 100);
        wsgi_worker_beat(worker);
    }
    if (wsgi_worker_order_now(worker) == WSGI_WORKER_DRAIN)
        atomic_fetch_add(&with->drained, 1);
    return 0;
}

static int
cannot_start(wsgi_worker *worker, void *user)
{
    shared *with = user;
    (void)worker;
    atomic_fetch_add(&with->started, 1);
    return 4;
}

static pid_t
pid_of(size_t index)
{
    wsgi_worker_info info = WSGI_WORKER_INFO_INIT;
    int status = wsgi_supervisor_worker(stage.supervisor, index, &info);
    return status == WSGI_OK ? (pid_t)info.pid : -1;
}

static size_t
count(wsgi_worker_state state)
{
    wsgi_worker_info info = WSGI_WORKER_INFO_INIT;
    size_t n = 0;
    for (size_t i = 0;
         wsgi_supervisor_worker(stage.supervisor, i, &info) == WSGI_OK; i++)
        n += info.state == state;
    return n;
}

static int
run(wsgi_worker_main work)
{
    return wsgi_supervisor_run(stage.supervisor, work, stage.shared);
}

/* ---- Start and stop ----------------------------------------------------- */

static void
stop_when_all_are_ready(scene *s, wsgi_supervisor_event event)
{
    if (event == WSGI_SUPERVISOR_CHANGED && s->step == 0 &&
        count(WSGI_WORKER_READY) == 3) {
        s->step = 1;
        raise(SIGTERM);
    }
}

Test(supervisor, starts_as_many_as_wanted_and_drains_them)
{
    set(WSGI_SUPERVISOR_WORKERS, 3);
    stage.steer = stop_when_all_are_ready;
    cr_expect_eq(run(idle), WSGI_OK, "%s",
                 wsgi_supervisor_error(stage.supervisor));
    cr_expect_eq(atomic_load(&stage.shared->started), 3);
    cr_expect_eq(atomic_load(&stage.shared->drained), 3);
    cr_expect_eq(wsgi_supervisor_stopped_by(stage.supervisor), SIGTERM);
    cr_expect(had(&stage, WSGI_SUPERVISOR_READY));
    cr_expect(had(&stage, WSGI_SUPERVISOR_STOPPING));
    cr_expect(strstr(stage.log, "SIGTERM: finishing"), "%s", stage.log);
}

Test(supervisor, ends_when_the_first_worker_cannot_start)
{
    set(WSGI_SUPERVISOR_WORKERS, 3);
    cr_expect_eq(run(cannot_start), WSGI_ERR_WORKER);
    cr_expect_eq(wsgi_supervisor_boot_status(stage.supervisor), 4);
    cr_expect_eq(atomic_load(&stage.shared->started), 1,
                 "the others wait for the first");
    cr_expect(strstr(wsgi_supervisor_error(stage.supervisor),
                     "ended with exit code 4 before it was ready"),
              "%s", wsgi_supervisor_error(stage.supervisor));
}

/* As nobody, since the limit is not for root. */
Test(supervisor, ends_when_the_first_worker_cannot_be_forked)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NPROC, &limit), 0);
    const struct rlimit none = { 0, limit.rlim_max };
    cr_assert_eq(setrlimit(RLIMIT_NPROC, &none), 0);
    cr_assert(getuid() != 0 || setuid(65534) == 0);
    cr_expect_eq(run(idle), WSGI_ERR_SYSTEM);
    cr_expect(strstr(wsgi_supervisor_error(stage.supervisor),
                     "cannot fork a worker: "),
              "%s", wsgi_supervisor_error(stage.supervisor));
    setrlimit(RLIMIT_NPROC, &limit);
}

static void
stop_at_third_order(scene *s, wsgi_supervisor_event event)
{
    if (event == WSGI_SUPERVISOR_READY)
        ask(WSGI_ASK_STOP);
    if (event == WSGI_SUPERVISOR_TICK && s->step++ < 2)
        ask(WSGI_ASK_STOP);
}

/* It hears neither TERM nor QUIT. */
static int
deaf(wsgi_worker *worker, void *user)
{
    shared *with = user;
    atomic_fetch_add(&with->started, 1);
    wsgi_worker_ready(worker);
    signal(SIGTERM, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    while (poll(NULL, 0, 50) <= 0)
        wsgi_worker_beat(worker);
    return 0;
}

Test(supervisor, is_not_kept_waiting_when_asked_three_times)
{
    stage.steer = stop_at_third_order;
    cr_expect_eq(run(deaf), WSGI_OK);
    cr_expect(strstr(stage.log, "stopping at once"), "%s", stage.log);
    cr_expect(strstr(stage.log, "was killed by the supervisor, as it was "
                                "asked"),
              "%s", stage.log);
}

static void
stop_at_once(scene *s, wsgi_supervisor_event event)
{
    (void)s;
    if (event == WSGI_SUPERVISOR_READY)
        raise(SIGQUIT);
}

Test(supervisor, kills_what_does_not_end_when_told_to)
{
    stage.steer = stop_at_once;
    cr_expect_eq(run(deaf), WSGI_OK);
    cr_expect(strstr(stage.log, "did not end when it was told to"), "%s",
              stage.log);
}

Test(supervisor, kills_what_drains_for_too_long)
{
    set(WSGI_SUPERVISOR_GRACEFUL_TIMEOUT, 300);
    set(WSGI_SUPERVISOR_WORKERS, 3);
    stage.steer = stop_when_all_are_ready;
    cr_expect_eq(run(deaf), WSGI_OK);
    cr_expect(strstr(stage.log, "it was still draining after 0.3 s"), "%s",
              stage.log);
}

/* A worker that has not come far has nothing to finish. */
static int
slow_to_start(wsgi_worker *worker, void *user)
{
    shared *with = user;
    (void)worker;
    atomic_fetch_add(&with->started, 1);
    while (pause() < 0)
        continue;
    return 0;
}

static void
stop_at_the_tick(scene *s, wsgi_supervisor_event event)
{
    if (event == WSGI_SUPERVISOR_TICK && atomic_load(&s->shared->started) &&
        s->step++ == 0)
        raise(SIGINT);
}

Test(supervisor, does_not_wait_for_workers_that_are_starting)
{
    set(WSGI_SUPERVISOR_GRACEFUL_TIMEOUT, 0);
    stage.steer = stop_at_the_tick;
    cr_expect_eq(run(slow_to_start), WSGI_OK);
    cr_expect(strstr(stage.log, "SIGINT: finishing"), "%s", stage.log);
    cr_expect_not(strstr(stage.log, "SIGKILL"), "%s", stage.log);
}

/* ---- Deaths ------------------------------------------------------------- */

static int
exits_with_seven_once(wsgi_worker *worker, void *user)
{
    shared *with = user;
    if (atomic_load(&with->started) > 0)
        return idle(worker, user);
    atomic_fetch_add(&with->started, 1);
    wsgi_worker_ready(worker);
    return 7;
}

static void
kill_in_turn(scene *s, wsgi_supervisor_event event)
{
    static const int signals[] = { SIGXCPU, SIGKILL, SIGTERM };

    if (event != WSGI_SUPERVISOR_CHANGED || count(WSGI_WORKER_READY) != 1 ||
        atomic_load(&s->shared->started) != s->step + 2)
        return;
    if (s->step < 3)
        kill(pid_of(0), signals[s->step]);
    else
        ask(WSGI_ASK_STOP);
    s->step++;
}

Test(supervisor, tells_how_each_worker_died_and_starts_another)
{
    static const char *const causes[] = {
        "ended with exit code 7", "was killed by SIGXCPU",
        "was killed by SIGKILL, not by the supervisor",
        "ended with exit code 0", /* TERM by hand drains it */
    };
    stage.steer = kill_in_turn;
    cr_expect_eq(run(exits_with_seven_once), WSGI_OK);
    cr_expect_eq(atomic_load(&stage.shared->started), 5);
    for (size_t i = 0; i < sizeof(causes) / sizeof(*causes); i++)
        cr_expect(strstr(stage.log, causes[i]), "%s\nis not in\n%s", causes[i],
                  stage.log);
}

static int
dies_young(wsgi_worker *worker, void *user)
{
    shared *with = user;
    atomic_fetch_add(&with->started, 1);
    wsgi_worker_ready(worker);
    return 1;
}

static void
stop_at_third_tick(scene *s, wsgi_supervisor_event event)
{
    if (event == WSGI_SUPERVISOR_TICK && ++s->step == 3)
        ask(WSGI_ASK_STOP);
}

Test(supervisor, backs_off_when_workers_die_young)
{
    stage.steer = stop_at_third_tick;
    cr_expect_eq(run(dies_young), WSGI_OK);
    int started = atomic_load(&stage.shared->started);
    cr_expect(started >= 3 && started <= 12, "%d starts in three seconds",
              started);
}

/* ---- Signs of life ------------------------------------------------------ */

static int
falls_silent(wsgi_worker *worker, void *user)
{
    shared *with = user;
    if (atomic_load(&with->started) > 0)
        return idle(worker, user);
    atomic_fetch_add(&with->started, 1);
    wsgi_worker_ready(worker);
    while (pause() < 0)
        continue;
    return 0;
}

static void
stop_after_second_start(scene *s, wsgi_supervisor_event event)
{
    if (event == WSGI_SUPERVISOR_CHANGED &&
        atomic_load(&s->shared->started) == 2 &&
        count(WSGI_WORKER_READY) == 1 && s->step++ == 0)
        ask(WSGI_ASK_STOP);
}

Test(supervisor, replaces_a_worker_that_gives_no_sign)
{
    set(WSGI_SUPERVISOR_HEARTBEAT_TIMEOUT, 3000);
    stage.steer = stop_after_second_start;
    cr_expect_eq(run(falls_silent), WSGI_OK);
    cr_expect(strstr(stage.log, "was killed by the supervisor: its loop gave "
                                "no sign for 3 s"),
              "%s", stage.log);
}

static void
stop_the_first(scene *s, wsgi_supervisor_event event)
{
    if (event == WSGI_SUPERVISOR_READY)
        kill(pid_of(0), SIGSTOP);
    stop_after_second_start(s, event);
}

Test(supervisor, replaces_a_worker_that_was_stopped)
{
    set(WSGI_SUPERVISOR_HEARTBEAT_TIMEOUT, 3000);
    stage.steer = stop_the_first;
    cr_expect_eq(run(idle), WSGI_OK);
    cr_expect(strstr(stage.log, "gave no sign for 3 s"), "%s", stage.log);
}

/* ---- Generations -------------------------------------------------------- */

/* Notes how few were ready when one of them left. */
static int
counted(wsgi_worker *worker, void *user)
{
    shared *with = user;
    atomic_fetch_add(&with->now, 1);
    int status = idle(worker, user);
    int others = atomic_fetch_sub(&with->now, 1) - 1;
    int least = atomic_load(&with->least);
    while (others < least &&
           !atomic_compare_exchange_weak(&with->least, &least, others))
        continue;
    return status;
}

static void
reload_once(scene *s, wsgi_supervisor_event event)
{
    size_t ready = count(WSGI_WORKER_READY);

    if (event == WSGI_SUPERVISOR_CHANGED && ready == 2 && s->step == 0) {
        s->step = 1;
        raise(SIGHUP);
    }
    if (event == WSGI_SUPERVISOR_RELOADED) {
        cr_expect_eq(ready, 4, "the old ones are still there");
        s->step = 2;
    }
    if (event == WSGI_SUPERVISOR_CHANGED && s->step == 2 && ready == 2 &&
        pid_of(2) < 0) {
        cr_expect_geq(atomic_load(&s->shared->least), 2);
        s->step = 3;
        ask(WSGI_ASK_STOP);
    }
}

Test(supervisor, starts_new_workers_before_old_ones_drain)
{
    atomic_store(&stage.shared->least, 1000);
    set(WSGI_SUPERVISOR_WORKERS, 2);
    stage.steer = reload_once;
    cr_expect_eq(run(counted), WSGI_OK);
    cr_expect_eq(stage.step, 3);
    cr_expect_eq(atomic_load(&stage.shared->started), 4);
    cr_expect_eq(atomic_load(&stage.shared->drained), 4);
}

static int
spoilt_later(wsgi_worker *worker, void *user)
{
    return wsgi_worker_generation(worker) > 1 ? cannot_start(worker, user)
                                              : idle(worker, user);
}

static void
reload_in_vain(scene *s, wsgi_supervisor_event event)
{
    static pid_t first;

    if (event == WSGI_SUPERVISOR_CHANGED && s->step == 0 &&
        count(WSGI_WORKER_READY) == 2) {
        s->step = 1;
        first = pid_of(0);
        ask(WSGI_ASK_RELOAD);
    }
    if (event == WSGI_SUPERVISOR_RELOAD_FAILED) {
        cr_expect_eq(pid_of(0), first);
        cr_expect_eq(count(WSGI_WORKER_READY), 2);
        s->step = 2;
    }
    if (event == WSGI_SUPERVISOR_TICK && s->step == 2) {
        s->step = 3;
        ask(WSGI_ASK_STOP);
    }
}

Test(supervisor, keeps_the_old_workers_when_new_ones_cannot_start)
{
    set(WSGI_SUPERVISOR_WORKERS, 2);
    stage.steer = reload_in_vain;
    cr_expect_eq(run(spoilt_later), WSGI_OK);
    cr_expect_eq(stage.step, 3);
    cr_expect_eq(atomic_load(&stage.shared->started), 3, "one attempt");
    cr_expect_eq(atomic_load(&stage.shared->drained), 2);
}

static int
hangs_later(wsgi_worker *worker, void *user)
{
    return wsgi_worker_generation(worker) > 1 ? slow_to_start(worker, user)
                                              : idle(worker, user);
}

/* Meanwhile the only old one dies. */
static void
reload_in_vain_and_die(scene *s, wsgi_supervisor_event event)
{
    static pid_t first;

    if (event == WSGI_SUPERVISOR_READY) {
        first = pid_of(0);
        ask(WSGI_ASK_RELOAD);
    }
    if (event == WSGI_SUPERVISOR_TICK && s->step == 0 &&
        atomic_load(&s->shared->started) == 2) {
        s->step = 1;
        kill(first, SIGKILL);
    }
    if (event == WSGI_SUPERVISOR_RELOAD_FAILED) {
        cr_expect_eq(s->step, 1);
        cr_expect_eq(count(WSGI_WORKER_READY), 1);
        cr_expect_neq(pid_of(0), first);
        s->step = 2;
        ask(WSGI_ASK_STOP);
    }
}

Test(supervisor, gives_up_a_reload_that_hangs)
{
    set(WSGI_SUPERVISOR_RELOAD_TIMEOUT, 2500);
    stage.steer = reload_in_vain_and_die;
    cr_expect_eq(run(hangs_later), WSGI_OK);
    cr_expect_eq(stage.step, 2);
    cr_expect(strstr(stage.log, "nobody serves: the last of the old workers"),
              "%s", stage.log);
    cr_expect(strstr(stage.log, "a new worker was not ready after 2.5 s; the "
                                "old ones go on"),
              "%s", stage.log);
}

Test(supervisor, does_not_reload_what_was_loaded_before_the_fork)
{
    set(WSGI_SUPERVISOR_PRELOADED, 1);
    set(WSGI_SUPERVISOR_WORKERS, 3);
    ask(WSGI_ASK_RELOAD);
    stage.steer = stop_when_all_are_ready;
    cr_expect_eq(run(idle), WSGI_OK);
    cr_expect_eq(atomic_load(&stage.shared->started), 3);
    cr_expect(strstr(stage.log, "would run the old code"), "%s", stage.log);
}

/* ---- More and fewer ----------------------------------------------------- */

static void
grow_and_shrink(scene *s, wsgi_supervisor_event event)
{
    size_t ready = count(WSGI_WORKER_READY);

    if (event != WSGI_SUPERVISOR_CHANGED || pid_of(ready) >= 0)
        return;
    if (s->step == 0 && ready == 1) {
        s->step = 1;
        raise(SIGTTIN);
    } else if (s->step == 1 && ready == 2) {
        s->step = 2;
        raise(SIGTTOU);
    } else if (s->step == 2 && ready == 1) {
        s->step = 3;
        raise(SIGTTOU); /* the last one stays */
        raise(SIGWINCH);
    } else if (s->step == 3 && ready == 0) {
        s->step = 4;
        raise(SIGHUP);
    } else if (s->step == 4 && ready == 1) {
        s->step = 5;
        ask(WSGI_ASK_STOP);
    }
}

Test(supervisor, has_more_workers_fewer_and_none_for_a_while)
{
    stage.steer = grow_and_shrink;
    cr_expect_eq(run(idle), WSGI_OK);
    cr_expect_eq(stage.step, 5, "%s", stage.log);
    cr_expect_eq(atomic_load(&stage.shared->started), 3);
}

static void
pause_and_reload(scene *s, wsgi_supervisor_event event)
{
    if (event == WSGI_SUPERVISOR_READY) {
        raise(SIGWINCH);
        raise(SIGHUP);
    }
    if (event == WSGI_SUPERVISOR_RELOADED && s->step++ == 0)
        ask(WSGI_ASK_STOP);
    if (event == WSGI_SUPERVISOR_TICK && s->ticks++ == 5)
        ask(WSGI_ASK_STOP);
}

/* Whichever was first: both are pending in the next pass. */
Test(supervisor, has_workers_after_pause_and_reload_at_once)
{
    stage.steer = pause_and_reload;
    cr_expect_eq(run(idle), WSGI_OK);
    cr_expect_eq(stage.step, 1, "%s", stage.log);
    cr_expect_eq(atomic_load(&stage.shared->started), 2);
}

/* The first asks to be replaced, as one that has served enough. */
static int
asks_for_another(wsgi_worker *worker, void *user)
{
    shared *with = user;
    if (atomic_load(&with->started) == 0)
        wsgi_worker_replace(worker);
    return counted(worker, user);
}

static void
stop_after_replacement(scene *s, wsgi_supervisor_event event)
{
    if (event == WSGI_SUPERVISOR_CHANGED && count(WSGI_WORKER_READY) == 1 &&
        atomic_load(&s->shared->drained) == 1 && s->step++ == 0) {
        cr_expect_eq(atomic_load(&s->shared->least), 1,
                     "the other was ready when the first one left");
        ask(WSGI_ASK_STOP);
    }
}

Test(supervisor, replaces_a_worker_that_asks_for_it)
{
    atomic_store(&stage.shared->least, 1000);
    stage.steer = stop_after_replacement;
    cr_expect_eq(run(asks_for_another), WSGI_OK);
    cr_expect_eq(atomic_load(&stage.shared->started), 2);
    cr_expect(strstr(stage.log, "is being replaced: it asks for it"), "%s",
              stage.log);
}

/* ---- Without a supervisor ----------------------------------------------- */

static void
wait_for(atomic_int *number, int value)
{
    for (int i = 0; i < 1000 && atomic_load(number) < value; i++)
        poll(NULL, 0, 10);
    cr_expect_eq(atomic_load(number), value);
}

Test(supervisor, workers_drain_when_it_is_killed)
{
    set(WSGI_SUPERVISOR_WORKERS, 2);
    pid_t child = fork();
    if (child == 0)
        _exit(run(idle) == WSGI_OK ? 0 : 1);
    wait_for(&stage.shared->started, 2);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    wait_for(&stage.shared->drained, 2);
}

/* ---- What a program adds ------------------------------------------------ */

static int pipes[2];

static void
on_readable(void *user, int fd)
{
    scene *s = user;
    char byte;
    cr_expect_eq(read(fd, &byte, 1), 1);
    cr_expect_eq(byte, 'x');
    wsgi_supervisor_unwatch(s->supervisor, fd);
    ask(WSGI_ASK_STOP);
}

static void
write_when_ready(scene *s, wsgi_supervisor_event event)
{
    (void)s;
    if (event == WSGI_SUPERVISOR_READY)
        cr_expect_eq(write(pipes[1], "x", 1), 1);
}

Test(supervisor, watches_descriptors_of_the_program)
{
    cr_assert_eq(pipe(pipes), 0);
    stage.steer = write_when_ready;
    cr_assert_eq(wsgi_supervisor_watch(stage.supervisor, pipes[0], 0,
                                       on_readable, &stage),
                 WSGI_OK);
    cr_expect_eq(run(idle), WSGI_OK);
    cr_expect_lt(
        wsgi_supervisor_watch(stage.supervisor, 987, 0, on_readable, &stage),
        0);
    cr_expect(strstr(wsgi_supervisor_error(stage.supervisor), "987"));
    close(pipes[0]);
    close(pipes[1]);
}

static void
adopt_when_ready(scene *s, wsgi_supervisor_event event)
{
    if (event == WSGI_SUPERVISOR_READY) {
        pid_t child = fork();
        if (child == 0)
            _exit(9);
        cr_expect_eq(wsgi_supervisor_adopt(s->supervisor, child, "the other"),
                     WSGI_OK);
    }
    if (event == WSGI_SUPERVISOR_TICK && strstr(s->log, "exit code 9") &&
        s->step++ == 0)
        ask(WSGI_ASK_STOP);
}

Test(supervisor, waits_for_adopted_children)
{
    stage.steer = adopt_when_ready;
    cr_expect_eq(run(idle), WSGI_OK);
    cr_expect(strstr(stage.log, "the other (pid "), "%s", stage.log);
}

static void
reopen_and_stop(scene *s, wsgi_supervisor_event event)
{
    if (event == WSGI_SUPERVISOR_READY)
        raise(SIGUSR1);
    if (event == WSGI_SUPERVISOR_REOPEN)
        raise(SIGUSR2);
    if (event == WSGI_SUPERVISOR_UPGRADE && s->step++ == 0)
        ask(WSGI_ASK_STOP);
}

Test(supervisor, passes_on_the_signals_that_are_the_programs)
{
    struct sigaction before;
    signal(SIGUSR1, SIG_IGN);
    stage.steer = reopen_and_stop;
    cr_expect_eq(run(idle), WSGI_OK);
    cr_expect_eq(stage.step, 1);
    sigaction(SIGUSR1, NULL, &before);
    cr_expect_eq(before.sa_handler, SIG_IGN, "given back");
}

static void *
ask_from_a_thread(void *user)
{
    scene *s = user;
    for (int i = 0; i < 3; i++)
        wsgi_supervisor_ask(s->supervisor, WSGI_ASK_MORE);
    return NULL;
}

static void
ask_when_ready(scene *s, wsgi_supervisor_event event)
{
    pthread_t thread;

    if (event == WSGI_SUPERVISOR_READY) {
        /* It has ended before the next fork. */
        pthread_create(&thread, NULL, ask_from_a_thread, s);
        pthread_join(thread, NULL);
    }
    if (event == WSGI_SUPERVISOR_CHANGED && s->step == 0 &&
        count(WSGI_WORKER_READY) == 4) {
        s->step = 1;
        ask(WSGI_ASK_STOP);
    }
}

/* None is lost, unlike signals, of which two at once are one. */
Test(supervisor, takes_requests_of_other_threads)
{
    stage.steer = ask_when_ready;
    cr_expect_eq(run(idle), WSGI_OK);
    cr_expect(strstr(stage.log, "4 workers from now on"), "%s", stage.log);
}

/* ---- Misuse ------------------------------------------------------------- */

static void
run_another(scene *s, wsgi_supervisor_event event)
{
    if (event != WSGI_SUPERVISOR_READY)
        return;
    wsgi_supervisor *other = wsgi_supervisor_new();
    cr_expect_eq(wsgi_supervisor_run(other, idle, s->shared), WSGI_ERR_STATE);
    cr_expect(strstr(wsgi_supervisor_error(other), "another supervisor"));
    wsgi_supervisor_free(other);
    ask(WSGI_ASK_STOP);
}

Test(supervisor, runs_once_in_a_process)
{
    stage.steer = run_another;
    cr_expect_eq(run(idle), WSGI_OK);
    cr_expect_eq(atomic_load(&stage.shared->started), 1);
}

Test(supervisor, refuses_what_makes_no_sense)
{
    wsgi_supervisor *s = stage.supervisor;
    wsgi_worker_info info = WSGI_WORKER_INFO_INIT;

    cr_expect_eq(wsgi_supervisor_set_int(s, WSGI_SUPERVISOR_WORKERS, 0),
                 WSGI_ERR_INVALID);
    cr_expect(strstr(wsgi_supervisor_error(s), "1 to 256"));
    cr_expect_eq(wsgi_supervisor_set_int(s, (wsgi_supervisor_option)99, 0),
                 WSGI_ERR_OPTION);
    cr_expect_eq(wsgi_supervisor_get_int(s, WSGI_SUPERVISOR_WORKERS), 1);
    /* A healthy worker may be silent for as long. */
    cr_expect_eq(
        wsgi_supervisor_set_int(s, WSGI_SUPERVISOR_HEARTBEAT_TIMEOUT, 2999),
        WSGI_ERR_INVALID);
    cr_expect(strstr(wsgi_supervisor_error(s), "expected 0 or 3000 to"));
    set(WSGI_SUPERVISOR_HEARTBEAT_TIMEOUT, 0);
    cr_expect_eq(wsgi_supervisor_worker(s, 0, &info), WSGI_ERR_INVALID);
    cr_expect_eq(wsgi_supervisor_run(NULL, idle, NULL), WSGI_ERR_NOMEM);
    cr_expect_str_eq(wsgi_supervisor_error(NULL),
                     wsgi_strerror(WSGI_ERR_NOMEM));
    wsgi_supervisor_ask(NULL, WSGI_ASK_STOP);
    wsgi_supervisor_free(NULL);
    cr_expect_geq(wsgi_supervisor_cpus(), 1);
}
