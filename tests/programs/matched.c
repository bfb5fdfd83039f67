/* Matched probes of any source, receives that are cancelled, requests of the program's own and
 * tests that leave requests as they are: what they answered decides what is sent next.
 *
 *   matched [rounds] */
#include "common.h"

enum { ACK = 2, LATE = 3, NOTES = 10, MOST = 64 };

static uint64_t state, matches, *next_seq;

static int query(void *extra, MPI_Status *status) {
    MPI_Status_set_elements(status, MPI_BYTE, *(int *)extra);
    MPI_Status_set_cancelled(status, 0);
    status->MPI_SOURCE = MPI_UNDEFINED;
    status->MPI_TAG = MPI_UNDEFINED;
    return MPI_SUCCESS;
}

static int forget(void *extra) {
    *(int *)extra = -1;
    return MPI_SUCCESS;
}

static int give_up(void *extra, int complete) {
    (void)extra, (void)complete;
    return MPI_SUCCESS;
}

static void own_request(long round) {
    int bytes = (int)round + 1, expected = bytes, count, flag;
    MPI_Request request;
    MPI_Status status;
    MPI_Grequest_start(query, forget, give_up, &bytes, &request);
    MPI_Test(&request, &flag, &status);
    REQUIRE(!flag, "a request of our own is over before we say so");
    MPI_Grequest_complete(request);
    MPI_Wait(&request, &status);
    MPI_Get_count(&status, MPI_BYTE, &count);
    REQUIRE(count == expected && bytes == -1, "%d bytes", count);
}

/* Takes one message from anybody, by probing in turn with and without waiting. */
static void take(long n, int tag) {
    MPI_Message message;
    MPI_Status status;
    struct note note;
    uint64_t fails = 0;
    if (n % 2 == 0) {
        MPI_Mprobe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &message, &status);
    } else {
        int flag = 0;
        while (!flag) {
            MPI_Improbe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &flag, &message, &status);
            fails += !flag;
        }
    }
    MPI_Request request;
    if (n % 3 == 0) {
        MPI_Mrecv(&note, NOTE_WORDS, MPI_UINT64_T, &message, MPI_STATUS_IGNORE);
    } else {
        int flag = 0;
        MPI_Imrecv(&note, NOTE_WORDS, MPI_UINT64_T, &message, &request);
        while (!flag) {
            MPI_Request_get_status(request, &flag, MPI_STATUS_IGNORE);
            fails += !flag;
        }
        MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
    state = record_match(state, matches, status.MPI_SOURCE, tag, &note);
    /* How often it failed shows in what is sent on, by the number of words. */
    uint64_t ack[2] = {matches++, fails};
    MPI_Send(ack, 1 + (int)(fails % 2), MPI_UINT64_T, status.MPI_SOURCE, ACK, MPI_COMM_WORLD);
}

/* A receive that may or may not have its message when it is cancelled. Returns whether it had. */
static int perhaps(int from, uint64_t *late) {
    MPI_Request request;
    MPI_Status status;
    int cancelled;
    MPI_Irecv(late, 1, MPI_UINT64_T, from, LATE, MPI_COMM_WORLD, &request);
    pause_us(rank % 2 * 300);
    MPI_Cancel(&request);
    MPI_Wait(&request, &status);
    MPI_Test_cancelled(&status, &cancelled);
    return !cancelled;
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 10);
    REQUIRE(size >= 2 && size <= MOST, "%d ranks", size);
    state = initial_state();
    next_seq = allocate((size_t)size * sizeof *next_seq);
    for (long round = 0; round < rounds; round++) {
        int above = (rank + 1) % size, below = (rank + size - 1) % size;
        struct note sent[MOST];
        /* A note of the next round is not to be taken in this one. */
        int tag = NOTES + (int)round;
        for (int peer = 0; peer < size; peer++) {
            if (peer == rank) continue;
            sent[peer] = (struct note){next_seq[peer]++, state};
            MPI_Send(&sent[peer], NOTE_WORDS, MPI_UINT64_T, peer, tag, MPI_COMM_WORLD);
        }
        own_request(round);

        /* The same message twice: one receive may be cancelled before it comes, the other gets it then. */
        uint64_t late = 0, out = state;
        MPI_Request send;
        pause_us((rank * 3 + round) % 4 * 100);
        MPI_Isend(&out, 1, MPI_UINT64_T, above, LATE, MPI_COMM_WORLD, &send);
        say("gave to=%d seq=%ld value=%016" PRIx64, above, round, out);
        int had = perhaps(below, &late);
        if (!had) MPI_Recv(&late, 1, MPI_UINT64_T, below, LATE, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Wait(&send, MPI_STATUS_IGNORE);
        say("got from=%d seq=%ld value=%016" PRIx64, below, round, late);

        for (int n = 0; n < size - 1; n++) take(n + had, tag);
        for (int peer = 0; peer < size; peer++) {
            if (peer == rank) continue;
            uint64_t ack[2];
            MPI_Recv(ack, 2, MPI_UINT64_T, peer, ACK, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            record_told(peer, tag, &sent[peer], ack[0]);
        }
    }
    say("result matched rounds=%ld", rounds);
    MPI_Finalize();
    return 0;
}
