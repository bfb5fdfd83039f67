/* Topologies and the collectives of neighbours: a ring and a torus, a graph that all know, one
 * of which each knows its part; blocking, non-blocking and persistent. One legal result.
 *
 *   neighbors [rounds] */
#include "common.h"

enum { MOST = 64 };

static uint64_t state;

static int64_t word(int from, int to, long round) { return 65537L * from + 257L * to + round + 1; }

/* A block of its own to each neighbour, by the three forms in turn. */
static void exchange(MPI_Comm comm, long round, const int *sources, int ins, const int *destinations,
                     int outs) {
    int64_t out[MOST], in[MOST];
    MPI_Request request;
    int me;
    MPI_Comm_rank(comm, &me);
    for (int i = 0; i < outs; i++) out[i] = word(me, destinations[i], round);
    for (int i = 0; i < ins; i++) in[i] = -1;
    switch (round % 3) {
    case 0: MPI_Neighbor_alltoall(out, 1, MPI_INT64_T, in, 1, MPI_INT64_T, comm); break;
    case 1:
        MPI_Ineighbor_alltoall(out, 1, MPI_INT64_T, in, 1, MPI_INT64_T, comm, &request);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
        break;
    default:
        MPI_Neighbor_alltoall_init(out, 1, MPI_INT64_T, in, 1, MPI_INT64_T, comm, MPI_INFO_NULL, &request);
        MPI_Start(&request);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
        MPI_Request_free(&request);
    }
    for (int i = 0; i < ins; i++) {
        int64_t expected = sources[i] == MPI_PROC_NULL ? -1 : word(sources[i], me, round);
        REQUIRE(in[i] == expected, "block %d from %d: %" PRId64, i, sources[i], in[i]);
    }
    int64_t mine = (int64_t)state, theirs[MOST] = {0};
    MPI_Neighbor_allgather(&mine, 1, MPI_INT64_T, theirs, 1, MPI_INT64_T, comm);
    state = mix(state, hash_bytes(theirs, (size_t)ins * sizeof *theirs));
}

static void on_a_torus(long round) {
    int dims[2] = {0, 0}, periods[2] = {1, 0}, around[4];
    MPI_Comm torus, row;
    MPI_Dims_create(size, 2, dims);
    MPI_Cart_create(MPI_COMM_WORLD, 2, dims, periods, 1, &torus);
    for (int dim = 0; dim < 2; dim++) MPI_Cart_shift(torus, dim, 1, &around[2 * dim], &around[2 * dim + 1]);
    exchange(torus, round, around, 4, around, 4);
    int remain[2] = {0, 1}, in_row;
    MPI_Cart_sub(torus, remain, &row);
    MPI_Comm_size(row, &in_row);
    REQUIRE(in_row == dims[1], "a row of %d", in_row);
    int64_t sum = (int64_t)(state >> 8);
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_INT64_T, MPI_SUM, row);
    state = mix(state, (uint64_t)sum);
    MPI_Comm_free(&row);
    MPI_Comm_free(&torus);
}

/* A star around rank 0. */
static void on_a_graph(long round) {
    int index[MOST], edges[2 * MOST], count = 0, neighbors[MOST], degree;
    for (int r = 1; r < size; r++) edges[count++] = r;
    index[0] = count;
    for (int r = 1; r < size; r++) {
        edges[count++] = 0;
        index[r] = count;
    }
    MPI_Comm star;
    MPI_Graph_create(MPI_COMM_WORLD, size, index, edges, 0, &star);
    MPI_Graph_neighbors_count(star, rank, &degree);
    MPI_Graph_neighbors(star, rank, MOST, neighbors);
    exchange(star, round, neighbors, degree, neighbors, degree);
    MPI_Comm_free(&star);
}

/* Edges to the next and the next but one, told by somebody else. */
static void on_a_distributed_graph(long round) {
    int from = (rank + 1) % size, degree = 2;
    int to[2] = {(from + 1) % size, (from + 2) % size}, weights[2] = {3, 4};
    int ins, outs, weighted, sources[MOST], destinations[MOST], in_weights[MOST], out_weights[MOST];
    MPI_Comm graph;
    MPI_Dist_graph_create(MPI_COMM_WORLD, 1, &from, &degree, to, weights, MPI_INFO_NULL, 0, &graph);
    MPI_Dist_graph_neighbors_count(graph, &ins, &outs, &weighted);
    REQUIRE(ins == 2 && outs == 2 && weighted, "%d in, %d out", ins, outs);
    MPI_Dist_graph_neighbors(graph, ins, sources, in_weights, outs, destinations, out_weights);
    exchange(graph, round, sources, ins, destinations, outs);
    state = mix(state, (uint64_t)(in_weights[0] + 10 * out_weights[1]));
    MPI_Comm_free(&graph);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 12);
    REQUIRE(size >= 3 && size <= MOST, "%d ranks", size);
    state = initial_state();
    for (long round = 0; round < rounds; round++) {
        on_a_torus(round);
        on_a_graph(round);
        on_a_distributed_graph(round);
        say("result round=%ld state=%016" PRIx64, round, state);
    }
    MPI_Finalize();
    return 0;
}
