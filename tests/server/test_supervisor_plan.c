/* Decisions of a supervisor, and the words for a death: tables. */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "server/supervisor_cause.h"
#include "server/supervisor_plan.h"

#define NOW 100000u
#define MOST 8

/* ---- What is done next -------------------------------------------------- */

/*
 * Workers are written as words of "STATE GENERATION FLAGS": - free, S starting,
 * R ready, D draining, E ending, K killed; flags: r wants to be replaced, o has
 * been in this state for 40 s, s has been silent for 40 s.
 */
typedef struct row {
    const char *what;
    wsgi__plan_phase phase;
    unsigned wanted, serving, generation;
    bool unproved;
    unsigned wait_ms; /* before the next fork */
    const char *workers;
    wsgi__act act;
    size_t place;
} row;

static const row rows[] = {
    { "the first one", WSGI__PLAN_RUN, 2, 1, 1, true, 0, "- -",
      WSGI__ACT_SPAWN, 0 },
    { "the second waits for it", WSGI__PLAN_RUN, 2, 1, 1, true, 0, "S1 -",
      WSGI__ACT_NOTHING, 0 },
    { "it is ready", WSGI__PLAN_RUN, 2, 1, 1, false, 0, "R1 -",
      WSGI__ACT_SPAWN, 1 },
    { "all others at once", WSGI__PLAN_RUN, 3, 1, 1, false, 0, "R1 S1 -",
      WSGI__ACT_SPAWN, 2 },
    { "enough", WSGI__PLAN_RUN, 2, 1, 1, false, 0, "R1 R1 -",
      WSGI__ACT_NOTHING, 0 },
    { "one has died", WSGI__PLAN_RUN, 2, 1, 1, false, 0, "- R1 -",
      WSGI__ACT_SPAWN, 0 },
    { "back-off", WSGI__PLAN_RUN, 2, 1, 1, false, 100, "- R1 -",
      WSGI__ACT_NOTHING, 0 },
    { "no place", WSGI__PLAN_RUN, 2, 1, 1, false, 0, "D1 R1",
      WSGI__ACT_NOTHING, 0 },
    { "a draining one is none", WSGI__PLAN_RUN, 2, 1, 1, false, 0, "D1 R1 -",
      WSGI__ACT_SPAWN, 2 },

    { "one too many", WSGI__PLAN_RUN, 1, 1, 1, false, 0, "R1 R1",
      WSGI__ACT_DRAIN, 1 },
    { "a starting one too many", WSGI__PLAN_RUN, 1, 1, 1, false, 0, "R1 S1",
      WSGI__ACT_DRAIN, 1 },

    { "replacement first", WSGI__PLAN_RUN, 2, 1, 1, false, 0, "R1r R1 -",
      WSGI__ACT_SPAWN, 2 },
    { "it is starting", WSGI__PLAN_RUN, 2, 1, 1, false, 0, "R1r R1 S1",
      WSGI__ACT_NOTHING, 0 },
    { "then the old one", WSGI__PLAN_RUN, 2, 1, 1, false, 0, "R1r R1 R1",
      WSGI__ACT_DRAIN, 0 },
    { "of two, one for each", WSGI__PLAN_RUN, 2, 1, 1, false, 0,
      "R1r R1r R1 S1", WSGI__ACT_DRAIN, 1 },

    { "reload: the first", WSGI__PLAN_RUN, 2, 1, 2, true, 0, "R1 R1 - -",
      WSGI__ACT_SPAWN, 2 },
    { "reload: it has not been ready", WSGI__PLAN_RUN, 2, 1, 2, true, 0,
      "R1 R1 S2 -", WSGI__ACT_NOTHING, 0 },
    { "reload: it has", WSGI__PLAN_RUN, 2, 1, 2, false, 0, "R1 R1 R2 -",
      WSGI__ACT_SPAWN, 3 },
    { "reload: half of it", WSGI__PLAN_RUN, 2, 1, 2, false, 0, "R1 R1 R2 S2",
      WSGI__ACT_NOTHING, 0 },
    { "reload: old ones are not restarted", WSGI__PLAN_RUN, 2, 1, 2, false, 0,
      "- R1 R2 S2", WSGI__ACT_NOTHING, 0 },
    { "reload: unless none was ready", WSGI__PLAN_RUN, 2, 1, 2, true, 0,
      "- R1 S2", WSGI__ACT_SPAWN, 0 },
    { "reload: one after the other", WSGI__PLAN_RUN, 2, 1, 2, true, 0,
      "S1 - S2", WSGI__ACT_NOTHING, 0 },
    { "reload: with a pause", WSGI__PLAN_RUN, 2, 1, 2, true, 100, "- R1 S2",
      WSGI__ACT_NOTHING, 0 },
    { "reload: nobody was in charge", WSGI__PLAN_RUN, 2, 0, 2, true, 0,
      "D1 S2 -", WSGI__ACT_NOTHING, 0 },
    { "reload: done", WSGI__PLAN_RUN, 2, 2, 2, false, 0, "R1 R1 R2 R2",
      WSGI__ACT_DRAIN, 1 },
    { "reload: old ones drain", WSGI__PLAN_RUN, 2, 2, 2, false, 0,
      "D1 D1 R2 R2", WSGI__ACT_NOTHING, 0 },
    { "reload: in vain", WSGI__PLAN_RUN, 2, 1, 1, false, 0, "R1 R1 S2",
      WSGI__ACT_DRAIN, 2 },
    { "reload: superseded", WSGI__PLAN_RUN, 2, 1, 3, true, 0, "R1 R1 S2 -",
      WSGI__ACT_DRAIN, 2 },
    { "reload: superseded when ready", WSGI__PLAN_RUN, 2, 1, 3, true, 0,
      "R1 R1 R2 -", WSGI__ACT_DRAIN, 2 },

    { "silent", WSGI__PLAN_RUN, 1, 1, 1, false, 0, "R1s", WSGI__ACT_ABORT, 0 },
    { "silent while draining", WSGI__PLAN_RUN, 1, 1, 1, false, 0, "D1s R1",
      WSGI__ACT_ABORT, 0 },
    { "a starting one may be", WSGI__PLAN_RUN, 1, 1, 1, false, 0, "S1so",
      WSGI__ACT_NOTHING, 0 },
    { "its stacks are written", WSGI__PLAN_RUN, 1, 1, 1, false, 0, "E1s R1",
      WSGI__ACT_NOTHING, 0 },
    { "that takes too long", WSGI__PLAN_RUN, 1, 1, 1, false, 0, "E1so R1",
      WSGI__ACT_KILL, 0 },
    { "killed once", WSGI__PLAN_RUN, 1, 1, 1, false, 0, "K1so R1",
      WSGI__ACT_NOTHING, 0 },
    { "drains too long", WSGI__PLAN_RUN, 1, 2, 2, false, 0, "D1o R2",
      WSGI__ACT_KILL, 0 },
    { "silence in a stop", WSGI__PLAN_STOP, 1, 1, 1, false, 0, "D1s",
      WSGI__ACT_ABORT, 0 },

    { "stop: ready", WSGI__PLAN_STOP, 2, 1, 1, false, 0, "D1 R1",
      WSGI__ACT_DRAIN, 1 },
    { "stop: starting ones first", WSGI__PLAN_STOP, 2, 1, 1, false, 0, "R1 S1",
      WSGI__ACT_END, 1 },
    { "stop: until they are gone", WSGI__PLAN_STOP, 2, 1, 1, false, 0, "R1 E1",
      WSGI__ACT_NOTHING, 0 },
    { "stop: even the killed", WSGI__PLAN_STOP, 2, 1, 1, false, 0, "R1 K1",
      WSGI__ACT_NOTHING, 0 },
    { "stop: unless they stay", WSGI__PLAN_STOP, 2, 1, 1, false, 0, "R1 K1o",
      WSGI__ACT_DRAIN, 0 },
    { "stop: nobody is started", WSGI__PLAN_STOP, 2, 1, 1, false, 0, "D1 -",
      WSGI__ACT_NOTHING, 0 },
    { "now: draining", WSGI__PLAN_STOP_NOW, 1, 1, 1, false, 0, "D1",
      WSGI__ACT_END, 0 },
    { "now: starting", WSGI__PLAN_STOP_NOW, 1, 1, 1, false, 0, "S1",
      WSGI__ACT_END, 0 },
    { "now: told already", WSGI__PLAN_STOP_NOW, 1, 1, 1, false, 0, "E1",
      WSGI__ACT_NOTHING, 0 },
    { "now: too slow", WSGI__PLAN_STOP_NOW, 1, 1, 1, false, 0, "E1o",
      WSGI__ACT_KILL, 0 },
    { "kill", WSGI__PLAN_KILL, 1, 1, 1, false, 0, "K1 E1", WSGI__ACT_KILL, 1 },
    { "pause", WSGI__PLAN_PAUSE, 1, 1, 1, false, 0, "R1", WSGI__ACT_DRAIN, 0 },
    { "pause: nobody is started", WSGI__PLAN_PAUSE, 1, 1, 1, false, 0, "-",
      WSGI__ACT_NOTHING, 0 },
};

