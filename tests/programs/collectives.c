/* Every collective of MPI-1 on the world, on a duplicate, and on halves with the
 * ranks turned round; in place where MPI allows it; with predefined operations,
 * with a commutative operation of our own, and with one that is not commutative.
 * One legal result.
 *
 *   collectives [rounds] */
#include "common.h"

static MPI_Comm comm;
static int me, n;
static long checks;

/* A value that only rank r puts at index i in this round. */
static long long value(int r, int i, long round) { return 1000003LL * r + 101LL * i + 7 * round + 1; }

static void expect(long long found, long long wanted, const char *what, int index) {
    REQUIRE(found == wanted, "%s of rank %d in %d at %d: %lld, not %lld", what, me, n, index, found,
            wanted);
    checks++;
}

static long long sum_of_values(int count, int i, long round) {
    long long sum = 0;
    for (int r = 0; r < count; r++) sum += value(r, i, round);
    return sum;
}

static void test_bcast(long round) {
    for (int root = 0; root < n; root++) {
        long long data[5];
        for (int i = 0; i < 5; i++) data[i] = me == root ? value(root, i, round) : -1;
        MPI_Bcast(data, 5, MPI_LONG_LONG, root, comm);
        for (int i = 0; i < 5; i++) expect(data[i], value(root, i, round), "bcast", i);
    }
}

static void test_reduce(long round) {
    int root = (int)(round % n);
    long long mine[4], all[4];
    for (int i = 0; i < 4; i++) mine[i] = value(me, i, round);
    MPI_Reduce(mine, all, 4, MPI_LONG_LONG, MPI_SUM, root, comm);
    if (me == root)
        for (int i = 0; i < 4; i++) expect(all[i], sum_of_values(n, i, round), "reduce", i);
    MPI_Reduce(me == root ? MPI_IN_PLACE : mine, me == root ? mine : NULL, 4, MPI_LONG_LONG, MPI_MAX,
               root, comm);
    if (me == root)
        for (int i = 0; i < 4; i++) expect(mine[i], value(n - 1, i, round), "reduce in place", i);
}

static void test_allreduce(long round) {
    long long mine[3], all[3];
    for (int i = 0; i < 3; i++) mine[i] = value(me, i, round);
    MPI_Allreduce(mine, all, 3, MPI_LONG_LONG, MPI_MIN, comm);
    for (int i = 0; i < 3; i++) expect(all[i], value(0, i, round), "allreduce", i);
    MPI_Allreduce(MPI_IN_PLACE, mine, 3, MPI_LONG_LONG, MPI_SUM, comm);
    for (int i = 0; i < 3; i++) expect(mine[i], sum_of_values(n, i, round), "allreduce in place", i);
}

static void test_gather_scatter(long round) {
    int root = (int)((round + 1) % n);
    long long *all = allocate((size_t)n * 2 * sizeof *all), mine[2];
    for (int i = 0; i < 2; i++) mine[i] = value(me, i, round);
    MPI_Gather(mine, 2, MPI_LONG_LONG, all, 2, MPI_LONG_LONG, root, comm);
    if (me == root)
        for (int i = 0; i < 2 * n; i++) expect(all[i], value(i / 2, i % 2, round), "gather", i);

    if (me == root)
        for (int i = 0; i < 2 * n; i++) all[i] = i / 2 == me ? value(me, i % 2, round) : -1;
    MPI_Gather(me == root ? MPI_IN_PLACE : mine, 2, MPI_LONG_LONG, all, 2, MPI_LONG_LONG, root, comm);
    if (me == root)
        for (int i = 0; i < 2 * n; i++) expect(all[i], value(i / 2, i % 2, round), "gather in place", i);

    mine[0] = mine[1] = -1;
    MPI_Scatter(all, 2, MPI_LONG_LONG, mine, 2, MPI_LONG_LONG, root, comm);
    for (int i = 0; i < 2; i++) expect(mine[i], value(me, i, round), "scatter", i);
    mine[0] = -1;
    MPI_Scatter(all, 2, MPI_LONG_LONG, me == root ? MPI_IN_PLACE : mine, 2, MPI_LONG_LONG, root, comm);
    if (me != root) expect(mine[0], value(me, 0, round), "scatter in place", 0);
    free(all);
}

