/* Memory that processes share. */
#include <criterion/criterion.h>

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