static wsgi__place
read_place(const char *word)
{
    static const char letters[] = "-SRDEK";
    wsgi__place place = { .since_ms = NOW - 100, .sign_ms = NOW - 100 };

    place.state = (wsgi__place_state)(strchr(letters, *word) - letters);
    if (place.state == WSGI__PLACE_FREE)
        return place;
    place.generation = (unsigned)(word[1] - '0');
    for (word += 2; *word && *word != ' '; word++) {
        place.replace |= *word == 'r';
        if (*word == 'o')
            place.since_ms = NOW - 40000;
        if (*word == 's')
            place.sign_ms = NOW - 40000;
    }
    return place;
}

static wsgi__plan
read_plan(const row *r, wsgi__place places[MOST])
{
    wsgi__plan plan = { .phase = r->phase,
                        .wanted = r->wanted,
                        .serving = r->serving,
                        .generation = r->generation,
                        .proved = !r->unproved,
                        .now_ms = NOW,
                        .spawn_at_ms = NOW + r->wait_ms,
                        .drain_ms = 30000,
                        .silence_ms = 30000,
                        .start_ms = 30000,
                        .places = places };

    for (const char *word = r->workers; word; word = strchr(word, ' ')) {
        word += *word == ' ';
        places[plan.n_places++] = read_place(word);
    }
    return plan;
}

