/* The communicators of those who share memory: made anew each round, used, and told to all. What is
 * printed is where the ranks run, so it is one result for a job's hosts.
 *
 *   neighborhood [rounds] */
#include "common.h"

enum { MOST = 16 };

static uint64_t state;

/* One sum of what the ranks of this host hold, and one of what the first ranks of all hosts do. */
static void sums(MPI_Comm host, MPI_Comm firsts, long round) {
    int64_t mine = 100003L * rank + round, here = 0, all = 0, total = 0;
    MPI_Allreduce(&mine, &here, 1, MPI_INT64_T, MPI_SUM, host);
    if (firsts != MPI_COMM_NULL) MPI_Allreduce(&here, &all, 1, MPI_INT64_T, MPI_SUM, firsts);
    MPI_Bcast(&all, 1, MPI_INT64_T, 0, host);
    for (int r = 0; r < size; r++) total += 100003L * r + round;
    REQUIRE(all == total, "%" PRId64 " and not %" PRId64, all, total);
    state = mix(state, (uint64_t)here);
}

static void one_round(long round) {
    MPI_Comm host, firsts;
    int members[MOST], count, me;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    MPI_Comm_size(host, &count);
    MPI_Comm_rank(host, &me);
    MPI_Allgather(&rank, 1, MPI_INT, members, 1, MPI_INT, host);
    REQUIRE(members[me] == rank, "rank %d", me);
    MPI_Comm_split(MPI_COMM_WORLD, me == 0 ? 0 : MPI_UNDEFINED, 0, &firsts);
    sums(host, firsts, round);
    say("result round=%ld first=%d last=%d count=%d state=%016" PRIx64, round, members[0],
        members[count - 1], count, state);
    if (firsts != MPI_COMM_NULL) MPI_Comm_free(&firsts);
    MPI_Comm_free(&host);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 10);
    REQUIRE(size <= MOST, "%d ranks", size);
    state = initial_state();
    for (long round = 0; round < rounds; round++) one_round(round);
    MPI_Finalize();
    return 0;
}
