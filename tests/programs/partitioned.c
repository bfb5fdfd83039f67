/* Every round each rank sends its state to all others in partitions, which it marks ready one after the other, and
 * receives theirs, divided otherwise. The first partition is answered before the rest are marked. Which partitions
 * were there when becomes part of the state, and so of what is sent next.
 *
 * Of two messages with the same tag the second is divided within its elements, and checks the first.
 *
 *   partitioned [rounds] */
#include "common.h"

enum { WORDS = 12, MOST = 16, TAG = 5 };

/* As the oracle numbers them. */
enum kind { WAITANY = 0, TEST = 2, TESTSOME = 4, TESTALL = 5, PARRIVED = 8 };

struct peer {
    int rank, sent, received; /* partitions of the first message on either side */
    uint64_t out[WORDS], in[WORDS], check_out[WORDS], check_in[2 * WORDS];
    MPI_Request sends[2], receives[2];
};

static struct peer peers[MOST];
static int count;

/* What polling answered. */
static uint64_t fails;
static int order[MOST], seen;

static uint64_t word(uint64_t value, int i) { return i == 0 ? value : mix(value, (uint64_t)i); }

/* How many partitions a rank divides its messages to another into. */
static int partitions(int from, int to) { return (int[]){4, 6, 12, 3}[(from + 2 * to) % 4]; }

static void prepare(struct peer *peer, MPI_Datatype gaps) {
    int to = peer->rank;
    MPI_Request unused[2];
    peer->sent = partitions(rank, to);
    peer->received = partitions(to, rank) == 4 ? 6 : 4;
    /* What is never used takes part in the order all the same. */
    MPI_Precv_init(peer->in, 1, WORDS, MPI_UINT64_T, to, TAG, MPI_COMM_WORLD, MPI_INFO_NULL, &unused[0]);
    MPI_Request_free(&unused[0]);
    MPI_Precv_init(peer->in, peer->received, WORDS / peer->received, MPI_UINT64_T, to, TAG, MPI_COMM_WORLD,
                   MPI_INFO_NULL, &peer->receives[0]);
    MPI_Precv_init(peer->check_in, 3, 1, gaps, to, TAG, MPI_COMM_WORLD, MPI_INFO_NULL, &peer->receives[1]);

    MPI_Psend_init(peer->out, 2, 1, MPI_UINT64_T, to, TAG, MPI_COMM_WORLD, MPI_INFO_NULL, &unused[1]);
    MPI_Request_free(&unused[1]);
    MPI_Psend_init(peer->out, peer->sent, WORDS / peer->sent, MPI_UINT64_T, to, TAG, MPI_COMM_WORLD,
                   MPI_INFO_NULL, &peer->sends[0]);
    MPI_Psend_init(peer->check_out, 6, 2, MPI_UINT64_T, to, TAG, MPI_COMM_WORLD, MPI_INFO_NULL, &peer->sends[1]);
}

static void begin(struct peer *peer, uint64_t state) {
    for (int i = 0; i < WORDS; i++) {
        peer->out[i] = word(state, i);
        peer->check_out[i] = ~peer->out[i];
        peer->in[i] = peer->check_in[2 * i] = peer->check_in[2 * i + 1] = 0;
    }
    MPI_Startall(2, peer->sends);
    MPI_Startall(2, peer->receives);
}

/* Marks all but the first partition, which is on its way already. */
static void mark_the_rest(struct peer *peer, long round) {
    int last = peer->sent - 1, list[WORDS];
    switch ((round + peer->rank) % 3) {
    case 0:
        for (int i = last; i > 0; i--) MPI_Pready(i, peer->sends[0]);
        break;
    case 1:
        MPI_Pready_range(1, last / 2, peer->sends[0]);
        pause_us(100);
        MPI_Pready_range(last / 2 + 1, last, peer->sends[0]);
        break;
    default:
        for (int i = 0; i < last; i++) list[i] = 1 + (i + (int)round) % last;
        MPI_Pready_list(last, list, peer->sends[0]);
        break;
    }
}

static void note(int index) { order[seen++] = index; }

/* Looks at the partitions of all in turn until each was seen; an order of its own for each message. */
static void poll_partitions(void) {
    int next[MOST] = {0};
    while (seen < count) {
        for (int at = 0; at < count; at++) {
            int flag;
            if (next[at] == peers[at].received) continue;
            MPI_Parrived(peers[at].receives[0], next[at], &flag);
            fails = mix(fails, (uint64_t)(2 * at + flag));
            if (!flag) continue;
            REQUIRE(peers[at].in[next[at] * (WORDS / peers[at].received)] != 0, "partition %d", next[at]);
            if (++next[at] == peers[at].received) note(at);
        }
    }
}

