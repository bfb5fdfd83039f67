/* Derived types of every listed kind, all C types and operations, MINLOC and
 * MAXLOC, error handlers and strings, and the questions a program may ask of the
 * library. One legal result.
 *
 *   types [rounds] */
#include "common.h"
#include <stddef.h>

static long checks;

#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        REQUIRE(condition, __VA_ARGS__);                                                           \
        checks++;                                                                                  \
    } while (0)

/* Hands a buffer to the next rank as one type and receives the previous rank's as another. */
static void shift(const void *out, int out_count, MPI_Datatype out_type, void *in, int in_count,
                  MPI_Datatype in_type, MPI_Status *status) {
    MPI_Sendrecv(out, out_count, out_type, (rank + 1) % size, 1, in, in_count, in_type,
                 (rank + size - 1) % size, 1, MPI_COMM_WORLD, status);
}

static int previous(void) { return (rank + size - 1) % size; }

static void test_contiguous_and_vector(long round) {
    enum { ROWS = 5, COLUMNS = 7 };
    int grid[ROWS][COLUMNS], column[ROWS], back[ROWS][COLUMNS];
    MPI_Datatype column_type, three;
    MPI_Status status;
    int count;
    MPI_Type_vector(ROWS, 1, COLUMNS, MPI_INT, &column_type);
    MPI_Type_contiguous(3, MPI_INT, &three);
    MPI_Type_commit(&column_type);
    MPI_Type_commit(&three);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++) grid[r][c] = rank * 10000 + (int)round * 100 + r * 10 + c;

    shift(&grid[0][2], 1, column_type, column, ROWS, MPI_INT, &status);
    for (int r = 0; r < ROWS; r++)
        EXPECT(column[r] == previous() * 10000 + (int)round * 100 + r * 10 + 2, "row %d", r);

    memset(back, 0xFF, sizeof back);
    shift(column, ROWS, MPI_INT, &back[0][4], 1, column_type, &status);
    int before = (rank + 2 * size - 2) % size;
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
            EXPECT(back[r][c] == (c == 4 ? before * 10000 + (int)round * 100 + r * 10 + 2 : -1),
                   "%d,%d", r, c);
    MPI_Get_count(&status, column_type, &count);
    EXPECT(count == 1, "%d columns", count);
    MPI_Get_count(&status, MPI_INT, &count);
    EXPECT(count == ROWS, "%d numbers", count);
    MPI_Get_count(&status, three, &count);
    EXPECT(count == MPI_UNDEFINED, "%d threes", count);

    shift(grid, 4, three, back, 12, MPI_INT, &status);
    for (int i = 0; i < 12; i++)
        EXPECT(back[i / COLUMNS][i % COLUMNS] ==
                   previous() * 10000 + (int)round * 100 + i / COLUMNS * 10 + i % COLUMNS,
               "number %d", i);
    MPI_Type_free(&column_type);
    MPI_Type_free(&three);
}

static void test_indexed(long round) {
    double all[20], part[6];
    int lengths[3] = {1, 3, 2}, starts[3] = {4, 10, 1};
    static const int picked[6] = {4, 10, 11, 12, 1, 2};
    MPI_Datatype picks;
    MPI_Status status;
    MPI_Type_indexed(3, lengths, starts, MPI_DOUBLE, &picks);
    MPI_Type_commit(&picks);
    for (int i = 0; i < 20; i++) all[i] = rank + round * 0.5 + i * 0.125;
    shift(all, 1, picks, part, 6, MPI_DOUBLE, &status);
    for (int i = 0; i < 6; i++)
        EXPECT(part[i] == previous() + round * 0.5 + picked[i] * 0.125, "pick %d", i);
    MPI_Type_free(&picks);
}

struct particle {
    char kind;
    double position[3];
    int id;
    short flags[2];
};

