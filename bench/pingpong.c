/* Half a round trip between ranks 0 and 1, the rate of small messages, and the bandwidth of windows of large ones.
 * Plain MPI; prints lines of `KIND BYTES VALUE`.
 *
 *   pingpong BYTES_PER_SIZE SIZE... */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 64, LARGE_WINDOW = 8, WARM_UP = 4, LEAST = 8, MOST = 20000 };

/* No measurement is to take much longer: a protocol that waits for a disk is slower by orders of magnitude. */
static const double LONGEST_S = 0.3;

static int rank;
static long budget;

static long times(long bytes) {
    long n = budget / bytes;
    return n < LEAST ? LEAST : n > MOST ? MOST : n;
}

/* How many of what took so long for WARM_UP of them; both ranks agree. */
static long affordable(double warm_up_s, long n) {
    double fit = LONGEST_S / (warm_up_s / WARM_UP);
    long count = fit < (double)n ? (long)fit : n;
    if (count < LEAST) count = LEAST;
    MPI_Bcast(&count, 1, MPI_LONG, 0, MPI_COMM_WORLD);
    return count;
}

static double round_trips(char *buffer, long bytes, long n) {
    double begun = MPI_Wtime();
    for (long i = -WARM_UP; i < n; i++) {
        if (i == 0) {
            n = affordable(MPI_Wtime() - begun, n);
            begun = MPI_Wtime();
        }
        if (rank == 0) {
            MPI_Send(buffer, (int)bytes, MPI_BYTE, 1, 1, MPI_COMM_WORLD);
            MPI_Recv(buffer, (int)bytes, MPI_BYTE, 1, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        } else {
            MPI_Recv(buffer, (int)bytes, MPI_BYTE, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            MPI_Send(buffer, (int)bytes, MPI_BYTE, 0, 1, MPI_COMM_WORLD);
        }
    }
    return (MPI_Wtime() - begun) / (double)n;
}

/* Rank 0 sends windows of messages, rank 1 answers each window with one byte. */
static double windows(char *buffer, long bytes, int window, long n) {
    MPI_Request requests[WINDOW];
    double begun = MPI_Wtime();
    for (long i = -WARM_UP; i < n; i++) {
        if (i == 0) {
            n = affordable(MPI_Wtime() - begun, n);
            begun = MPI_Wtime();
        }
        for (int w = 0; w < window; w++) {
            if (rank == 0)
                MPI_Isend(buffer, (int)bytes, MPI_BYTE, 1, 2, MPI_COMM_WORLD, &requests[w]);
            else
                MPI_Irecv(buffer, (int)bytes, MPI_BYTE, 0, 2, MPI_COMM_WORLD, &requests[w]);
        }
        MPI_Waitall(window, requests, MPI_STATUSES_IGNORE);
        if (rank == 0)
            MPI_Recv(buffer, 1, MPI_BYTE, 1, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        else
            MPI_Send(buffer, 1, MPI_BYTE, 0, 3, MPI_COMM_WORLD);
    }
    return (MPI_Wtime() - begun) / (double)n / window;
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    budget = argc > 1 ? atol(argv[1]) : 1 << 24;
    long largest = 8;
    for (int i = 2; i < argc; i++)
        if (atol(argv[i]) > largest) largest = atol(argv[i]);
    char *buffer = malloc((size_t)largest);
    if (!buffer) MPI_Abort(MPI_COMM_WORLD, 1);
    memset(buffer, 1, (size_t)largest);
    for (int i = 2; i < argc; i++) {
        long bytes = atol(argv[i]);
        double seconds = round_trips(buffer, bytes, times(bytes)) / 2;
        if (rank == 0) printf("latency_us %ld %.4f\n", bytes, seconds * 1e6);
        if (bytes <= 8) {
            seconds = windows(buffer, bytes, WINDOW, times(bytes * WINDOW) / 4 + LEAST);
            if (rank == 0) printf("rate_per_s %ld %.0f\n", bytes, 1 / seconds);
        }
        if (bytes >= 1 << 16) {
            long n = times(bytes * LARGE_WINDOW * 8);
            seconds = windows(buffer, bytes, LARGE_WINDOW, n < LEAST ? n : n / LEAST + 1);
            if (rank == 0) printf("bytes_per_s %ld %.0f\n", bytes, (double)bytes / seconds);
        }
    }
    free(buffer);
    MPI_Finalize();
    return 0;
}
