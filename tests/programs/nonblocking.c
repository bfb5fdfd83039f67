/* Non-blocking and persistent collectives: several under way at a time, completed in another
 * order than begun, by a list, one by one and by testing; persistent ones started in different
 * orders by different ranks; user-defined reductions; duplicates made meanwhile. One legal result.
 *
 *   nonblocking [rounds] */
#include "common.h"

enum { COUNT = 6, MOST = 16 };

static uint64_t state;

static int64_t value(int r, int i, long round) { return 1009L * r + 31L * i + 7 * round + 1; }

static void fill(int64_t *data, long round) {
    for (int i = 0; i < COUNT; i++) data[i] = value(rank, i, round);
}

static int64_t sum_below(int ranks, int i, long round) {
    int64_t sum = 0;
    for (int r = 0; r < ranks; r++) sum += value(r, i, round);
    return sum;
}

/* Of x -> a x + b, one after the other: it is not commutative. */
static void compose(void *in, void *inout, int *len, MPI_Datatype *datatype) {
    int64_t *left = in, *right = inout;
    (void)datatype;
    for (int i = 0; i < *len; i++, left += 2, right += 2) {
        right[1] = (left[1] * right[0] + right[1]) % 10007;
        right[0] = left[0] * right[0] % 10007;
    }
}

static void several_at_a_time(MPI_Comm comm, long round) {
    int64_t mine[COUNT], sums[COUNT], sums_to_root[COUNT], prefix[COUNT], before[COUNT], told[COUNT];
    int64_t all[MOST * COUNT], dealt[COUNT], to_all[MOST * COUNT], from_all[MOST * COUNT];
    int root = (int)(round % size);
    MPI_Request requests[8];
    fill(mine, round);
    for (int i = 0; i < COUNT; i++) told[i] = rank == root ? value(root, i, round) : -1;
    for (int peer = 0; peer < size; peer++)
        for (int i = 0; i < COUNT; i++) to_all[peer * COUNT + i] = value(rank, peer * COUNT + i, round);
    before[0] = -1;

    MPI_Iallreduce(mine, sums, COUNT, MPI_INT64_T, MPI_SUM, comm, &requests[0]);
    MPI_Ibcast(told, COUNT, MPI_INT64_T, root, comm, &requests[1]);
    MPI_Iallgather(mine, COUNT, MPI_INT64_T, all, COUNT, MPI_INT64_T, comm, &requests[2]);
    MPI_Ireduce(mine, sums_to_root, COUNT, MPI_INT64_T, MPI_SUM, root, comm, &requests[3]);
    MPI_Iscan(mine, prefix, COUNT, MPI_INT64_T, MPI_SUM, comm, &requests[4]);
    MPI_Iexscan(mine, before, COUNT, MPI_INT64_T, MPI_SUM, comm, &requests[5]);
    MPI_Ialltoall(to_all, COUNT, MPI_INT64_T, from_all, COUNT, MPI_INT64_T, comm, &requests[6]);
    MPI_Iscatter(to_all, COUNT, MPI_INT64_T, dealt, COUNT, MPI_INT64_T, root, comm, &requests[7]);

    /* Point-to-point messages go between those of the collectives. */
    int64_t passed = (int64_t)state, came;
    MPI_Sendrecv(&passed, 1, MPI_INT64_T, (rank + 1) % size, 9, &came, 1, MPI_INT64_T,
                 (rank + size - 1) % size, 9, comm, MPI_STATUS_IGNORE);

    switch (round % 3) {
    case 0: MPI_Waitall(8, requests, MPI_STATUSES_IGNORE); break;
    case 1:
        for (int at = 7; at >= 0; at--) MPI_Wait(&requests[at], MPI_STATUS_IGNORE);
        break;
    default:
        for (int done = 0; done < 8; done++) {
            int index;
            MPI_Waitany(8, requests, &index, MPI_STATUS_IGNORE);
            REQUIRE(index != MPI_UNDEFINED, "%d are done", done);
        }
    }

    for (int i = 0; i < COUNT; i++) {
        REQUIRE(sums[i] == sum_below(size, i, round), "allreduce at %d", i);
        REQUIRE(told[i] == value(root, i, round), "bcast at %d", i);
        REQUIRE(prefix[i] == sum_below(rank + 1, i, round), "scan at %d", i);
        REQUIRE(rank == 0 || before[i] == sum_below(rank, i, round), "exscan at %d", i);
        REQUIRE(dealt[i] == value(root, rank * COUNT + i, round), "scatter at %d", i);
        REQUIRE(rank != root || sums_to_root[i] == sums[i], "reduce at %d", i);
        for (int peer = 0; peer < size; peer++) {
            REQUIRE(all[peer * COUNT + i] == value(peer, i, round), "allgather at %d", i);
            REQUIRE(from_all[peer * COUNT + i] == value(peer, rank * COUNT + i, round), "alltoall at %d", i);
        }
    }
    state = mix(mix(state, hash_bytes(sums, sizeof sums)), (uint64_t)came);
}

