#include "server/supervisor_plan.h"

#define FIRST_BACKOFF_MS 100u
#define LONGEST_BACKOFF_MS 5000u

/* Workers of one generation. */
typedef struct census {
    unsigned starting, ready; /* not counting ... */
    unsigned leaving;         /* ... those ready that ask to be replaced */
} census;

static census
take_census(const wsgi__plan *plan, unsigned generation)
{
    census n = { 0 };

    for (size_t i = 0; i < plan->n_places; i++) {
        const wsgi__place *place = &plan->places[i];
        if (place->generation != generation)
            continue;
        if (place->state == WSGI__PLACE_STARTING)
            n.starting++;
        else if (place->state == WSGI__PLACE_READY && place->replace)
            n.leaving++;
        else if (place->state == WSGI__PLACE_READY)
            n.ready++;
    }
    return n;
}

static bool
is_at_work(const wsgi__place *place)
{
    return place->state == WSGI__PLACE_STARTING ||
           place->state == WSGI__PLACE_READY;
}

/* ---- Deadlines ---------------------------------------------------------- */

/* When the worker is late, and what is done then; UINT64_MAX: never. */
static uint64_t
deadline_of(const wsgi__plan *plan, const wsgi__place *place, wsgi__act *act)
{
    uint64_t silent = plan->silence_ms && place->sign_ms
                          ? place->sign_ms + plan->silence_ms
                          : UINT64_MAX;
    uint64_t drained =
        plan->drain_ms ? place->since_ms + plan->drain_ms : UINT64_MAX;

    *act = WSGI__ACT_ABORT;
    switch (place->state) {
    case WSGI__PLACE_FREE:
    case WSGI__PLACE_STARTING:
    case WSGI__PLACE_KILLED:
        break;
    case WSGI__PLACE_READY:
        return silent;
    case WSGI__PLACE_DRAINING:
        if (silent < drained)
            return silent;
        *act = WSGI__ACT_KILL;
        return drained;
    case WSGI__PLACE_ENDING:
        *act = WSGI__ACT_KILL;
        return place->since_ms + WSGI__END_MS;
    }
    return UINT64_MAX;
}

static wsgi__step
next_late(const wsgi__plan *plan)
{
    for (size_t i = 0; i < plan->n_places; i++) {
        wsgi__act act;
        if (deadline_of(plan, &plan->places[i], &act) <= plan->now_ms)
            return (wsgi__step){ .act = act, .place = i };
    }
    return (wsgi__step){ .act = WSGI__ACT_NOTHING };
}

/* ---- Stopping ----------------------------------------------------------- */

/* What is done to a worker in that state, when all are to go. */
static wsgi__act
farewell(wsgi__plan_phase phase, wsgi__place_state state)
{
    switch (state) {
    case WSGI__PLACE_FREE:
    case WSGI__PLACE_KILLED:
        return WSGI__ACT_NOTHING;
    case WSGI__PLACE_STARTING:
        return phase == WSGI__PLAN_KILL ? WSGI__ACT_KILL : WSGI__ACT_END;
    case WSGI__PLACE_READY:
        if (phase == WSGI__PLAN_STOP || phase == WSGI__PLAN_PAUSE)
            return WSGI__ACT_DRAIN;
        return phase == WSGI__PLAN_KILL ? WSGI__ACT_KILL : WSGI__ACT_END;
    case WSGI__PLACE_DRAINING:
        if (phase == WSGI__PLAN_STOP_NOW)
            return WSGI__ACT_END;
        return phase == WSGI__PLAN_KILL ? WSGI__ACT_KILL : WSGI__ACT_NOTHING;
    case WSGI__PLACE_ENDING:
        return phase == WSGI__PLAN_KILL ? WSGI__ACT_KILL : WSGI__ACT_NOTHING;
    }
    return WSGI__ACT_NOTHING;
}

/* One that the kernel cannot kill is not waited for. */
static bool
is_dying(const wsgi__plan *plan, const wsgi__place *place)
{
    bool lately = plan->now_ms - place->since_ms < WSGI__END_MS;

    return place->state == WSGI__PLACE_STARTING ||
           place->state == WSGI__PLACE_ENDING ||
           (place->state == WSGI__PLACE_KILLED && lately);
}

/* Those that accept go last: a socket that only a dying worker still has takes
 * connections that nobody will ever answer. */
static wsgi__step
next_farewell(const wsgi__plan *plan)
{
    bool any_dying = false;

    for (size_t i = 0; i < plan->n_places; i++)
        any_dying |= is_dying(plan, &plan->places[i]);
    for (size_t i = 0; i < plan->n_places; i++) {
        wsgi__act act = farewell(plan->phase, plan->places[i].state);
        if (act == WSGI__ACT_DRAIN && any_dying)
            continue;
        if (act != WSGI__ACT_NOTHING)
            return (wsgi__step){ .act = act, .place = i };
    }
    return (wsgi__step){ .act = WSGI__ACT_NOTHING };
}