static void test_struct(long round) {
    int lengths[4] = {1, 3, 1, 2};
    MPI_Aint starts[4] = {offsetof(struct particle, kind), offsetof(struct particle, position),
                          offsetof(struct particle, id), offsetof(struct particle, flags)};
    MPI_Datatype types[4] = {MPI_CHAR, MPI_DOUBLE, MPI_INT, MPI_SHORT};
    MPI_Datatype particle, pairs;
    MPI_Status status;
    MPI_Type_create_struct(4, lengths, starts, types, &particle);
    MPI_Type_vector(2, 1, 2, particle, &pairs);
    MPI_Type_commit(&particle);
    MPI_Type_commit(&pairs);

    struct particle out[4], in[4];
    memset(in, 0, sizeof in);
    for (int i = 0; i < 4; i++) {
        out[i] = (struct particle){(char)('a' + i), {i + 0.5, rank, (double)round}, rank * 4 + i,
                                   {(short)i, (short)-i}};
    }
    shift(out, 4, particle, in, 4, particle, &status);
    for (int i = 0; i < 4; i++)
        EXPECT(in[i].kind == 'a' + i && in[i].position[0] == i + 0.5 &&
                   in[i].position[1] == previous() && in[i].position[2] == (double)round &&
                   in[i].id == previous() * 4 + i && in[i].flags[0] == i && in[i].flags[1] == -i,
               "particle %d", i);

    memset(in, 0, sizeof in);
    shift(&out[1], 1, pairs, &in[0], 1, pairs, &status);
    EXPECT(in[0].id == previous() * 4 + 1 && in[2].id == previous() * 4 + 3, "a type in a type");
    EXPECT(in[1].id == 0 && in[1].kind == 0, "the gap was written");
    MPI_Type_free(&pairs);
    MPI_Type_free(&particle);
}

