/* Counts the primes below a limit, shared out among the ranks: rank 0 gives a
 * block of numbers to each of the others, and the next block to whoever answers
 * first. An ordinary MPI program: nothing in it knows that ranks can die.
 *
 *   primes [millions]
 *
 * The order of the answers is different in every run, and the lines that rank 0
 * prints tell of it. So a rank 0 that dies and is executed again must take the
 * answers in the order in which it took them before, or it would contradict what
 * it has printed already. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCKS = 200, LINES = 10, WORK = 1, ANSWER = 2 };

static int is_prime(long number) {
    if (number < 2 || number % 2 == 0) return number == 2;
    for (long divisor = 3; divisor * divisor <= number; divisor += 2) {
        if (number % divisor == 0) return 0;
    }
    return 1;
}

static void give(int block, int worker) {
    MPI_Send(&block, 1, MPI_INT, worker, WORK, MPI_COMM_WORLD);
}

static void share_out(int workers, long limit) {
    int next = 0;
    for (int worker = 1; worker <= workers; worker++) give(next < BLOCKS ? next++ : -1, worker);

    long primes = 0;
    for (int answers = 1; answers <= BLOCKS; answers++) {
        long found;
        MPI_Status status;
        MPI_Recv(&found, 1, MPI_LONG, MPI_ANY_SOURCE, ANSWER, MPI_COMM_WORLD, &status);
        primes += found;
        give(next < BLOCKS ? next++ : -1, status.MPI_SOURCE);
        if (answers % (BLOCKS / LINES) == 0) {
            printf("%3d %%   %8ld primes so far, the last answer came from rank %d\n", answers * 100 / BLOCKS,
                   primes, status.MPI_SOURCE);
            fflush(stdout);
        }
    }
    printf("There are %ld primes below %ld.\n", primes, limit);
}

static void work(long limit) {
    long size = limit / BLOCKS;
    for (;;) {
        int block;
        MPI_Recv(&block, 1, MPI_INT, 0, WORK, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (block < 0) return;
        long found = 0;
        for (long number = block * size; number < (block + 1) * size; number++) found += is_prime(number);
        MPI_Send(&found, 1, MPI_LONG, 0, ANSWER, MPI_COMM_WORLD);
    }
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    long limit = (argc > 1 ? atol(argv[1]) : 4) * 1000000;
    if (size < 2 || size > BLOCKS || limit <= 0) {
        if (rank == 0) fprintf(stderr, "usage: primes [millions], with 2 to %d ranks\n", BLOCKS);
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    if (rank == 0) {
        share_out(size - 1, limit);
    } else {
        work(limit);
    }
    MPI_Finalize();
    return 0;
}
