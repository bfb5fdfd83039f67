/* Every round each rank sends its state to all others and receives theirs by one
 * way of polling. What polling answered (which index, in which order, after how
 * many failures) becomes part of the state, and so of what is sent next.
 *
 *   polling [rounds] */
#include "common.h"

enum kind { WAITANY, WAITSOME, TEST, TESTANY, TESTSOME, TESTALL, IPROBE, MIXED, KINDS };

/* What one round's polling answered. */
struct outcome {
    uint64_t fails; /* how many polls found nothing; of MIXED, which sends were complete when */
    int order[64]; /* sources as their completion was seen */
    int seen;
};

static void note_completion(struct outcome *outcome, int source) {
    outcome->order[outcome->seen++] = source;
}

static void note_indices(struct outcome *outcome, const int *sources, const int *indices, int count) {
    for (int i = 0; i < count; i++) note_completion(outcome, sources[indices[i]]);
}

static void complete_by_waitany(struct outcome *outcome, const int *sources, MPI_Request *requests,
                                int count) {
    for (int done = 0; done < count; done++) {
        int index;
        MPI_Waitany(count, requests, &index, MPI_STATUS_IGNORE);
        note_completion(outcome, sources[index]);
    }
}

static void complete_by_waitsome(struct outcome *outcome, const int *sources, MPI_Request *requests,
                                 int count) {
    int indices[64], some;
    for (int done = 0; done < count; done += some) {
        MPI_Waitsome(count, requests, &some, indices, MPI_STATUSES_IGNORE);
        note_indices(outcome, sources, indices, some);
    }
}

/* Tests the requests one after the other, round and round. */
static void complete_by_test(struct outcome *outcome, const int *sources, MPI_Request *requests,
                             int count) {
    for (int at = 0; outcome->seen < count; at = (at + 1) % count) {
        int flag;
        if (requests[at] == MPI_REQUEST_NULL) continue;
        MPI_Test(&requests[at], &flag, MPI_STATUS_IGNORE);
        if (flag)
            note_completion(outcome, sources[at]);
        else
            outcome->fails++;
    }
}

static void complete_by_testany(struct outcome *outcome, const int *sources, MPI_Request *requests,
                                int count) {
    while (outcome->seen < count) {
        int index, flag;
        MPI_Testany(count, requests, &index, &flag, MPI_STATUS_IGNORE);
        if (flag)
            note_completion(outcome, sources[index]);
        else
            outcome->fails++;
    }
}

static void complete_by_testsome(struct outcome *outcome, const int *sources, MPI_Request *requests,
                                 int count) {
    while (outcome->seen < count) {
        int indices[64], some;
        MPI_Testsome(count, requests, &some, indices, MPI_STATUSES_IGNORE);
        note_indices(outcome, sources, indices, some);
        if (some == 0) outcome->fails++;
    }
}

static void complete_by_testall(struct outcome *outcome, const int *sources, MPI_Request *requests,
                                int count) {
    int flag = 0;
    while (!flag) {
        MPI_Testall(count, requests, &flag, MPI_STATUSES_IGNORE);
        if (!flag) outcome->fails++;
    }
    for (int i = 0; i < count; i++) note_completion(outcome, sources[i]);
}

/* Waits for receives and synchronous sends together. */
static void complete_both_by_waitany(struct outcome *outcome, const int *sources, MPI_Request *requests,
                                     MPI_Request *sends, int count) {
    MPI_Request both[128];
    for (int i = 0; i < count; i++) {
        both[2 * i] = requests[i];
        both[2 * i + 1] = sends[i];
        sends[i] = MPI_REQUEST_NULL;
    }
    for (int done = 0; done < 2 * count; done++) {
        int index;
        MPI_Waitany(2 * count, both, &index, MPI_STATUS_IGNORE);
        if (index % 2 == 0)
            note_completion(outcome, sources[index / 2]);
        else
            outcome->fails = mix(outcome->fails, (uint64_t)(index * 64 + outcome->seen));
    }
}

