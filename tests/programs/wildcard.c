/* Wildcard receives whose matches decide what is sent next.
 *
 * Storm: all ranks send to all others; several Irecv(ANY_SOURCE, ANY_TAG) are
 * pending at once; each match is acknowledged with its number on another
 * communicator. Two communicators take turns, so that a message of the next
 * round cannot be matched in this one.
 *
 * Shadow: rank 0 posts Irecv(ANY_SOURCE) and then Irecv(last rank) with the same
 * tag, waits for the second only and sends its value on. What the wildcard
 * matched, though nobody has looked, already decided that value.
 *
 *   wildcard [rounds] [messages per pair and round] */
#include "common.h"

enum { PENDING = 4, TAGS = 3, SHADOW = 11, GO = 12, SENT_ON = 13, MOST_RANKS = 64 };

static uint64_t state, matches, *next_seq;
static MPI_Comm acks;

struct outgoing {
    struct note note;
    int to, tag;
};

/* Sends to everybody in an order of its own, and remembers what it sent. */
static int next_send(struct outgoing *sent, MPI_Request *requests, int already, MPI_Comm comm) {
    struct outgoing *out = &sent[already];
    out->to = (rank + 1 + already % (size - 1)) % size;
    out->note = (struct note){next_seq[out->to]++, state};
    out->tag = (int)(out->note.seq % TAGS);
    MPI_Isend(&out->note, NOTE_WORDS, MPI_UINT64_T, out->to, out->tag, comm, &requests[already]);
    return already + 1;
}

static void storm(MPI_Comm comm, int per_pair) {
    int total = per_pair * (size - 1), sent = 0, posted = 0;
    struct outgoing *out = allocate((size_t)total * sizeof *out);
    MPI_Request *sends = allocate((size_t)total * sizeof *sends);
    MPI_Request *ack_sends = allocate((size_t)total * sizeof *ack_sends);
    uint64_t *ack_values = allocate((size_t)total * sizeof *ack_values);
    struct note in[PENDING];
    MPI_Request receives[PENDING];

    for (; posted < PENDING && posted < total; posted++)
        MPI_Irecv(&in[posted], NOTE_WORDS, MPI_UINT64_T, MPI_ANY_SOURCE, MPI_ANY_TAG, comm,
                  &receives[posted]);
    while (sent < size - 1) sent = next_send(out, sends, sent, comm);

    for (int done = 0; done < total; done++) {
        int slot = done % PENDING;
        MPI_Status status;
        MPI_Wait(&receives[slot], &status);
        state = record_match(state, matches, status.MPI_SOURCE, status.MPI_TAG, &in[slot]);
        ack_values[done] = matches++;
        MPI_Isend(&ack_values[done], 1, MPI_UINT64_T, status.MPI_SOURCE, 0, acks, &ack_sends[done]);
        if (posted < total) {
            MPI_Irecv(&in[slot], NOTE_WORDS, MPI_UINT64_T, MPI_ANY_SOURCE, MPI_ANY_TAG, comm,
                      &receives[slot]);
            posted++;
        }
        if (sent < total) sent = next_send(out, sends, sent, comm);
    }

    for (int i = 0; i < total; i++) {
        uint64_t n;
        MPI_Recv(&n, 1, MPI_UINT64_T, out[i].to, 0, acks, MPI_STATUS_IGNORE);
        record_told(out[i].to, out[i].tag, &out[i].note, n);
    }
    MPI_Waitall(total, sends, MPI_STATUSES_IGNORE);
    MPI_Waitall(total, ack_sends, MPI_STATUSES_IGNORE);
    free(out), free(sends), free(ack_sends), free(ack_values);
}

static void acknowledge(uint64_t n, int to) {
    MPI_Send(&n, 1, MPI_UINT64_T, to, SHADOW, acks);
}

