/* One rank dies of its own fault, always at the same step: recovering it cannot
 * help, however often it is tried.
 *
 *   crash [rank] [step] */
#include "common.h"
#include <signal.h>

int main(int argc, char **argv) {
    start(&argc, &argv);
    long who = argument(argc, argv, 1, 1), at = argument(argc, argv, 2, 10);
    uint64_t value = (uint64_t)rank;
    for (long step = 0; step < 2 * at; step++) {
        uint64_t sum;
        MPI_Allreduce(&value, &sum, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
        value = mix(value, sum);
        if (rank == who && step == at) raise(SIGSEGV);
    }
    MPI_Finalize();
    return 0;
}
