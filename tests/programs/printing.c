/* All ranks print much: short lines, long ones, a burst in one write, and one
 * line in two writes; between them values go round so that a rank which has
 * printed is known to have printed. One legal result, line by line.
 *
 *   printing [rounds] */
#include "common.h"

static void print_long_line(long round) {
    char text[701];
    for (int i = 0; i < 700; i++) text[i] = (char)('a' + (i * 7 + round + rank) % 26);
    text[700] = '\0';
    say("result printing round=%ld text=%s", round, text);
}

static void print_burst(long round) {
    for (int line = 0; line < 20; line++)
        printf("%d: result printing round=%ld burst=%d\n", rank, round, line);
    fflush(stdout);
}

/* The ranks take turns here, so that no other line comes between the halves. */
static void print_in_halves(long round) {
    for (int turn = 0; turn < size; turn++) {
        MPI_Barrier(MPI_COMM_WORLD);
        if (turn != rank) continue;
        printf("%d: result printing round=%ld first", rank, round);
        fflush(stdout);
        printf("-second\n");
        fflush(stdout);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 40);
    uint64_t value = (uint64_t)rank + 1;
    for (long round = 0; round < rounds; round++) {
        say("result printing round=%ld value=%016" PRIx64, round, value);
        uint64_t sum = 0;
        MPI_Allreduce(&value, &sum, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
        value = mix(value, sum);
        if (round % 4 == 1) print_long_line(round);
        if (round % 4 == 2) print_burst(round);
        if (round % 16 == 3) print_in_halves(round);
    }
    MPI_Finalize();
    return 0;
}