/* Rank r contributes r + 1 values; there is a hole of one between the parts. */
static void test_gatherv_scatterv(long round) {
    int root = (int)((round + 2) % n), total = 0;
    int *counts = allocate((size_t)n * sizeof *counts), *starts = allocate((size_t)n * sizeof *starts);
    for (int r = 0; r < n; r++) {
        counts[r] = r + 1;
        starts[r] = total;
        total += counts[r] + 1;
    }
    long long *all = allocate((size_t)total * sizeof *all);
    long long *mine = allocate((size_t)(me + 1) * sizeof *mine);
    for (int i = 0; i <= me; i++) mine[i] = value(me, i, round);
    MPI_Gatherv(mine, me + 1, MPI_LONG_LONG, all, counts, starts, MPI_LONG_LONG, root, comm);
    if (me == root)
        for (int r = 0; r < n; r++) {
            for (int i = 0; i <= r; i++) expect(all[starts[r] + i], value(r, i, round), "gatherv", r);
            expect(all[starts[r] + r + 1], 0, "hole of gatherv", r);
        }
    memset(mine, 0xFF, (size_t)(me + 1) * sizeof *mine);
    MPI_Scatterv(all, counts, starts, MPI_LONG_LONG, mine, me + 1, MPI_LONG_LONG, root, comm);
    for (int i = 0; i <= me; i++) expect(mine[i], value(me, i, round), "scatterv", i);

    memset(all, 0, (size_t)total * sizeof *all);
    MPI_Allgatherv(mine, me + 1, MPI_LONG_LONG, all, counts, starts, MPI_LONG_LONG, comm);
    for (int r = 0; r < n; r++)
        for (int i = 0; i <= r; i++) expect(all[starts[r] + i], value(r, i, round), "allgatherv", r);
    free(counts), free(starts), free(all), free(mine);
}

static void test_allgather(long round) {
    long long *all = allocate((size_t)n * sizeof *all), mine = value(me, 0, round);
    MPI_Allgather(&mine, 1, MPI_LONG_LONG, all, 1, MPI_LONG_LONG, comm);
    for (int r = 0; r < n; r++) expect(all[r], value(r, 0, round), "allgather", r);
    memset(all, 0, (size_t)n * sizeof *all);
    all[me] = value(me, 9, round);
    MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all, 1, MPI_LONG_LONG, comm);
    for (int r = 0; r < n; r++) expect(all[r], value(r, 9, round), "allgather in place", r);
    free(all);
}

static void test_alltoall(long round) {
    long long *out = allocate((size_t)n * sizeof *out), *in = allocate((size_t)n * sizeof *in);
    for (int r = 0; r < n; r++) out[r] = value(me, r, round);
    MPI_Alltoall(out, 1, MPI_LONG_LONG, in, 1, MPI_LONG_LONG, comm);
    for (int r = 0; r < n; r++) expect(in[r], value(r, me, round), "alltoall", r);
    MPI_Alltoall(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, out, 1, MPI_LONG_LONG, comm);
    for (int r = 0; r < n; r++) expect(out[r], value(r, me, round), "alltoall in place", r);
    free(out), free(in);
}

/* Rank a sends (a + b) % 3 values to rank b, so some pairs exchange nothing. */
static void test_alltoallv(long round) {
    int *counts = allocate((size_t)n * sizeof *counts), *starts = allocate((size_t)n * sizeof *starts);
    long long *out = allocate((size_t)n * 3 * sizeof *out), *in = allocate((size_t)n * 3 * sizeof *in);
    for (int r = 0; r < n; r++) {
        counts[r] = (me + r) % 3;
        starts[r] = 3 * r;
        for (int i = 0; i < 3; i++) out[3 * r + i] = value(me, r * 3 + i, round), in[3 * r + i] = -5;
    }
    MPI_Alltoallv(out, counts, starts, MPI_LONG_LONG, in, counts, starts, MPI_LONG_LONG, comm);
    for (int r = 0; r < n; r++)
        for (int i = 0; i < 3; i++)
            expect(in[3 * r + i], i < counts[r] ? value(r, me * 3 + i, round) : -5, "alltoallv", r);
    free(counts), free(starts), free(out), free(in);
}

static void test_scan(long round) {
    long long mine[2] = {value(me, 0, round), value(me, 1, round)}, sums[2];
    MPI_Scan(mine, sums, 2, MPI_LONG_LONG, MPI_SUM, comm);
    for (int i = 0; i < 2; i++) expect(sums[i], sum_of_values(me + 1, i, round), "scan", i);
    MPI_Scan(MPI_IN_PLACE, mine, 2, MPI_LONG_LONG, MPI_SUM, comm);
    for (int i = 0; i < 2; i++) expect(mine[i], sum_of_values(me + 1, i, round), "scan in place", i);
}

/* Rank r keeps r % 3 of the reduced values. */
static void test_reduce_scatter(long round) {
    int *counts = allocate((size_t)n * sizeof *counts), total = 0, before = 0;
    for (int r = 0; r < n; r++) {
        counts[r] = r % 3;
        if (r < me) before += counts[r];
        total += counts[r];
    }
    long long *mine = allocate((size_t)total * sizeof *mine), kept[3] = {-1, -1, -1};
    for (int i = 0; i < total; i++) mine[i] = value(me, i, round);
    MPI_Reduce_scatter(mine, kept, counts, MPI_LONG_LONG, MPI_SUM, comm);
    for (int i = 0; i < 3; i++)
        expect(kept[i], i < counts[me] ? sum_of_values(n, before + i, round) : -1, "reduce_scatter", i);
    MPI_Reduce_scatter(MPI_IN_PLACE, mine, counts, MPI_LONG_LONG, MPI_SUM, comm);
    for (int i = 0; i < counts[me]; i++)
        expect(mine[i], sum_of_values(n, before + i, round), "reduce_scatter in place", i);
    free(counts), free(mine);
}