/* ---- Running ------------------------------------------------------------ */

static bool
is_outdated(const wsgi__plan *plan, const wsgi__place *place)
{
    return place->generation != plan->generation &&
           place->generation != plan->serving;
}

/* Of equals the youngest place: those with low numbers stay. */
static wsgi__step
next_leaver(const wsgi__plan *plan, census n)
{
    bool has_successor = n.ready + n.leaving > plan->wanted;
    bool too_many = n.starting + n.ready > plan->wanted;

    for (size_t i = plan->n_places; i-- > 0;) {
        const wsgi__place *place = &plan->places[i];
        if (!is_at_work(place))
            continue;
        bool leaves = is_outdated(plan, place);
        if (place->generation == plan->generation)
            leaves = place->replace ? has_successor : too_many;
        if (leaves)
            return (wsgi__step){ .act = WSGI__ACT_DRAIN, .place = i };
    }
    return (wsgi__step){ .act = WSGI__ACT_NOTHING };
}

/* A reload that has proved nothing yet may never do so: until then those in
 * charge that have died are replaced, one after the other. */
static bool
wants_fork_in_charge(const wsgi__plan *plan)
{
    census n = take_census(plan, plan->serving);

    return plan->serving && plan->serving != plan->generation &&
           n.starting == 0 && n.ready + n.leaving < plan->wanted;
}

/* The generation that lacks a worker; 0: none does.  One that cannot start says
 * so once, not once per worker: until one was ready, the others wait for it. */
static unsigned
wants_fork(const wsgi__plan *plan)
{
    census n = take_census(plan, plan->generation);

    if (!plan->proved && n.starting > 0)
        return wants_fork_in_charge(plan) ? plan->serving : 0;
    return n.starting + n.ready < plan->wanted ? plan->generation : 0;
}

static wsgi__step
next_fork(const wsgi__plan *plan)
{
    unsigned generation = wants_fork(plan);

    if (!generation || plan->now_ms < plan->spawn_at_ms)
        return (wsgi__step){ .act = WSGI__ACT_NOTHING };
    for (size_t i = 0; i < plan->n_places; i++)
        if (plan->places[i].state == WSGI__PLACE_FREE)
            return (wsgi__step){ WSGI__ACT_SPAWN, i, generation };
    return (wsgi__step){ .act = WSGI__ACT_NOTHING };
}

wsgi__step
wsgi__plan_next(const wsgi__plan *plan)
{
    wsgi__step step = next_late(plan);

    if (step.act != WSGI__ACT_NOTHING)
        return step;
    if (plan->phase != WSGI__PLAN_RUN)
        return next_farewell(plan);
    step = next_leaver(plan, take_census(plan, plan->generation));
    return step.act != WSGI__ACT_NOTHING ? step : next_fork(plan);
}

bool
wsgi__plan_complete(const wsgi__plan *plan)
{
    census n = take_census(plan, plan->generation);

    return n.ready + n.leaving >= plan->wanted;
}

bool
wsgi__plan_overdue(const wsgi__plan *plan)
{
    census old = take_census(plan, plan->serving);

    if (plan->phase != WSGI__PLAN_RUN || plan->proved || !plan->start_ms ||
        plan->serving == plan->generation || old.ready + old.leaving == 0)
        return false;
    for (size_t i = 0; i < plan->n_places; i++) {
        const wsgi__place *place = &plan->places[i];
        if (place->state == WSGI__PLACE_STARTING &&
            place->generation == plan->generation &&
            place->since_ms + plan->start_ms <= plan->now_ms)
            return true;
    }
    return false;
}

unsigned
wsgi__plan_wait(const wsgi__plan *plan, unsigned most)
{
    uint64_t next = plan->now_ms + most;

    /* A fork that is due and was not made waits for a free place. */
    if (plan->phase == WSGI__PLAN_RUN && plan->spawn_at_ms > plan->now_ms &&
        plan->spawn_at_ms < next && wants_fork(plan))
        next = plan->spawn_at_ms;
    for (size_t i = 0; i < plan->n_places; i++) {
        wsgi__act act;
        uint64_t deadline = deadline_of(plan, &plan->places[i], &act);
        if (deadline < next)
            next = deadline;
    }
    return next > plan->now_ms ? (unsigned)(next - plan->now_ms) : 0;
}

unsigned
wsgi__plan_backoff(unsigned n)
{
    unsigned ms = FIRST_BACKOFF_MS;

    if (n <= 1)
        return 0;
    for (unsigned i = 2; i < n && ms < LONGEST_BACKOFF_MS; i++)
        ms *= 2;
    return ms < LONGEST_BACKOFF_MS ? ms : LONGEST_BACKOFF_MS;
}
