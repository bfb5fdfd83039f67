/* One rank calls MPI_Abort while the others wait for a message that never comes.
 *
 *   abort [rank] [code] */
#include "common.h"

int main(int argc, char **argv) {
    start(&argc, &argv);
    long who = argument(argc, argv, 1, 1), code = argument(argc, argv, 2, 42), never;
    say("alive");
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == who) MPI_Abort(MPI_COMM_WORLD, (int)code);
    MPI_Recv(&never, 1, MPI_LONG, (int)who, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Finalize();
    return 0;
}
