/* Datatypes of parts of arrays, taken apart and made anew from their contents, packed for other
 * machines, with names and attributes; a matrix goes round in all of these. One legal result.
 *
 *   arrays [rounds] */
#include "common.h"

enum { ROWS = 6, COLUMNS = 8 };

static uint64_t state;
static int matrix[ROWS][COLUMNS];

/* The same type, made of what the old one says that it is made of. */
static MPI_Datatype remade(MPI_Datatype old) {
    int integers, addresses, types, combiner, values[64];
    MPI_Aint places[8];
    MPI_Datatype parts[8], made;
    MPI_Type_get_envelope(old, &integers, &addresses, &types, &combiner);
    REQUIRE(combiner == MPI_COMBINER_SUBARRAY || combiner == MPI_COMBINER_DARRAY, "combiner %d", combiner);
    MPI_Type_get_contents(old, integers, addresses, types, values, places, parts);
    if (combiner == MPI_COMBINER_SUBARRAY) {
        int n = values[0];
        MPI_Type_create_subarray(n, values + 1, values + 1 + n, values + 1 + 2 * n, values[1 + 3 * n],
                                 parts[0], &made);
    } else {
        int n = values[2];
        int *at = values + 3;
        MPI_Type_create_darray(values[0], values[1], n, at, at + n, at + 2 * n, at + 3 * n, at[4 * n],
                               parts[0], &made);
    }
    MPI_Type_commit(&made);
    return made;
}

static MPI_Datatype part_of_matrix(long round) {
    int sizes[2] = {ROWS, COLUMNS};
    MPI_Datatype type;
    if (round % 2 == 0) {
        int subsizes[2] = {2, 3}, starts[2] = {(int)(round % 4), (int)(round % 5)};
        MPI_Type_create_subarray(2, sizes, subsizes, starts, MPI_ORDER_C, MPI_INT, &type);
    } else {
        int deals[2] = {MPI_DISTRIBUTE_CYCLIC, MPI_DISTRIBUTE_BLOCK};
        int arguments[2] = {2, MPI_DISTRIBUTE_DFLT_DARG}, grid[2] = {1, size};
        MPI_Type_create_darray(size, rank, 2, sizes, deals, arguments, grid, MPI_ORDER_C, MPI_INT, &type);
    }
    MPI_Type_commit(&type);
    return type;
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 20);
    int above = (rank + 1) % size, below = (rank + size - 1) % size, keyval, flag;
    state = initial_state();
    MPI_Type_create_keyval(MPI_TYPE_DUP_FN, MPI_TYPE_NULL_DELETE_FN, &keyval, NULL);
    for (int i = 0; i < ROWS * COLUMNS; i++) matrix[i / COLUMNS][i % COLUMNS] = 1000 * rank + i;
    for (long round = 0; round < rounds; round++) {
        MPI_Datatype type = part_of_matrix(round), again = remade(type), copy;
        MPI_Type_set_attr(again, keyval, (void *)(intptr_t)(round + 1));
        MPI_Type_set_name(again, "a part");
        MPI_Type_dup(again, &copy);
        void *cached;
        MPI_Type_get_attr(copy, keyval, &cached, &flag);
        REQUIRE(flag && (intptr_t)cached == round + 1, "the attribute of a duplicate");

        /* One process sends a part, the other receives it packed for any machine. */
        int elements, bytes;
        MPI_Type_size(type, &bytes);
        elements = bytes / (int)sizeof(int);
        int *plain = allocate((size_t)bytes);
        MPI_Aint room, position = 0;
        MPI_Pack_external_size("external32", 1, copy, &room);
        char *packed = allocate((size_t)room);
        MPI_Pack_external("external32", &matrix[0][0], 1, copy, packed, room, &position);
        int sent = (int)position, came;
        MPI_Status status;
        char *from_below = allocate(4096);
        MPI_Sendrecv(packed, sent, MPI_PACKED, above, 1, from_below, 4096, MPI_PACKED, below, 1,
                     MPI_COMM_WORLD, &status);
        MPI_Get_count(&status, MPI_PACKED, &came);
        position = 0;
        int *theirs = allocate((size_t)came);
        MPI_Unpack_external("external32", from_below, came, &position, theirs, came / 4, MPI_INT);
        state = mix(state, hash_bytes(theirs, (size_t)came));

        /* Back into the same part, by a message of the type itself. */
        for (int i = 0; i < elements; i++) plain[i] = (int)(state >> 33) + i;
        MPI_Sendrecv(plain, elements, MPI_INT, rank, 2, &matrix[0][0], 1, again, rank, 2, MPI_COMM_WORLD,
                     MPI_STATUS_IGNORE);
        state = mix(state, hash_bytes(matrix, sizeof matrix));
        say("result round=%ld state=%016" PRIx64, round, state);
        free(plain), free(packed), free(from_below), free(theirs);
        MPI_Type_free(&copy);
        MPI_Type_free(&again);
        MPI_Type_free(&type);
    }
    MPI_Type_free_keyval(&keyval);
    MPI_Finalize();
    return 0;
}
