#include "server/scoreboard.h"

#include <string.h>
#include <sys/mman.h>

wsgi__board *
wsgi__board_new(void)
{
    void *memory = mmap(NULL, sizeof(wsgi__board), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

void
wsgi__board_free(wsgi__board *board)
{
    if (board)
        munmap(board, sizeof(*board));
}

void
wsgi__board_use(wsgi__board *board, size_t place)
{
    if (atomic_load(&board->n_used) <= place)
        atomic_store(&board->n_used, place + 1);
}

static bool
is_free(const wsgi__score *score)
{
    return atomic_load(&score->state) == WSGI__WORKER_READY &&
           wsgi__count_get(&score->busy) < wsgi__count_get(&score->threads);
}

bool
wsgi__board_has_free(const wsgi__board *board, const wsgi__score *own)
{
    size_t n = atomic_load(&board->n_used);

    for (size_t i = 0; i < n; i++)
        if (&board->place[i] != own && is_free(&board->place[i]))
            return true;
    return false;
}

static void
add(wsgi__count *sum, const wsgi__count *count)
{
    wsgi__count_add(sum, wsgi__count_get(count));
}

static void
add_histogram(wsgi__histogram *sum, const wsgi__histogram *histogram)
{
    for (size_t i = 0; i < WSGI__SCORE_BUCKETS; i++)
        add(&sum->buckets[i], &histogram->buckets[i]);
    add(&sum->sum_us, &histogram->sum_us);
}

void
wsgi__score_add(wsgi__score *sum, const wsgi__score *score)
{
    size_t n_codes = sizeof(sum->responses) / sizeof(*sum->responses);

    for (size_t i = 0; i < n_codes; i++)
        add(&sum->responses[i], &score->responses[i]);
    add(&sum->accepted, &score->accepted);
    add(&sum->bytes_in, &score->bytes_in);
    add(&sum->bytes_out, &score->bytes_out);
    add(&sum->timeouts, &score->timeouts);
    add(&sum->shed, &score->shed);
    add(&sum->takeovers, &score->takeovers);
    add_histogram(&sum->latency, &score->latency);
    add_histogram(&sum->queue, &score->queue);
}

void
wsgi__board_clear(wsgi__board *board, size_t place)
{
    wsgi__score_add(&board->ended, &board->place[place]);
    memset(&board->place[place], 0, sizeof(board->place[place]));
}
