/* Jacobi iteration on a 2-D grid, blocks exchanging halos: rows as they lie,
 * columns by a vector type. Every rank also computes the whole grid alone and
 * compares its block bit by bit. One legal result.
 *
 *   stencil [iterations] [cells per side of a block] */
#include "common.h"

static int columns_of_ranks, rows_of_ranks, my_column, my_row;
static long side;

/* A block lies with its halo: (side + 2) x (side + 2). */
static double *cell(double *block, long row, long column) {
    return &block[row * (side + 2) + column];
}

static double boundary(long row, long column) { return 1.0 + 0.25 * (double)((row * 7 + column * 3) % 11); }

static void split_into_blocks(void) {
    columns_of_ranks = 1;
    for (int c = 1; c * c <= size; c++)
        if (size % c == 0) columns_of_ranks = c;
    rows_of_ranks = size / columns_of_ranks;
    my_row = rank / columns_of_ranks;
    my_column = rank % columns_of_ranks;
}

/* The rank that owns the block there, or MPI_PROC_NULL beyond the edge. */
static int owner(int row, int column) {
    if (row < 0 || row >= rows_of_ranks || column < 0 || column >= columns_of_ranks)
        return MPI_PROC_NULL;
    return row * columns_of_ranks + column;
}

static void exchange_halos(double *block, MPI_Datatype column_type) {
    enum { NORTHWARD, SOUTHWARD, WESTWARD, EASTWARD };
    int north = owner(my_row - 1, my_column), south = owner(my_row + 1, my_column);
    int west = owner(my_row, my_column - 1), east = owner(my_row, my_column + 1);
    int count = (int)side;
    MPI_Request requests[8];
    MPI_Comm comm = MPI_COMM_WORLD;

    MPI_Irecv(cell(block, 0, 1), count, MPI_DOUBLE, north, SOUTHWARD, comm, &requests[0]);
    MPI_Irecv(cell(block, side + 1, 1), count, MPI_DOUBLE, south, NORTHWARD, comm, &requests[1]);
    MPI_Irecv(cell(block, 1, 0), 1, column_type, west, EASTWARD, comm, &requests[2]);
    MPI_Irecv(cell(block, 1, side + 1), 1, column_type, east, WESTWARD, comm, &requests[3]);
    MPI_Isend(cell(block, 1, 1), count, MPI_DOUBLE, north, NORTHWARD, comm, &requests[4]);
    MPI_Isend(cell(block, side, 1), count, MPI_DOUBLE, south, SOUTHWARD, comm, &requests[5]);
    MPI_Isend(cell(block, 1, 1), 1, column_type, west, WESTWARD, comm, &requests[6]);
    MPI_Isend(cell(block, 1, side), 1, column_type, east, EASTWARD, comm, &requests[7]);
    MPI_Waitall(8, requests, MPI_STATUSES_IGNORE);
}

static double average(double north, double south, double west, double east) {
    return 0.25 * ((north + south) + (west + east));
}

/* The same iteration on the whole grid, with its edge, by one rank. */
static double *solve_alone(long iterations) {
    long height = rows_of_ranks * side + 2, width = columns_of_ranks * side + 2;
    double *now = allocate((size_t)(height * width) * sizeof(double));
    double *next = allocate((size_t)(height * width) * sizeof(double));
    for (long r = 0; r < height; r++)
        for (long c = 0; c < width; c++) {
            int edge = r == 0 || c == 0 || r == height - 1 || c == width - 1;
            now[r * width + c] = next[r * width + c] = edge ? boundary(r, c) : 0.0;
        }
    for (long i = 0; i < iterations; i++) {
        for (long r = 1; r < height - 1; r++)
            for (long c = 1; c < width - 1; c++)
                next[r * width + c] =
                    average(now[(r - 1) * width + c], now[(r + 1) * width + c],
                            now[r * width + c - 1], now[r * width + c + 1]);
        double *swap = now;
        now = next;
        next = swap;
    }
    free(next);
    return now;
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long iterations = argument(argc, argv, 1, 60);
    side = argument(argc, argv, 2, 16);
    split_into_blocks();

    MPI_Datatype column_type;
    MPI_Type_vector((int)side, 1, (int)side + 2, MPI_DOUBLE, &column_type);
    MPI_Type_commit(&column_type);

    size_t bytes = (size_t)((side + 2) * (side + 2)) * sizeof(double);
    double *now = allocate(bytes), *next = allocate(bytes);
    long top = my_row * side, left = my_column * side;
    for (long r = 0; r < side + 2; r++)
        for (long c = 0; c < side + 2; c++) {
            int edge = (r == 0 && my_row == 0) || (r == side + 1 && my_row == rows_of_ranks - 1) ||
                       (c == 0 && my_column == 0) ||
                       (c == side + 1 && my_column == columns_of_ranks - 1);
            *cell(now, r, c) = *cell(next, r, c) = edge ? boundary(top + r, left + c) : 0.0;
        }

    double change = 0.0;
    for (long i = 0; i < iterations; i++) {
        exchange_halos(now, column_type);
        double mine = 0.0;
        for (long r = 1; r <= side; r++)
            for (long c = 1; c <= side; c++) {
                double value = average(*cell(now, r - 1, c), *cell(now, r + 1, c),
                                       *cell(now, r, c - 1), *cell(now, r, c + 1));
                double step = value - *cell(now, r, c);
                *cell(next, r, c) = value;
                if (step < 0) step = -step;
                if (step > mine) mine = step;
            }
        double *swap = now;
        now = next;
        next = swap;
        if (i % 10 == 9)
            MPI_Allreduce(&mine, &change, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    }

    double *whole = solve_alone(iterations);
    long width = columns_of_ranks * side + 2;
    double sum = 0.0;
    for (long r = 1; r <= side; r++)
        for (long c = 1; c <= side; c++) {
            double alone = whole[(top + r) * width + left + c];
            REQUIRE(*cell(now, r, c) == alone, "cell %ld,%ld: %a, alone %a", r, c,
                    *cell(now, r, c), alone);
            sum += alone;
        }
    say("result stencil iterations=%ld sum=%a change=%a", iterations, sum, change);

    free(whole);
    free(now);
    free(next);
    MPI_Type_free(&column_type);
    MPI_Finalize();
    return 0;
}
