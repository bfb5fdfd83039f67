/* A token goes round a ring and every rank adds to it. Even rounds use Send and
 * Recv, odd rounds Isend, Irecv and Sendrecv. One legal result.
 *
 *   ring [rounds] */
#include "common.h"

enum { TOKEN = 1, SHIFT = 2 };

static uint64_t contribution(int of, long round) { return mix((uint64_t)of + 1, (uint64_t)round); }

/* What the token is worth when it comes home after one round. */
static uint64_t expected_after(uint64_t token, long round) {
    for (int r = 0; r < size; r++) token = mix(token, contribution(r, round));
    return token;
}

static uint64_t pass_blocking(uint64_t token, long round) {
    int next = (rank + 1) % size, previous = (rank + size - 1) % size;
    if (rank == 0) {
        token = mix(token, contribution(0, round));
        MPI_Send(&token, 1, MPI_UINT64_T, next, TOKEN, MPI_COMM_WORLD);
        MPI_Recv(&token, 1, MPI_UINT64_T, previous, TOKEN, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else {
        MPI_Recv(&token, 1, MPI_UINT64_T, previous, TOKEN, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        token = mix(token, contribution(rank, round));
        MPI_Send(&token, 1, MPI_UINT64_T, next, TOKEN, MPI_COMM_WORLD);
    }
    return token;
}

static uint64_t pass_nonblocking(uint64_t token, long round) {
    int next = (rank + 1) % size, previous = (rank + size - 1) % size;
    uint64_t incoming = 0;
    MPI_Request receive, send;
    MPI_Irecv(&incoming, 1, MPI_UINT64_T, previous, TOKEN, MPI_COMM_WORLD, &receive);
    if (rank != 0) {
        MPI_Wait(&receive, MPI_STATUS_IGNORE);
        token = incoming;
    }
    token = mix(token, contribution(rank, round));
    MPI_Isend(&token, 1, MPI_UINT64_T, next, TOKEN, MPI_COMM_WORLD, &send);
    MPI_Wait(&send, MPI_STATUS_IGNORE);
    if (rank == 0) {
        MPI_Wait(&receive, MPI_STATUS_IGNORE);
        token = incoming;
    }
    return token;
}

/* Every rank hands its neighbour a value at the same time. */
static void shift(long round) {
    int next = (rank + 1) % size, previous = (rank + size - 1) % size;
    uint64_t out = contribution(rank, ~round), in = 0;
    MPI_Status status;
    MPI_Sendrecv(&out, 1, MPI_UINT64_T, next, SHIFT, &in, 1, MPI_UINT64_T, previous, SHIFT,
                 MPI_COMM_WORLD, &status);
    REQUIRE(in == contribution(previous, ~round), "round %ld", round);
    REQUIRE(status.MPI_SOURCE == previous && status.MPI_TAG == SHIFT, "round %ld", round);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 100);

    uint64_t token = 0, seen = 0;
    for (long round = 0; round < rounds; round++) {
        uint64_t before = token;
        int blocking = round % 2 == 0 && size > 1; /* a blocking send to oneself may wait forever */
        token = blocking ? pass_blocking(token, round) : pass_nonblocking(token, round);
        if (rank == 0) REQUIRE(token == expected_after(before, round), "round %ld", round);
        seen = mix(seen, token);
        shift(round);
    }
    say("result ring rounds=%ld seen=%016" PRIx64, rounds, seen);
    MPI_Finalize();
    return 0;
}
