/* Communicators between two groups, and what is cached on communicators: made anew each round
 * by the even and the odd ranks, duplicated, split, merged; messages and collectives between the
 * groups; communicators of a group alone; attributes that are copied and deleted. One legal result.
 *
 *   between [rounds] */
#include "common.h"

enum { MOST = 16 };

static uint64_t state;
static int copied, deleted;

static int copy(MPI_Comm comm, int keyval, void *extra, void *in, void *out, int *flag) {
    (void)comm, (void)keyval;
    copied++;
    *(intptr_t *)out = (intptr_t)in + (intptr_t)extra;
    *flag = 1;
    return MPI_SUCCESS;
}

static int delete(MPI_Comm comm, int keyval, void *value, void *extra) {
    (void)comm, (void)keyval, (void)value, (void)extra;
    deleted++;
    return MPI_SUCCESS;
}

static int64_t value(int side, int r, long round) { return 100003L * side + 101L * r + round + 1; }

/* Every collective between two groups; `side` is this process's, 0 or 1. */
static void collectives(MPI_Comm inter, int side, long round) {
    int here, there, me;
    MPI_Comm_size(inter, &here);
    MPI_Comm_remote_size(inter, &there);
    MPI_Comm_rank(inter, &me);
    int64_t mine = value(side, me, round), all[MOST], sum = 0, got = -1;

    MPI_Barrier(inter);
    MPI_Allgather(&mine, 1, MPI_INT64_T, all, 1, MPI_INT64_T, inter);
    for (int r = 0; r < there; r++) REQUIRE(all[r] == value(1 - side, r, round), "allgather of %d", r);
    MPI_Allreduce(&mine, &got, 1, MPI_INT64_T, MPI_SUM, inter);
    for (int r = 0; r < there; r++) sum += value(1 - side, r, round);
    REQUIRE(got == sum, "allreduce");

    int64_t told = side == 0 ? value(0, 0, round) : -1;
    MPI_Bcast(&told, 1, MPI_INT64_T, side == 0 ? (me == 0 ? MPI_ROOT : MPI_PROC_NULL) : 0, inter);
    REQUIRE((side == 0 && me != 0) || told == value(0, 0, round), "bcast");

    int64_t to_each[MOST], from_each[MOST];
    for (int r = 0; r < there; r++) to_each[r] = value(side, 10 * me + r, round);
    MPI_Alltoall(to_each, 1, MPI_INT64_T, from_each, 1, MPI_INT64_T, inter);
    for (int r = 0; r < there; r++)
        REQUIRE(from_each[r] == value(1 - side, 10 * r + me, round), "alltoall of %d", r);
    state = mix(mix(state, (uint64_t)got), hash_bytes(from_each, (size_t)there * sizeof *from_each));
}

static void messages(MPI_Comm inter, long round) {
    int there, me;
    MPI_Comm_remote_size(inter, &there);
    MPI_Comm_rank(inter, &me);
    MPI_Request requests[2 * MOST];
    int64_t out = (int64_t)state, in[MOST];
    for (int r = 0; r < there; r++) {
        MPI_Irecv(&in[r], 1, MPI_INT64_T, r, (int)round, inter, &requests[2 * r]);
        MPI_Isend(&out, 1, MPI_INT64_T, r, (int)round, inter, &requests[2 * r + 1]);
    }
    MPI_Waitall(2 * there, requests, MPI_STATUSES_IGNORE);
    state = mix(state, hash_bytes(in, (size_t)there * sizeof *in));
}

static void one_round(long round, int keyval) {
    int side = rank % 2, flag;
    void *cached;
    MPI_Comm local, inter, again, merged, half;
    MPI_Comm_split(MPI_COMM_WORLD, side, rank, &local);
    MPI_Intercomm_create(local, 0, MPI_COMM_WORLD, 1 - side, 77, &inter);
    MPI_Comm_set_attr(inter, keyval, (void *)(intptr_t)round);
    messages(inter, round);
    collectives(inter, side, round);

    MPI_Comm_dup(inter, &again);
    MPI_Comm_get_attr(again, keyval, &cached, &flag);
    REQUIRE(flag && (intptr_t)cached == round + 5, "the attribute of a duplicate");
    collectives(again, side, round + 1000);

    MPI_Intercomm_merge(again, side, &merged);
    int me, common = 0;
    MPI_Comm_rank(merged, &me);
    MPI_Allreduce(&me, &common, 1, MPI_INT, MPI_SUM, merged);
    REQUIRE(common == size * (size - 1) / 2, "the merged communicator");

    /* A communicator of the lower half, without the others. */
    MPI_Group all, lower;
    MPI_Comm_group(MPI_COMM_WORLD, &all);
    int range[1][3] = {{0, (size - 1) / 2, 1}};
    MPI_Group_range_incl(all, 1, range, &lower);
    if (rank <= (size - 1) / 2) {
        MPI_Comm_create_group(MPI_COMM_WORLD, lower, 3, &half);
        int64_t mine = (int64_t)state, least;
        MPI_Allreduce(&mine, &least, 1, MPI_INT64_T, MPI_MIN, half);
        state = mix(mix(state, 17), (uint64_t)least);
        MPI_Comm_free(&half);
    }
    MPI_Group_free(&lower);
    MPI_Group_free(&all);
    MPI_Comm_free(&merged);
    MPI_Comm_free(&again);
    MPI_Comm_free(&inter);
    MPI_Comm_free(&local);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 10);
    REQUIRE(size >= 2 && size <= MOST, "%d ranks", size);
    state = initial_state();
    int keyval;
    MPI_Comm_create_keyval(copy, delete, &keyval, (void *)5);
    for (long round = 0; round < rounds; round++) {
        one_round(round, keyval);
        say("result round=%ld copied=%d deleted=%d state=%016" PRIx64, round, copied, deleted, state);
    }
    MPI_Comm_free_keyval(&keyval);
    MPI_Finalize();
    return 0;
}
