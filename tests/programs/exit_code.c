/* All ranks finalize; one then returns a code other than zero.
 *
 *   exit_code [rank] [code] */
#include "common.h"

int main(int argc, char **argv) {
    start(&argc, &argv);
    long who = argument(argc, argv, 1, 1), code = argument(argc, argv, 2, 23);
    MPI_Barrier(MPI_COMM_WORLD);
    say("result exit_code");
    MPI_Finalize();
    return rank == who ? (int)code : 0;
}
