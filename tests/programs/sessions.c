/* Sessions without MPI_Init, one after the other: sets of processes, communicators of groups
 * without a parent, one of them between two groups; hints and error handlers. One legal result.
 *
 *   sessions [rounds] */
#include "common.h"

static uint64_t state;

static void one_session(long round) {
    MPI_Session session;
    MPI_Group world, part;
    MPI_Comm comm, half, inter;
    MPI_Info hints;
    int sets;
    MPI_Info_create(&hints);
    MPI_Info_set(hints, "thread_level", "MPI_THREAD_SINGLE");
    MPI_Session_init(hints, MPI_ERRORS_RETURN, &session);
    MPI_Info_free(&hints);
    MPI_Session_get_num_psets(session, MPI_INFO_NULL, &sets);
    MPI_Group_from_session_pset(session, "mpi://WORLD", &world);
    MPI_Comm_create_from_group(world, "sessions.c", MPI_INFO_NULL, MPI_ERRORS_ARE_FATAL, &comm);
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    if (round == 0) state = initial_state();

    int64_t sum = (int64_t)(state >> 4);
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_INT64_T, MPI_SUM, comm);
    state = mix(state, (uint64_t)sum + (uint64_t)sets);

    /* The even ranks and the odd ones, and both together. */
    int range[1][3] = {{rank % 2, size - 1, 2}}, others[1][3] = {{1 - rank % 2, size - 1, 2}};
    MPI_Group rest;
    MPI_Group_range_incl(world, 1, range, &part);
    MPI_Group_range_incl(world, 1, others, &rest);
    MPI_Comm_create_from_group(part, "half", MPI_INFO_NULL, MPI_ERRORS_ARE_FATAL, &half);
    MPI_Intercomm_create_from_groups(part, 0, rest, 0, "between", MPI_INFO_NULL, MPI_ERRORS_ARE_FATAL, &inter);
    int64_t here = rank + round, there;
    MPI_Allreduce(&here, &there, 1, MPI_INT64_T, MPI_SUM, inter);
    MPI_Allreduce(MPI_IN_PLACE, &here, 1, MPI_INT64_T, MPI_SUM, half);
    state = mix(mix(state, (uint64_t)here), (uint64_t)there);
    say("result round=%ld state=%016" PRIx64, round, state);

    MPI_Comm_free(&inter);
    MPI_Comm_free(&half);
    MPI_Comm_free(&comm);
    MPI_Group_free(&rest);
    MPI_Group_free(&part);
    MPI_Group_free(&world);
    MPI_Session_finalize(&session);
}

int main(int argc, char **argv) {
    static char lines[1 << 16];
    setvbuf(stdout, lines, _IOFBF, sizeof lines);
    long rounds = argument(argc, argv, 1, 10);
    for (long round = 0; round < rounds; round++) one_session(round);
    return 0;
}