/* Ranks test until it is over, and compute meanwhile. */
static void tested(MPI_Comm comm, MPI_Op op, MPI_Datatype map, long round) {
    int64_t mine[2] = {2 + rank, 3 + round % 5}, expected[2] = {1, 0}, all[2];
    MPI_Request request, barrier;
    int flag = 0;
    MPI_Iallreduce(mine, all, 1, map, op, comm, &request);
    MPI_Ibarrier(comm, &barrier);
    while (!flag) MPI_Test(&request, &flag, MPI_STATUS_IGNORE);
    MPI_Wait(&barrier, MPI_STATUS_IGNORE);
    for (int r = 0; r < size; r++) {
        int64_t next[2] = {2 + r, 3 + round % 5};
        compose(expected, next, &(int){1}, NULL);
        memcpy(expected, next, sizeof expected);
    }
    REQUIRE(all[0] == expected[0] && all[1] == expected[1], "a reduction that is not commutative");
    state = mix(state, (uint64_t)all[1]);
}

static void persistent(MPI_Comm comm, long rounds) {
    int64_t mine[COUNT], sums[COUNT], greatest[COUNT];
    MPI_Request requests[3];
    MPI_Allreduce_init(mine, sums, COUNT, MPI_INT64_T, MPI_SUM, comm, MPI_INFO_NULL, &requests[0]);
    MPI_Allreduce_init(mine, greatest, COUNT, MPI_INT64_T, MPI_MAX, comm, MPI_INFO_NULL, &requests[1]);
    MPI_Barrier_init(comm, MPI_INFO_NULL, &requests[2]);
    for (long round = 0; round < rounds; round++) {
        fill(mine, round);
        /* Each rank begins with another one. */
        for (int i = 0; i < 3; i++) MPI_Start(&requests[(rank + i) % 3]);
        MPI_Waitall(3, requests, MPI_STATUSES_IGNORE);
        for (int i = 0; i < COUNT; i++) {
            REQUIRE(sums[i] == sum_below(size, i, round), "persistent allreduce at %d", i);
            REQUIRE(greatest[i] == value(size - 1, i, round), "persistent maximum at %d", i);
        }
        state = mix(state, hash_bytes(sums, sizeof sums));
        if (round % 4 == 0) say("result persistent round=%ld state=%016" PRIx64, round, state);
    }
    for (int i = 0; i < 3; i++) MPI_Request_free(&requests[i]);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 12);
    REQUIRE(size <= MOST, "%d ranks", size);
    state = mix(0, 1);
    MPI_Op op;
    MPI_Datatype map;
    MPI_Op_create(compose, 0, &op);
    MPI_Type_contiguous(2, MPI_INT64_T, &map);
    MPI_Type_commit(&map);
    MPI_Comm comm = MPI_COMM_WORLD;
    for (long round = 0; round < rounds; round++) {
        MPI_Comm next;
        MPI_Request made;
        MPI_Comm_idup(comm, &next, &made);
        several_at_a_time(comm, round);
        MPI_Wait(&made, MPI_STATUS_IGNORE);
        if (comm != MPI_COMM_WORLD) MPI_Comm_free(&comm);
        comm = next;
        tested(comm, op, map, round);
        int64_t common = (int64_t)state;
        MPI_Allreduce(MPI_IN_PLACE, &common, 1, MPI_INT64_T, MPI_BXOR, comm);
        state = mix(state, (uint64_t)common);
        say("result round=%ld state=%016" PRIx64, round, state);
    }
    persistent(comm, rounds);
    MPI_Comm_free(&comm);
    MPI_Type_free(&map);
    MPI_Op_free(&op);
    MPI_Finalize();
    return 0;
}
