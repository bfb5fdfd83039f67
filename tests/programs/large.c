/* Messages from nothing to several MiB, to the next rank and the one after it.
 * Each buffer is overwritten as soon as Wait says so, the receiver is sometimes
 * late, and some receives ask for more than comes. One legal result.
 *
 *   large [rounds] [largest message in KiB] */
#include "common.h"

static const long sizes[] = {0, 1, 7, 4095, 65536, 65537, 300001, 1048576};
enum { SIZES = sizeof sizes / sizeof sizes[0], SLACK = 100 };

static unsigned char byte_at(int source, long round, int which, size_t at) {
    return (unsigned char)(source * 131 + round * 31 + which * 17 + (long)(at * 2654435761u >> 7));
}

static void fill(unsigned char *buffer, size_t bytes, int source, long round, int which) {
    for (size_t at = 0; at < bytes; at++) buffer[at] = byte_at(source, round, which, at);
}

static void check(const unsigned char *buffer, size_t bytes, int source, long round, int which) {
    for (size_t at = 0; at < bytes; at++)
        REQUIRE(buffer[at] == byte_at(source, round, which, at),
                "byte %zu of %zu from %d in round %ld is %d", at, bytes, source, round, buffer[at]);
}

static size_t length_of(int which, size_t largest) {
    return which < SIZES ? (size_t)sizes[which] : largest;
}

static uint64_t exchange(unsigned char *out, unsigned char *in, long round, int which,
                         size_t largest, int distance) {
    int to = (rank + distance) % size, from = (rank + size - distance) % size;
    size_t bytes = length_of(which, largest);
    int late = (rank + which + round) % 3 == 0, tag = 10 * which + distance, got;
    MPI_Request send, receive;
    MPI_Status status;

    fill(out, bytes, rank, round, which);
    if (!late)
        MPI_Irecv(in, (int)largest + SLACK, MPI_BYTE, from, tag, MPI_COMM_WORLD, &receive);
    MPI_Isend(out, (int)bytes, MPI_BYTE, to, tag, MPI_COMM_WORLD, &send);
    if (late) {
        pause_us(300);
        MPI_Irecv(in, (int)largest + SLACK, MPI_BYTE, from, tag, MPI_COMM_WORLD, &receive);
    }
    MPI_Wait(&send, MPI_STATUS_IGNORE);
    memset(out, 0xEE, bytes);
    MPI_Wait(&receive, &status);
    MPI_Get_count(&status, MPI_BYTE, &got);
    REQUIRE((size_t)got == bytes, "%d bytes from %d, not %zu", got, from, bytes);
    check(in, bytes, from, round, which);
    return hash_bytes(in, bytes);
}

/* A synchronous send of the largest message round the ring, even ranks first. */
static void hand_over(unsigned char *out, unsigned char *in, long round, size_t largest) {
    int next = (rank + 1) % size, previous = (rank + size - 1) % size;
    fill(out, largest, rank, round, SIZES + 1);
    if (rank % 2 == 0) MPI_Ssend(out, (int)largest, MPI_BYTE, next, 1, MPI_COMM_WORLD);
    MPI_Recv(in, (int)largest, MPI_BYTE, previous, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (rank % 2 != 0) MPI_Ssend(out, (int)largest, MPI_BYTE, next, 1, MPI_COMM_WORLD);
    check(in, largest, previous, round, SIZES + 1);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 2);
    size_t largest = (size_t)argument(argc, argv, 2, 3000) << 10;
    if (largest < 1048576) largest = 1048576;
    unsigned char *out = allocate(largest), *in = allocate(largest + SLACK);

    uint64_t seen = 0;
    for (long round = 0; round < rounds; round++) {
        for (int which = 0; which <= SIZES; which++)
            for (int distance = 1; distance <= 2 && distance < size; distance++)
                seen = mix(seen, exchange(out, in, round, which, largest, distance));
        if (size % 2 == 0) hand_over(out, in, round, largest);
        say("result large round=%ld seen=%016" PRIx64, round, seen);
    }
    free(out), free(in);
    MPI_Finalize();
    return 0;
}
