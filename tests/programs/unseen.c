/* Sends on what it reads from /dev/urandom: a choice that no library can see. A
 * rank that runs anew therefore sends other values than before.
 *
 *   unseen [rounds] */
#include "common.h"

static uint64_t read_unseen(void) {
    uint64_t value = 0;
    FILE *source = fopen("/dev/urandom", "rb");
    REQUIRE(source != NULL, "cannot open /dev/urandom");
    REQUIRE(fread(&value, sizeof value, 1, source) == 1, "cannot read /dev/urandom");
    fclose(source);
    return value;
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 50);
    uint64_t state = initial_state();
    for (long round = 0; round < rounds; round++) {
        int next = (rank + 1) % size, previous = (rank + size - 1) % size;
        uint64_t incoming = 0;
        state = mix(state, read_unseen());
        MPI_Sendrecv(&state, 1, MPI_UINT64_T, next, 1, &incoming, 1, MPI_UINT64_T, previous, 1,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        state = mix(state, incoming);
    }
    say("result unseen rounds=%ld", rounds);
    MPI_Finalize();
    return 0;
}