static void bigger_remainder(void *in, void *inout, int *count, MPI_Datatype *type) {
    const long long *a = in;
    long long *b = inout;
    REQUIRE(*type == MPI_LONG_LONG, "the operation was given another type");
    for (int i = 0; i < *count; i++)
        if (a[i] % 1009 > b[i] % 1009) b[i] = a[i];
}

/* x -> a x + b modulo a prime; composition is associative but does not commute. */
struct affine {
    long long a, b;
};

static const long long PRIME = 1000003;

static struct affine then(struct affine first, struct affine second) {
    return (struct affine){first.a * second.a % PRIME, (second.a * first.b + second.b) % PRIME};
}

static void compose(void *in, void *inout, int *count, MPI_Datatype *type) {
    const struct affine *first = in;
    struct affine *second = inout;
    (void)type;
    for (int i = 0; i < *count; i++) second[i] = then(first[i], second[i]);
}

static struct affine affine_of(int r, int i, long round) {
    return (struct affine){2 + (r * 37 + i * 5 + round) % 1000, 3 + (r * 11 + i * 3 + round) % 1000};
}

static struct affine composed(int count, int i, long round) {
    struct affine all = affine_of(0, i, round);
    for (int r = 1; r < count; r++) all = then(all, affine_of(r, i, round));
    return all;
}

static void expect_composed(struct affine found, int count, int i, long round, const char *what) {
    struct affine wanted = composed(count, i, round);
    expect(found.a, wanted.a, what, i);
    expect(found.b, wanted.b, what, i);
}

static void test_own_operations(long round) {
    MPI_Op bigger, compose_op;
    MPI_Datatype pair;
    MPI_Op_create(bigger_remainder, 1, &bigger);
    MPI_Op_create(compose, 0, &compose_op);
    MPI_Type_contiguous(2, MPI_LONG_LONG, &pair);
    MPI_Type_commit(&pair);

    long long mine = value(me, 0, round), most, wanted = value(0, 0, round);
    for (int r = 1; r < n; r++)
        if (value(r, 0, round) % 1009 > wanted % 1009) wanted = value(r, 0, round);
    MPI_Allreduce(&mine, &most, 1, MPI_LONG_LONG, bigger, comm);
    expect(most, wanted, "own operation", 0);

    struct affine parts[2] = {affine_of(me, 0, round), affine_of(me, 1, round)}, all[2];
    MPI_Allreduce(parts, all, 2, pair, compose_op, comm);
    for (int i = 0; i < 2; i++) expect_composed(all[i], n, i, round, "composition");
    MPI_Scan(parts, all, 2, pair, compose_op, comm);
    for (int i = 0; i < 2; i++) expect_composed(all[i], me + 1, i, round, "scan of compositions");
    int root = (int)((round + 1) % n);
    MPI_Reduce(parts, all, 2, pair, compose_op, root, comm);
    if (me == root)
        for (int i = 0; i < 2; i++) expect_composed(all[i], n, i, round, "reduced composition");

    MPI_Type_free(&pair);
    MPI_Op_free(&bigger);
    MPI_Op_free(&compose_op);
}

static void test_all(MPI_Comm on, long round) {
    comm = on;
    MPI_Comm_rank(comm, &me);
    MPI_Comm_size(comm, &n);
    MPI_Barrier(comm);
    test_bcast(round);
    test_reduce(round);
    test_allreduce(round);
    test_gather_scatter(round);
    test_gatherv_scatterv(round);
    test_allgather(round);
    test_alltoall(round);
    test_alltoallv(round);
    test_scan(round);
    test_reduce_scatter(round);
    test_own_operations(round);
    MPI_Barrier(comm);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 3);
    MPI_Comm duplicate, half, without_last;

    MPI_Comm_dup(MPI_COMM_WORLD, &duplicate);
    for (long round = 0; round < rounds; round++) {
        MPI_Comm_split(round % 2 ? duplicate : MPI_COMM_WORLD, rank % 2, -rank, &half);
        int half_rank, half_size;
        MPI_Comm_rank(half, &half_rank);
        MPI_Comm_size(half, &half_size);
        expect(half_size, (size + 1 - rank % 2) / 2, "size of a half", 0);
        expect(half_rank, half_size - 1 - rank / 2, "rank in a half", 0);

        MPI_Comm_split(MPI_COMM_WORLD, rank == size - 1 ? MPI_UNDEFINED : 1, rank, &without_last);
        expect(without_last == MPI_COMM_NULL, rank == size - 1, "undefined colour", 0);

        test_all(MPI_COMM_WORLD, round);
        test_all(duplicate, round);
        test_all(half, round);
        test_all(MPI_COMM_SELF, round);
        if (without_last != MPI_COMM_NULL) {
            test_all(without_last, round);
            MPI_Comm_free(&without_last);
        }
        MPI_Comm_free(&half);
        say("result collectives round=%ld checks=%ld", round, checks);
    }
    MPI_Comm_free(&duplicate);
    MPI_Finalize();
    return 0;
}