Test(supervisor_plan, next)
{
    for (size_t i = 0; i < WSGI__COUNT(rows); i++) {
        wsgi__place places[MOST];
        wsgi__plan plan = read_plan(&rows[i], places);
        wsgi__step step = wsgi__plan_next(&plan);
        cr_expect_eq(step.act, rows[i].act, "%s: act %d", rows[i].what,
                     (int)step.act);
        cr_expect(step.act == WSGI__ACT_NOTHING || step.place == rows[i].place,
                  "%s: place %zu", rows[i].what, step.place);
    }
}

/* What nothing is done about is not looked at again and again. */
Test(supervisor_plan, waits_when_there_is_nothing_to_do)
{
    for (size_t i = 0; i < WSGI__COUNT(rows); i++) {
        wsgi__place places[MOST];
        wsgi__plan plan = read_plan(&rows[i], places);
        if (wsgi__plan_next(&plan).act == WSGI__ACT_NOTHING)
            cr_expect_gt(wsgi__plan_wait(&plan, 1000), 0, "%s", rows[i].what);
    }
}

Test(supervisor_plan, waits_until_the_next_deadline)
{
    static const struct {
        row row;
        unsigned wait;
    } waits[] = {
        { { "nothing", WSGI__PLAN_RUN, 1, 1, 1, false, 0, "R1", 0, 0 }, 1000 },
        { { "a fork", WSGI__PLAN_RUN, 2, 1, 1, false, 70, "R1 -", 0, 0 }, 70 },
        { { "an end", WSGI__PLAN_RUN, 1, 1, 1, false, 0, "R1 E1", 0, 0 },
          4900 },
    };
    for (size_t i = 0; i < WSGI__COUNT(waits); i++) {
        wsgi__place places[MOST];
        wsgi__plan plan = read_plan(&waits[i].row, places);
        cr_expect_eq(wsgi__plan_wait(&plan, i == 2 ? 9000 : 1000),
                     waits[i].wait, "%s", waits[i].row.what);
    }
}

/* After half a minute here. */
Test(supervisor_plan, a_reload_is_overdue)
{
    static const struct {
        row row;
        bool overdue;
    } reloads[] = {
        { { "yes", WSGI__PLAN_RUN, 1, 1, 2, true, 0, "R1 S2o", 0, 0 }, true },
        { { "new", WSGI__PLAN_RUN, 1, 1, 2, true, 0, "R1 S2", 0, 0 }, false },
        { { "alone", WSGI__PLAN_RUN, 1, 1, 2, true, 0, "D1 S2o", 0, 0 },
          false },
        { { "first", WSGI__PLAN_RUN, 1, 1, 1, true, 0, "S1o", 0, 0 }, false },
        { { "proved", WSGI__PLAN_RUN, 2, 1, 2, false, 0, "R1 R2 S2o", 0, 0 },
          false },
        { { "stop", WSGI__PLAN_STOP, 1, 1, 2, true, 0, "R1 S2o", 0, 0 },
          false },
    };
    for (size_t i = 0; i < WSGI__COUNT(reloads); i++) {
        wsgi__place places[MOST];
        wsgi__plan plan = read_plan(&reloads[i].row, places);
        cr_expect_eq(wsgi__plan_overdue(&plan), reloads[i].overdue, "%s",
                     reloads[i].row.what);
        plan.start_ms = 0;
        cr_expect_not(wsgi__plan_overdue(&plan));
    }
}