#define TEST_NUMBER_TYPE(ctype, mpitype)                                                           \
    do {                                                                                           \
        ctype mine = (ctype)(rank + 2), all = 0, wanted = 0;                                       \
        for (int r = 0; r < size; r++) wanted = (ctype)(wanted + (ctype)(r + 2));                  \
        MPI_Allreduce(&mine, &all, 1, mpitype, MPI_SUM, MPI_COMM_WORLD);                           \
        EXPECT(all == wanted, "sum of " #ctype);                                                   \
        MPI_Allreduce(&mine, &all, 1, mpitype, MPI_MAX, MPI_COMM_WORLD);                           \
        EXPECT(all == (ctype)(size + 1), "maximum of " #ctype);                                    \
        MPI_Allreduce(&mine, &all, 1, mpitype, MPI_MIN, MPI_COMM_WORLD);                           \
        EXPECT(all == (ctype)2, "minimum of " #ctype);                                             \
    } while (0)

static void test_number_types(void) {
    TEST_NUMBER_TYPE(signed char, MPI_SIGNED_CHAR);
    TEST_NUMBER_TYPE(unsigned char, MPI_UNSIGNED_CHAR);
    TEST_NUMBER_TYPE(short, MPI_SHORT);
    TEST_NUMBER_TYPE(unsigned short, MPI_UNSIGNED_SHORT);
    TEST_NUMBER_TYPE(int, MPI_INT);
    TEST_NUMBER_TYPE(unsigned, MPI_UNSIGNED);
    TEST_NUMBER_TYPE(long, MPI_LONG);
    TEST_NUMBER_TYPE(unsigned long, MPI_UNSIGNED_LONG);
    TEST_NUMBER_TYPE(long long, MPI_LONG_LONG_INT);
    TEST_NUMBER_TYPE(unsigned long long, MPI_UNSIGNED_LONG_LONG);
    TEST_NUMBER_TYPE(int8_t, MPI_INT8_T);
    TEST_NUMBER_TYPE(uint8_t, MPI_UINT8_T);
    TEST_NUMBER_TYPE(int16_t, MPI_INT16_T);
    TEST_NUMBER_TYPE(uint16_t, MPI_UINT16_T);
    TEST_NUMBER_TYPE(int32_t, MPI_INT32_T);
    TEST_NUMBER_TYPE(uint32_t, MPI_UINT32_T);
    TEST_NUMBER_TYPE(int64_t, MPI_INT64_T);
    TEST_NUMBER_TYPE(uint64_t, MPI_UINT64_T);
    TEST_NUMBER_TYPE(float, MPI_FLOAT);
    TEST_NUMBER_TYPE(double, MPI_DOUBLE);
    TEST_NUMBER_TYPE(long double, MPI_LONG_DOUBLE);
}

static void test_bits_and_truth(void) {
    unsigned mine = 1u << rank, or = 0, and = 0, xor = 0, wanted = (1u << size) - 1, kept = mine | 256u;
    MPI_Allreduce(&mine, & or, 1, MPI_UNSIGNED, MPI_BOR, MPI_COMM_WORLD);
    MPI_Allreduce(&kept, & and, 1, MPI_UNSIGNED, MPI_BAND, MPI_COMM_WORLD);
    MPI_Allreduce(&mine, & xor, 1, MPI_UNSIGNED, MPI_BXOR, MPI_COMM_WORLD);
    EXPECT(or == wanted && xor == wanted, "%x %x", or, xor);
    EXPECT(and == (size == 1 ? kept : 256u), "%x", and);

    int first = rank == 0, any, all, odd;
    MPI_Allreduce(&first, &any, 1, MPI_INT, MPI_LOR, MPI_COMM_WORLD);
    MPI_Allreduce(&first, &all, 1, MPI_INT, MPI_LAND, MPI_COMM_WORLD);
    MPI_Allreduce(&first, &odd, 1, MPI_INT, MPI_LXOR, MPI_COMM_WORLD);
    EXPECT(any && all == (size == 1) && odd, "%d %d %d", any, all, odd);

    unsigned char byte = (unsigned char)(0xF0 | rank), bytes = 0;
    MPI_Allreduce(&byte, &bytes, 1, MPI_BYTE, MPI_BOR, MPI_COMM_WORLD);
    EXPECT((bytes & 0xF0) == 0xF0, "%x", bytes);

    double factor = rank + 1, product = 0, wanted_product = 1;
    for (int r = 0; r < size; r++) wanted_product *= r + 1;
    MPI_Allreduce(&factor, &product, 1, MPI_DOUBLE, MPI_PROD, MPI_COMM_WORLD);
    EXPECT(product == wanted_product, "%g", product);
}

#define TEST_LOCATION(ctype, mpitype)                                                              \
    do {                                                                                           \
        struct {                                                                                   \
            ctype value;                                                                           \
            int where;                                                                             \
        } mine, least, most;                                                                       \
        mine.value = (ctype)((rank * 5 + 3) % size);                                               \
        mine.where = rank;                                                                         \
        MPI_Allreduce(&mine, &least, 1, mpitype, MPI_MINLOC, MPI_COMM_WORLD);                      \
        MPI_Allreduce(&mine, &most, 1, mpitype, MPI_MAXLOC, MPI_COMM_WORLD);                       \
        int low = 0, high = 0;                                                                     \
        for (int r = 1; r < size; r++) {                                                           \
            if ((r * 5 + 3) % size < (low * 5 + 3) % size) low = r;                                \
            if ((r * 5 + 3) % size > (high * 5 + 3) % size) high = r;                              \
        }                                                                                          \
        EXPECT(least.where == low && least.value == (ctype)((low * 5 + 3) % size), #mpitype);      \
        EXPECT(most.where == high && most.value == (ctype)((high * 5 + 3) % size), #mpitype);      \
        mine.value = 1;                                                                            \
        MPI_Allreduce(&mine, &least, 1, mpitype, MPI_MINLOC, MPI_COMM_WORLD);                      \
        EXPECT(least.where == 0, "of equals the lowest rank");                                     \
    } while (0)

static void test_locations(void) {
    TEST_LOCATION(int, MPI_2INT);
    TEST_LOCATION(short, MPI_SHORT_INT);
    TEST_LOCATION(long, MPI_LONG_INT);
    TEST_LOCATION(float, MPI_FLOAT_INT);
    TEST_LOCATION(double, MPI_DOUBLE_INT);
    TEST_LOCATION(long double, MPI_LONG_DOUBLE_INT);
}

static int handled_class;

static void handle(MPI_Comm *comm, int *code, ...) {
    (void)comm;
    MPI_Error_class(*code, &handled_class);
}

static void test_errors(void) {
    MPI_Comm comm;
    MPI_Errhandler handler;
    char text[MPI_MAX_ERROR_STRING];
    int code, class, length, word = 0, three[3] = {1, 2, 3};
    MPI_Status status;

    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    code = MPI_Send(&word, 1, MPI_INT, size + 5, 0, comm);
    MPI_Error_class(code, &class);
    EXPECT(class == MPI_ERR_RANK, "class %d", class);
    MPI_Error_string(code, text, &length);
    EXPECT(length > 0 && strlen(text) == (size_t)length, "text of %d", length);
    code = MPI_Send(&word, -1, MPI_INT, 0, 0, comm);
    MPI_Error_class(code, &class);
    EXPECT(class == MPI_ERR_COUNT, "class %d", class);
    code = MPI_Send(&word, 1, MPI_INT, 0, -77, comm);
    MPI_Error_class(code, &class);
    EXPECT(class == MPI_ERR_TAG, "class %d", class);
    code = MPI_Bcast(&word, 1, MPI_INT, size, comm);
    MPI_Error_class(code, &class);
    EXPECT(class == MPI_ERR_ROOT, "class %d", class);

    MPI_Request request;
    MPI_Isend(three, 3, MPI_INT, (rank + 1) % size, 0, comm, &request);
    code = MPI_Recv(&word, 1, MPI_INT, previous(), 0, comm, &status);
    MPI_Error_class(code, &class);
    EXPECT(class == MPI_ERR_TRUNCATE, "class %d", class);
    MPI_Wait(&request, MPI_STATUS_IGNORE);

    MPI_Comm_create_errhandler(handle, &handler);
    MPI_Comm_set_errhandler(comm, handler);
    MPI_Errhandler_free(&handler);
    handled_class = -1;
    MPI_Send(&word, 1, MPI_INT, size + 5, 0, comm);
    EXPECT(handled_class == MPI_ERR_RANK, "handled %d", handled_class);
    MPI_Comm_free(&comm);
}

static void test_queries(void) {
    int major = 0, minor = -1, length = 0, flag = 0, value, compared;
    char name[MPI_MAX_PROCESSOR_NAME], version[MPI_MAX_LIBRARY_VERSION_STRING];
    MPI_Get_version(&major, &minor);
    EXPECT(major >= 3 && minor >= 0, "version %d.%d", major, minor);
    MPI_Get_library_version(version, &length);
    EXPECT(length > 0 && strlen(version) > 0, "library version of %d", length);
    MPI_Get_processor_name(name, &length);
    EXPECT(length > 0 && strlen(name) == (size_t)length, "name of %d", length);
    MPI_Initialized(&flag);
    EXPECT(flag, "initialized");
    MPI_Finalized(&flag);
    EXPECT(!flag, "finalized");
    double before = MPI_Wtime(), after = MPI_Wtime();
    EXPECT(after >= before && MPI_Wtick() > 0.0, "%f then %f", before, after);
    MPI_Comm_rank(MPI_COMM_SELF, &value);
    EXPECT(value == 0, "rank %d of myself", value);
    MPI_Comm_compare(MPI_COMM_WORLD, MPI_COMM_SELF, &compared);
    EXPECT(compared == (size == 1 ? MPI_CONGRUENT : MPI_UNEQUAL), "%d", compared);
}

/* Null processes, self-sends, and a request that is freed before it completes. */
static void test_odd_partners(void) {
    MPI_Status status;
    MPI_Request request;
    int out = rank, in = -1, count;
    MPI_Recv(&in, 1, MPI_INT, MPI_PROC_NULL, 5, MPI_COMM_WORLD, &status);
    MPI_Get_count(&status, MPI_INT, &count);
    EXPECT(in == -1 && status.MPI_SOURCE == MPI_PROC_NULL && count == 0, "null process");
    MPI_Send(&out, 1, MPI_INT, MPI_PROC_NULL, 5, MPI_COMM_WORLD);

    MPI_Irecv(&in, 1, MPI_INT, rank, 6, MPI_COMM_WORLD, &request);
    MPI_Send(&out, 1, MPI_INT, rank, 6, MPI_COMM_WORLD);
    MPI_Wait(&request, &status);
    EXPECT(in == rank && status.MPI_SOURCE == rank, "self");

    static int kept;
    kept = rank * 3;
    MPI_Isend(&kept, 1, MPI_INT, (rank + 1) % size, 7, MPI_COMM_WORLD, &request);
    MPI_Request_free(&request);
    EXPECT(request == MPI_REQUEST_NULL, "freed");
    MPI_Recv(&in, 1, MPI_INT, previous(), 7, MPI_COMM_WORLD, &status);
    EXPECT(in == previous() * 3, "freed request delivered %d", in);
    MPI_Barrier(MPI_COMM_WORLD);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 2);
    REQUIRE(size <= 8, "%d ranks do not fit a byte", size);
    for (long round = 0; round < rounds; round++) {
        test_contiguous_and_vector(round);
        test_indexed(round);
        test_struct(round);
        test_number_types();
        test_bits_and_truth();
        test_locations();
        test_errors();
        test_queries();
        test_odd_partners();
        say("result types round=%ld checks=%ld", round, checks);
    }
    MPI_Finalize();
    return 0;
}
