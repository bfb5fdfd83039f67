/* One rank leaves by exit() without MPI_Finalize while the others wait for it.
 *
 *   exit_without_finalize [rank] [code] */
#include "common.h"

int main(int argc, char **argv) {
    start(&argc, &argv);
    long who = argument(argc, argv, 1, 1), code = argument(argc, argv, 2, 17), never;
    say("alive");
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == who) exit((int)code);
    MPI_Recv(&never, 1, MPI_LONG, (int)who, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Finalize();
    return 0;
}