Test(supervisor_plan, zero_is_no_limit)
{
    static const row r = { "", WSGI__PLAN_RUN, 1, 1, 1, false,
                           0,  "R1s D1o",      0, 0 };
    wsgi__place places[MOST];
    wsgi__plan plan = read_plan(&r, places);
    plan.silence_ms = plan.drain_ms = 0;
    cr_expect_eq(wsgi__plan_next(&plan).act, WSGI__ACT_NOTHING);
    places[0].sign_ms = 0; /* a worker that has given no sign owes none */
    plan.silence_ms = 30000;
    cr_expect_eq(wsgi__plan_next(&plan).act, WSGI__ACT_NOTHING);
}

Test(supervisor_plan, backoff)
{
    static const unsigned waits[] = { 0,   0,    100,  200,  400,
                                      800, 1600, 3200, 5000, 5000 };
    for (unsigned i = 0; i < WSGI__COUNT(waits); i++)
        cr_expect_eq(wsgi__plan_backoff(i), waits[i], "%u", i);
    cr_expect_eq(wsgi__plan_backoff(1000000), 5000);
}

/* ---- Causes -------------------------------------------------------------- */

#define EXITED(code) ((code) << 8)
#define SIGNALLED(number) (number)

static const struct {
    int status;
    wsgi__told told;
    uint64_t limit_ms;
    bool out_of_memory, expected;
    const char *text;
} causes[] = {
    { EXITED(7), WSGI__TOLD_NOTHING, 0, false, false,
      "ended with exit code 7" },
    { EXITED(0), WSGI__TOLD_NOTHING, 0, false, false,
      "ended with exit code 0" },
    { EXITED(0), WSGI__TOLD_DRAIN, 0, false, true, "ended with exit code 0" },
    { EXITED(1), WSGI__TOLD_DRAIN, 0, false, false, "ended with exit code 1" },
    { SIGNALLED(SIGTERM), WSGI__TOLD_DRAIN, 0, false, true,
      "was killed by SIGTERM" },
    { SIGNALLED(SIGSEGV), WSGI__TOLD_DRAIN, 0, false, false,
      "was killed by SIGSEGV" },
    { SIGNALLED(SIGSEGV) | 0x80, WSGI__TOLD_NOTHING, 0, false, false,
      "was killed by SIGSEGV (core dumped)" },
    { SIGNALLED(40), WSGI__TOLD_NOTHING, 0, false, false,
      "was killed by signal 40" },
    { SIGNALLED(SIGKILL), WSGI__TOLD_NOTHING, 0, false, false,
      "was killed by SIGKILL, not by the supervisor: by hand, or by the "
      "kernel for want of memory (dmesg tells)" },
    { SIGNALLED(SIGKILL), WSGI__TOLD_NOTHING, 0, true, false,
      "was killed by the kernel: its control group is out of memory "
      "(oom_kill in memory.events)" },
    { SIGNALLED(SIGABRT), WSGI__KILLED_SILENT, 30000, false, false,
      "was killed by the supervisor: its loop gave no sign for 30 s" },
    { SIGNALLED(SIGKILL), WSGI__KILLED_SILENT, 1500, true, false,
      "was killed by the supervisor: its loop gave no sign for 1.5 s" },
    { SIGNALLED(SIGKILL), WSGI__KILLED_LATE, 30000, false, false,
      "was killed by the supervisor: it was still draining after 30 s" },
    { SIGNALLED(SIGKILL), WSGI__KILLED_SLOW, 0, false, false,
      "was killed by the supervisor: it did not end when it was told to" },
    { SIGNALLED(SIGKILL), WSGI__KILLED_ASKED, 0, false, true,
      "was killed by the supervisor, as it was asked" },
};

Test(supervisor_plan, causes)
{
    for (size_t i = 0; i < WSGI__COUNT(causes); i++) {
        char text[512], expected[512];
        wsgi__death death = { .who = "worker 3",
                              .pid = 4711,
                              .status = causes[i].status,
                              .told = causes[i].told,
                              .limit_ms = causes[i].limit_ms,
                              .out_of_memory = causes[i].out_of_memory };
        wsgi__cause_text(&death, text, sizeof(text));
        snprintf(expected, sizeof(expected), "worker 3 (pid 4711) %s",
                 causes[i].text);
        cr_expect_str_eq(text, expected);
        cr_expect_eq(wsgi__cause_is_expected(&death), causes[i].expected, "%s",
                     text);
    }
}

/* A worker that somebody else has told to drain does as it was told. */
Test(supervisor_plan, draining_by_hand_is_expected)
{
    wsgi__death death = { .status = EXITED(0), .drained = true };
    cr_expect(wsgi__cause_is_expected(&death));
    death.status = EXITED(1);
    cr_expect_not(wsgi__cause_is_expected(&death));
    death.status = SIGNALLED(SIGSEGV);
    cr_expect_not(wsgi__cause_is_expected(&death));
    death = (wsgi__death){ .status = EXITED(0) };
    cr_expect_not(wsgi__cause_is_expected(&death), "it ended by itself");
}
