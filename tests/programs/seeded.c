/* Draws from clocks and from the system's randomness, again and again; the draws
 * travel by messages from named sources and both ends print them. The messages
 * leave no choice: all that differs between two runs is what was read.
 *
 *   seeded [rounds] */
#include "common.h"
#include <sys/random.h>
#include <sys/time.h>

/* A reading from outside; each round asks another clock. */
static uint64_t read_outside(long round) {
    uint64_t value = 0;
    struct timespec at;
    struct timeval day;
    switch (round % 5) {
    case 0: value = (uint64_t)time(NULL); break;
    case 1: REQUIRE(getrandom(&value, sizeof value, 0) == (ssize_t)sizeof value, "getrandom"); break;
    case 2:
        clock_gettime(CLOCK_REALTIME, &at);
        value = (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
        break;
    case 3:
        gettimeofday(&day, NULL);
        value = (uint64_t)day.tv_sec * 1000000u + (uint64_t)day.tv_usec;
        break;
    default: {
        double now = MPI_Wtime();
        memcpy(&value, &now, sizeof value);
    }
    }
    return value;
}

static void print_clock(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    say("clock now=%" PRId64, (int64_t)at.tv_sec * 1000000000 + at.tv_nsec);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 60);
    char name[MPI_MAX_PROCESSOR_NAME];
    int length;
    MPI_Get_processor_name(name, &length);

    uint64_t state = mix(initial_state(), hash_bytes(name, (size_t)length));
    for (long round = 0; round < rounds; round++) {
        int distance = 1 + (int)(round % (size - 1));
        int to = (rank + distance) % size, from = (rank + size - distance) % size;
        uint64_t incoming = 0;
        state = mix(state, read_outside(round));
        say("gave to=%d seq=%ld value=%016" PRIx64, to, round, state);
        MPI_Sendrecv(&state, 1, MPI_UINT64_T, to, 1, &incoming, 1, MPI_UINT64_T, from, 1,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        say("got from=%d seq=%ld value=%016" PRIx64, from, round, incoming);
        state = mix(state, incoming);
        if (round % 10 == 9) print_clock();
    }
    say("result seeded rounds=%ld", rounds);
    MPI_Finalize();
    return 0;
}
