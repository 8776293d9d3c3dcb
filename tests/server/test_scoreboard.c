/* Memory that processes share. */
#include <criterion/criterion.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/scoreboard.h"

/* Counters of a worker that has ended are not lost, its gauges are. */
Test(scoreboard, keeps_what_ended_workers_have_counted)
{
    wsgi__board *board = wsgi__board_new();
    cr_assert_not_null(board);
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            wsgi__score *score = &board->place[3];
            wsgi__count_add(&score->responses[200], 5);
            wsgi__count_add(&score->bytes_out, 100);
            wsgi__count_set(&score->connections, 9);
            wsgi__histogram_add(&score->latency, 1500);
            atomic_store(&score->state, WSGI__WORKER_READY);
            _exit(0);
        }
        waitpid(child, NULL, 0);
        cr_expect_eq(wsgi__count_get(&board->place[3].responses[200]), 5);
        wsgi__board_clear(board, 3);
        cr_expect_eq(wsgi__count_get(&board->place[3].responses[200]), 0);
        cr_expect_eq(atomic_load(&board->place[3].state),
                     WSGI__WORKER_STARTING);
    }
    cr_expect_eq(wsgi__count_get(&board->ended.responses[200]), 10);
    cr_expect_eq(wsgi__count_get(&board->ended.bytes_out), 200);
    cr_expect_eq(wsgi__count_get(&board->ended.connections), 0);
    cr_expect_eq(wsgi__count_get(&board->ended.latency.buckets[1]), 2);
    cr_expect_eq(wsgi__count_get(&board->ended.latency.sum_us), 3000);
    wsgi__board_free(board);
}

static void
set(wsgi__score *score, wsgi__worker_state state, uint64_t busy)
{
    atomic_store(&score->state, state);
    wsgi__count_set(&score->threads, 4);
    wsgi__count_set(&score->busy, busy);
}

Test(scoreboard, a_free_worker_is_another_one_that_is_ready)
{
    wsgi__board *board = wsgi__board_new();
    cr_assert_not_null(board);
    wsgi__score *own = &board->place[0], *other = &board->place[2];

    cr_expect_not(wsgi__board_has_free(board, own));
    wsgi__board_use(board, 0);
    set(own, WSGI__WORKER_READY, 0);
    cr_expect_not(wsgi__board_has_free(board, own), "nobody else is there");
    cr_expect(wsgi__board_has_free(board, other));

    wsgi__board_use(board, 2);
    wsgi__board_use(board, 1); /* the highest one stays */
    set(other, WSGI__WORKER_STARTING, 0);
    cr_expect_not(wsgi__board_has_free(board, own), "starts");
    set(other, WSGI__WORKER_READY, 4);
    cr_expect_not(wsgi__board_has_free(board, own), "all threads are busy");
    set(other, WSGI__WORKER_READY, 3);
    cr_expect(wsgi__board_has_free(board, own));
    wsgi__board_free(board);
}

/* 2 MiB of zeros, where the places of all possible workers are read. */
Test(scoreboard, places_that_nobody_has_take_no_memory)
{
    wsgi__board *board = wsgi__board_new();
    cr_assert_not_null(board);
    wsgi__board_use(board, 0);
    cr_expect_not(wsgi__board_has_free(board, &board->place[0]));

    size_t page = (size_t)sysconf(_SC_PAGESIZE), resident = 0;
    size_t n = (sizeof(*board) + page - 1) / page;
    unsigned char in_memory[sizeof(*board) / 4096 + 1];
    cr_assert_leq(n, sizeof(in_memory));
    cr_assert_eq(mincore(board, sizeof(*board), in_memory), 0);
    for (size_t i = 0; i < n; i++)
        resident += in_memory[i] & 1;
    cr_expect_leq(resident, 2, "%zu pages", resident);
    wsgi__board_free(board);
}