static void receive_by_iprobe(struct outcome *outcome, uint64_t *values, int count, int tag) {
    while (outcome->seen < count) {
        int flag;
        MPI_Status status;
        MPI_Iprobe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &flag, &status);
        if (!flag) {
            outcome->fails++;
            continue;
        }
        int source = status.MPI_SOURCE;
        MPI_Recv(&values[source], 1, MPI_UINT64_T, source, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        note_completion(outcome, source);
    }
}

static void receive(enum kind kind, struct outcome *outcome, uint64_t *values, MPI_Request *sends,
                    int tag) {
    int sources[64], count = 0;
    MPI_Request requests[64];
    for (int peer = 0; peer < size; peer++)
        if (peer != rank) sources[count++] = peer;
    if (kind == IPROBE) {
        receive_by_iprobe(outcome, values, count, tag);
        return;
    }
    for (int i = 0; i < count; i++)
        MPI_Irecv(&values[sources[i]], 1, MPI_UINT64_T, sources[i], tag, MPI_COMM_WORLD,
                  &requests[i]);
    switch (kind) {
    case WAITANY: complete_by_waitany(outcome, sources, requests, count); break;
    case WAITSOME: complete_by_waitsome(outcome, sources, requests, count); break;
    case TEST: complete_by_test(outcome, sources, requests, count); break;
    case TESTANY: complete_by_testany(outcome, sources, requests, count); break;
    case TESTSOME: complete_by_testsome(outcome, sources, requests, count); break;
    case MIXED: complete_both_by_waitany(outcome, sources, requests, sends, count); break;
    default: complete_by_testall(outcome, sources, requests, count); break;
    }
}

static uint64_t fold(uint64_t state, enum kind kind, const struct outcome *outcome,
                     const uint64_t *values) {
    state = mix(mix(state, (uint64_t)kind), outcome->fails);
    for (int i = 0; i < outcome->seen; i++)
        state = mix(mix(state, (uint64_t)outcome->order[i]), values[outcome->order[i]]);
    return state;
}

int main(int argc, char **argv) {
    static const char *const names[KINDS] = {"waitany", "waitsome", "test",  "testany",
                                             "testsome", "testall", "iprobe", "mixed"};
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 48);
    REQUIRE(size >= 2 && size <= 64, "%d ranks", size);

    uint64_t state = initial_state();
    for (long round = 0; round < rounds; round++) {
        enum kind kind = (enum kind)(round % KINDS);
        int tag = (int)round;
        uint64_t out = state, values[64];
        MPI_Request sends[64];
        struct outcome outcome = {0};

        pause_us((rank * 7 + round * 3) % 5 * 100);
        int sent = 0;
        for (int peer = 0; peer < size; peer++) {
            if (peer == rank) continue;
            if (kind == MIXED)
                MPI_Issend(&out, 1, MPI_UINT64_T, peer, tag, MPI_COMM_WORLD, &sends[sent++]);
            else
                MPI_Isend(&out, 1, MPI_UINT64_T, peer, tag, MPI_COMM_WORLD, &sends[sent++]);
            say("gave to=%d seq=%ld value=%016" PRIx64, peer, round, out);
        }
        receive(kind, &outcome, values, sends, tag);
        MPI_Waitall(sent, sends, MPI_STATUSES_IGNORE);

        for (int peer = 0; peer < size; peer++)
            if (peer != rank) say("got from=%d seq=%ld value=%016" PRIx64, peer, round, values[peer]);
        state = fold(state, kind, &outcome, values);

        char order[64 * 4];
        int length = 0;
        for (int i = 0; i < outcome.seen; i++)
            length += snprintf(order + length, sizeof order - (size_t)length, "%s%d", i ? "," : "",
                               outcome.order[i]);
        say("outcome round=%ld kind=%s fails=%" PRIu64 " order=%s state=%016" PRIx64, round,
            names[kind], outcome.fails, order, state);
    }
    say("result polling rounds=%ld", rounds);
    MPI_Finalize();
    return 0;
}