static void complete(enum kind kind) {
    MPI_Request requests[MOST];
    int indices[MOST], some, flag = 0;
    for (int at = 0; at < count; at++) requests[at] = peers[at].receives[0];
    switch (kind) {
    case PARRIVED:
        poll_partitions();
        MPI_Waitall(count, requests, MPI_STATUSES_IGNORE);
        break;
    case WAITANY:
        for (int done = 0; done < count; done++) {
            MPI_Waitany(count, requests, indices, MPI_STATUS_IGNORE);
            note(indices[0]);
        }
        break;
    case TESTSOME:
        for (int done = 0; done < count; done += some) {
            MPI_Testsome(count, requests, &some, indices, MPI_STATUSES_IGNORE);
            for (int i = 0; i < some; i++) note(indices[i]);
            fails += some == 0;
        }
        break;
    case TEST:
        for (int at = 0; at < count; at++) {
            for (flag = 0; !flag; fails += !flag) MPI_Test(&requests[at], &flag, MPI_STATUS_IGNORE);
            note(at);
        }
        break;
    default:
        for (; !flag; fails += !flag) MPI_Testall(count, requests, &flag, MPI_STATUSES_IGNORE);
        for (int at = 0; at < count; at++) note(at);
    }
}

int main(int argc, char **argv) {
    static const enum kind kinds[] = {PARRIVED, WAITANY, TESTSOME, TEST, TESTALL};
    static const char *const names[] = {"parrived", "waitany", "testsome", "test", "testall"};
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 16);
    REQUIRE(size >= 2 && size <= MOST, "%d ranks", size);
    MPI_Datatype blocks, gaps; /* four words, one after the other word */
    MPI_Type_vector(4, 1, 2, MPI_UINT64_T, &blocks);
    MPI_Type_create_resized(blocks, 0, 8 * sizeof(uint64_t), &gaps);
    MPI_Type_commit(&gaps);
    for (int other = 0; other < size; other++)
        if (other != rank) peers[count++].rank = other;
    for (int at = 0; at < count; at++) prepare(&peers[at], gaps);
    MPI_Type_free(&blocks);
    MPI_Type_free(&gaps);

    uint64_t state = initial_state();
    for (long round = 0; round < rounds; round++) {
        int which = (int)(round % 5);
        MPI_Request answers[MOST];
        fails = 0;
        seen = 0;
        pause_us((rank * 7 + round * 3) % 5 * 100);
        for (int at = 0; at < count; at++) {
            begin(&peers[at], state);
            MPI_Pready(0, peers[at].sends[0]);
            say("gave to=%d seq=%ld value=%016" PRIx64, peers[at].rank, round, state);
        }
        /* Where the first of our partitions lies within the sender's first, the answer is that it has come. */
        for (int at = 0; at < count; at++) {
            MPI_Irecv(NULL, 0, MPI_INT, peers[at].rank, TAG, MPI_COMM_WORLD, &answers[at]);
            int theirs = partitions(peers[at].rank, rank), flag = 0;
            while (theirs <= peers[at].received && !flag) {
                MPI_Parrived(peers[at].receives[0], 0, &flag);
                fails += !flag;
            }
            MPI_Send(NULL, 0, MPI_INT, peers[at].rank, TAG, MPI_COMM_WORLD);
        }
        for (int at = 0; at < count; at++) {
            MPI_Wait(&answers[at], MPI_STATUS_IGNORE);
            mark_the_rest(&peers[at], round);
            MPI_Pready_range(0, 5, peers[at].sends[1]);
        }
        complete(kinds[which]);
        for (int at = 0; at < count; at++) {
            struct peer *peer = &peers[at];
            MPI_Waitall(2, peer->sends, MPI_STATUSES_IGNORE);
            MPI_Wait(&peer->receives[1], MPI_STATUS_IGNORE);
            for (int i = 0; i < WORDS; i++) {
                REQUIRE(peer->in[i] == word(peer->in[0], i), "word %d from %d", i, peer->rank);
                REQUIRE(peer->check_in[2 * i] == ~peer->in[i] && peer->check_in[2 * i + 1] == 0, "word %d", i);
            }
            say("got from=%d seq=%ld value=%016" PRIx64, peer->rank, round, peer->in[0]);
        }
        state = mix(mix(state, (uint64_t)kinds[which]), fails);
        for (int i = 0; i < seen; i++)
            state = mix(mix(state, (uint64_t)peers[order[i]].rank), peers[order[i]].in[0]);
        char sources[MOST * 4];
        int length = 0;
        for (int i = 0; i < seen; i++)
            length += snprintf(sources + length, sizeof sources - (size_t)length, "%s%d", i ? "," : "",
                               peers[order[i]].rank);
        say("outcome round=%ld kind=%s fails=%" PRIu64 " order=%s state=%016" PRIx64, round, names[which], fails,
            sources, state);
    }
    for (int at = 0; at < count; at++)
        for (int i = 0; i < 2; i++) MPI_Request_free(&peers[at].sends[i]), MPI_Request_free(&peers[at].receives[i]);
    say("result partitioned rounds=%ld", rounds);
    MPI_Finalize();
    return 0;
}
