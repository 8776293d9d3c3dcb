/*
 * The loop and its owner: a model for spin of lib/server/baton.h, and of how
 * lib/server/crew.c watches, parks and wakes.
 *
 *     spin -a baton.pml && cc -O2 -o pan pan.c && ./pan -a -f -N taken && ./pan -N safe
 *
 * tests/check_model.sh does that.  Three threads; one of them has the loop and
 * makes calls.  A call may end or last for ever.  Another thread watches; it
 * may take the loop from a call that it has seen twice, and parks when there is
 * nothing to see.
 *
 *   safe    never do two threads have the loop
 *   taken   a call that lasts for ever loses the loop, so that others go on
 *           (as long as a thread is left), also when the watcher was asleep as it
 *           began
 */
#define N 3
#define CALLS 3 /* of each thread: bounds the numbers */

/* The word: what wsgi__baton packs into 64 bits. */
byte owner = 0;
byte call = 0;
bool app = false;

byte have_loop = 1; /* threads that act as owner: outside of a call */
bool parked = false, watched = false;
bool stuck = false; /* a call lasts for ever, and still has the loop */
byte calls_made[N];
byte lost = 0; /* threads in calls that last for ever */

/* owner, call and app are one word: changed in one step. */
inline enter(me)
{
    atomic {
        assert(owner == me && !app);
        call++;
        app = true;
        mine = call;
        have_loop--;
    }
}

inline leave(me)
{
    atomic {
        if
        :: app && owner == me && call == mine -> app = false; have_loop++; ok = true
        :: else -> ok = false
        fi
    }
}

inline take(me)
{
    atomic {
        if
        :: app && seen_app && owner == seen_owner && call == seen_call ->
            owner = me; app = false; have_loop++; stuck = false; ok = true
        :: else -> ok = false
        fi
    }
}

inline look()
{
    atomic { seen_owner = owner; seen_call = call; seen_app = app }
}

proctype thread(byte me)
{
    byte mine, seen_owner, seen_call;
    bool seen_app, ok;

    if
    :: me == 0 -> goto own
    :: else -> goto idle
    fi;

own: /* the loop is this thread's */
    if
    :: calls_made[me] < CALLS ->
        calls_made[me]++;
        enter(me);
        /* The watcher is roused after the word says that a call is under way. */
        if
        :: parked -> parked = false
        :: else
        fi;
        if
        :: true -> leave(me) /* it ends, soon or late */
        :: atomic {
            lost < N - 1 ->
            lost++;
            if
            :: app && owner == me && call == mine -> stuck = true
            :: else
            fi
           };
           goto gone
        fi;
        if
        :: ok -> goto own
        :: else -> goto idle
        fi
    :: calls_made[me] == CALLS -> goto through
    fi;

idle: /* one of them watches */
    if
    :: atomic { !watched -> watched = true }; goto watch
    fi;

watch:
    look();
again:
    /* A tick later. */
    if
    :: app && seen_app && owner == seen_owner && call == seen_call ->
        take(me);
        if
        :: ok -> watched = false; goto own
        :: else -> goto watch
        fi
    :: !app && !seen_app && owner == seen_owner && call == seen_call -> goto park
    :: else -> goto watch
    fi;

park:
    parked = true;
    if
    :: !(owner == seen_owner && call == seen_call && app == seen_app) ->
        parked = false; goto watch
    :: else
    fi;
    !parked; /* sleeps until roused */
    goto watch;

through: /* makes no more calls: the loop idles */
end_through:
    false;
gone: /* in a call for ever */
end_gone:
    false
}

init
{
    atomic {
        byte i;
        for (i : 0 .. N - 1) { run thread(i) }
    }
}

ltl safe { [] (have_loop <= 1) }
ltl taken { [] (stuck -> <> !stuck) }