/* Rank 0's side: three matches; the second is waited for first. */
static void shadow_receiver(long round) {
    int last = size - 1;
    struct note any, named, rest;
    MPI_Request wildcard, named_request;
    MPI_Status status;

    MPI_Irecv(&any, NOTE_WORDS, MPI_UINT64_T, MPI_ANY_SOURCE, SHADOW, MPI_COMM_WORLD, &wildcard);
    MPI_Irecv(&named, NOTE_WORDS, MPI_UINT64_T, last, SHADOW, MPI_COMM_WORLD, &named_request);
    MPI_Send(NULL, 0, MPI_BYTE, 1, GO, MPI_COMM_WORLD);
    MPI_Send(NULL, 0, MPI_BYTE, last, GO, MPI_COMM_WORLD);
    uint64_t first = matches;
    matches += 3;

    MPI_Wait(&named_request, &status);
    state = record_match(state, first + 1, last, SHADOW, &named);
    for (int peer = 1; peer < size; peer++) {
        MPI_Send(&state, 1, MPI_UINT64_T, peer, SENT_ON, MPI_COMM_WORLD);
        say("gave to=%d seq=%ld value=%016" PRIx64, peer, round, state);
    }
    acknowledge(first + 1, last);

    MPI_Wait(&wildcard, &status);
    state = record_match(state, first, status.MPI_SOURCE, SHADOW, &any);
    acknowledge(first, status.MPI_SOURCE);
    MPI_Recv(&rest, NOTE_WORDS, MPI_UINT64_T, MPI_ANY_SOURCE, SHADOW, MPI_COMM_WORLD, &status);
    state = record_match(state, first + 2, status.MPI_SOURCE, SHADOW, &rest);
    acknowledge(first + 2, status.MPI_SOURCE);
}

/* The last rank sends two messages, rank 1 one; by turns either is late. */
static void shadow_sender(long round) {
    int count = rank == size - 1 ? 2 : 1;
    struct note sent[2];
    if (rank == 1 || rank == size - 1) {
        MPI_Recv(NULL, 0, MPI_BYTE, 0, GO, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if ((rank == 1) == (round % 2 == 0)) pause_us(500);
        for (int i = 0; i < count; i++) {
            sent[i] = (struct note){next_seq[0]++, state};
            MPI_Send(&sent[i], NOTE_WORDS, MPI_UINT64_T, 0, SHADOW, MPI_COMM_WORLD);
        }
    }
    uint64_t value;
    MPI_Recv(&value, 1, MPI_UINT64_T, 0, SENT_ON, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    say("got from=0 seq=%ld value=%016" PRIx64, round, value);
    if (rank != 1 && rank != size - 1) return;

    /* Acknowledgements come as rank 0 looked, not as it matched: the named
     * receive first, so a match number tells which message is meant. */
    uint64_t numbers[2];
    for (int i = 0; i < count; i++)
        MPI_Recv(&numbers[i], 1, MPI_UINT64_T, 0, SHADOW, acks, MPI_STATUS_IGNORE);
    if (count == 2 && numbers[0] > numbers[1]) {
        uint64_t swap = numbers[0];
        numbers[0] = numbers[1];
        numbers[1] = swap;
    }
    for (int i = 0; i < count; i++) record_told(0, SHADOW, &sent[i], numbers[i]);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 8);
    int per_pair = (int)argument(argc, argv, 2, 5);
    REQUIRE(size >= 3 && size <= MOST_RANKS, "%d ranks", size);

    MPI_Comm storms[2];
    MPI_Comm_dup(MPI_COMM_WORLD, &acks);
    MPI_Comm_dup(MPI_COMM_WORLD, &storms[0]);
    MPI_Comm_dup(MPI_COMM_WORLD, &storms[1]);
    next_seq = allocate((size_t)size * sizeof *next_seq);
    state = initial_state();

    for (long round = 0; round < rounds; round++) {
        storm(storms[round % 2], per_pair);
        if (rank == 0)
            shadow_receiver(round);
        else
            shadow_sender(round);
    }
    say("result wildcard rounds=%ld", rounds);

    free(next_seq);
    MPI_Comm_free(&storms[1]);
    MPI_Comm_free(&storms[0]);
    MPI_Comm_free(&acks);
    MPI_Finalize();
    return 0;
}
