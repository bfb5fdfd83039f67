/* Collectives of one rank, and operations of the program's own. */
#include "check.h"

static void twice_sum(void *in, void *inout, int *len, MPI_Datatype *type) {
    int size;
    MPI_Type_size(*type, &size);
    CHECK(MPI_Wtime() > 0);
    CHECK(size == (int)sizeof(int));
    for (int i = 0; i < *len; i++) ((int *)inout)[i] += 2 * ((int *)in)[i];
}

int main(int argc, char **argv) {
    int a[2] = {3, 4}, b[2], one = 1, zero = 0;
    struct { double value; int place; } pair = {2.5, 7}, best;
    MPI_Comm W = MPI_COMM_WORLD;
    MPI_Op op;
    int commutes;
    MPI_Init(&argc, &argv);
    MPI_Barrier(W);
    MPI_Bcast(a, 2, MPI_INT, 0, W);
#define FRESH (b[0] = b[1] = -1)
#define SAME CHECK(b[0] == 3 && b[1] == 4)
    FRESH; MPI_Reduce(a, b, 2, MPI_INT, MPI_SUM, 0, W); SAME;
    FRESH; MPI_Allreduce(a, b, 2, MPI_INT, MPI_MAX, W); SAME;
    MPI_Allreduce(MPI_IN_PLACE, b, 2, MPI_INT, MPI_PROD, W); SAME;
    FRESH; MPI_Gather(a, 2, MPI_INT, b, 2, MPI_INT, 0, W); SAME;
    FRESH; MPI_Gatherv(a, 2, MPI_INT, b, (int[]){2}, &zero, MPI_INT, 0, W); SAME;
    FRESH; MPI_Scatter(a, 2, MPI_INT, b, 2, MPI_INT, 0, W); SAME;
    FRESH; MPI_Scatterv(a, (int[]){2}, &zero, MPI_INT, b, 2, MPI_INT, 0, W); SAME;
    FRESH; MPI_Allgather(a, 2, MPI_INT, b, 2, MPI_INT, W); SAME;
    FRESH; MPI_Allgatherv(a, 1, MPI_INT, b, &one, &one, MPI_INT, W); CHECK(b[0] == -1 && b[1] == 3);
    FRESH; MPI_Alltoall(a, 2, MPI_INT, b, 2, MPI_INT, W); SAME;
    FRESH; MPI_Alltoallv(a, (int[]){2}, &zero, MPI_INT, b, (int[]){2}, &zero, MPI_INT, W); SAME;
    FRESH; MPI_Scan(a, b, 2, MPI_INT, MPI_SUM, W); SAME;
    FRESH; MPI_Reduce_scatter(a, b, (int[]){2}, MPI_INT, MPI_SUM, W); SAME;
    FRESH; MPI_Reduce_scatter_block(a, b, 2, MPI_INT, MPI_SUM, W); SAME;
    FRESH; MPI_Allreduce_c(a, b, 2, MPI_INT, MPI_SUM, W); SAME;
    MPI_Allreduce(&pair, &best, 1, MPI_DOUBLE_INT, MPI_MAXLOC, W);
    CHECK(best.value == 2.5 && best.place == 7);

    MPI_Op_create(twice_sum, 0, &op);
    MPI_Op_commutative(op, &commutes);
    CHECK(!commutes);
    b[0] = 10;
    b[1] = 20;
    MPI_Reduce_local(a, b, 2, MPI_INT, op);
    CHECK(b[0] == 16 && b[1] == 28);
    MPI_Op_free(&op);
    CHECK(op == MPI_OP_NULL);

    MPI_Comm_set_errhandler(W, MPI_ERRORS_RETURN);
    CHECK(MPI_Bcast(a, 2, MPI_INT, 1, W) == MPI_ERR_ROOT);
    CHECK(MPI_Bcast(a, 2, MPI_INT, -1, W) == MPI_ERR_ROOT);
    CHECK(MPI_Allreduce(a, b, 2, MPI_INT, MPI_OP_NULL, W) == MPI_ERR_OP);
    CHECK(MPI_Allreduce(&pair, &best, 1, MPI_DOUBLE_INT, MPI_BAND, W) == MPI_ERR_OP);
    MPI_Finalize();
    puts("good");
    return 0;
}
