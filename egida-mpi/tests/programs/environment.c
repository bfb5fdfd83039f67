/* Beginning and end, communicators, groups, names, clocks, reads from outside. */
#include "check.h"
#include <sys/random.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void communicators(void) {
    int size, rank, result, flag, length, *bound;
    char name[MPI_MAX_OBJECT_NAME];
    MPI_Comm dup, part, none;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    CHECK(size == 1 && rank == 0);
    MPI_Comm_get_name(MPI_COMM_WORLD, name, &length);
    CHECK(!strcmp(name, "MPI_COMM_WORLD") && length == 14);
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &bound, &flag);
    CHECK(flag && *bound >= 32767);
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_UNIVERSE_SIZE, &bound, &flag);
    CHECK(flag && *bound == 1);

    MPI_Comm_dup(MPI_COMM_WORLD, &dup);
    MPI_Comm_compare(MPI_COMM_WORLD, dup, &result);
    CHECK(result == MPI_CONGRUENT);
    MPI_Comm_set_name(dup, "twin");
    MPI_Comm_get_name(dup, name, &length);
    CHECK(!strcmp(name, "twin"));
    CHECK(MPI_Comm_fromint(MPI_Comm_toint(dup)) == dup && MPI_Comm_f2c(MPI_Comm_c2f(dup)) == dup);

    /* Messages of one communicator are not seen in another. */
    int out = 1, in = 0;
    MPI_Send(&out, 1, MPI_INT, 0, 0, dup);
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
    CHECK(!flag);
    MPI_Recv(&in, 1, MPI_INT, 0, 0, dup, MPI_STATUS_IGNORE);
    CHECK(in == 1);

    MPI_Comm_split(MPI_COMM_WORLD, 3, 0, &part);
    MPI_Comm_split(MPI_COMM_WORLD, MPI_UNDEFINED, 0, &none);
    MPI_Comm_size(part, &size);
    CHECK(size == 1 && none == MPI_COMM_NULL);
    MPI_Comm_free(&part);
    MPI_Comm_free(&dup);
    CHECK(dup == MPI_COMM_NULL);
}

static void duplicates_and_parts(void) {
    MPI_Comm later, part;
    MPI_Request request;
    MPI_Errhandler handler;
    MPI_Info where;
    int result, place, flag;
    /* The error handler of a communicator that is still to come. */
    MPI_Comm_idup(MPI_COMM_WORLD, &later, &request);
    MPI_Comm_set_errhandler(later, MPI_ERRORS_RETURN);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    MPI_Comm_get_errhandler(later, &handler);
    CHECK(handler == MPI_ERRORS_RETURN);
    CHECK(MPI_Cart_map(later, 2, (int[]){2, 0}, (int[]){0, 0}, &place) == MPI_SUCCESS && place == MPI_UNDEFINED);
    MPI_Comm_free(&later);

    MPI_Info_create(&where);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_HW_GUIDED, 0, where, &part);
    CHECK(part == MPI_COMM_NULL);
    MPI_Info_set(where, "mpi_hw_resource_type", "mpi_shared_memory");
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_HW_GUIDED, 0, where, &part);
    MPI_Comm_compare(part, MPI_COMM_WORLD, &result);
    CHECK(result == MPI_CONGRUENT);
    MPI_Comm_free(&part);
    MPI_Info_free(&where);

    char text[8];
    MPI_Abi_get_info(&where);
    MPI_Info_get(where, "mpi_aint_size", 7, text, &flag);
    CHECK(flag && !strcmp(text, "8"));
    MPI_Info_free(&where);
    MPI_Abi_get_fortran_info(&where);
    MPI_Info_get(where, "mpi_real16_supported", 7, text, &flag);
    CHECK(flag && !strcmp(text, "true"));
    MPI_Info_free(&where);
    CHECK(MPI_Abi_set_fortran_info(MPI_INFO_NULL) == MPI_ERR_ABI);
}

/* Absolute addresses, and an extent that a stride makes odd. */
static void places(void) {
    int from[2] = {7, 8}, to[2] = {0, 0}, one = 1, zero = 0;
    MPI_Aint lower, extent, address;
    MPI_Datatype types[2], odd;
    for (int i = 0; i < 2; i++) {
        MPI_Get_address(i ? to : from, &address);
        MPI_Type_create_hindexed(1, (int[]){2}, &address, MPI_INT, &types[i]);
        MPI_Type_commit(&types[i]);
    }
    MPI_Alltoallw(MPI_BOTTOM, &one, &zero, &types[0], MPI_BOTTOM, &one, &zero, &types[1], MPI_COMM_WORLD);
    CHECK(to[0] == 7 && to[1] == 8);
    MPI_Type_free(&types[0]);
    MPI_Type_free(&types[1]);
    MPI_Type_create_hvector(2, 3, 17, MPI_INT, &odd);
    MPI_Type_get_extent(odd, &lower, &extent);
    CHECK(lower == 0 && extent == 29);
    MPI_Type_free(&odd);
}

static void groups(void) {
    MPI_Group world, same, empty;
    MPI_Comm comm;
    int size, rank, result;
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    MPI_Group_size(world, &size);
    MPI_Group_rank(world, &rank);
    CHECK(size == 1 && rank == 0);
    MPI_Group_incl(world, 1, &(int){0}, &same);
    MPI_Group_compare(world, same, &result);
    CHECK(result == MPI_IDENT);
    MPI_Group_difference(world, same, &empty);
    CHECK(empty == MPI_GROUP_EMPTY);
    MPI_Group_translate_ranks(world, 1, &(int){0}, empty, &rank);
    CHECK(rank == MPI_UNDEFINED);
    MPI_Comm_create(MPI_COMM_WORLD, same, &comm);
    CHECK(comm != MPI_COMM_NULL);
    MPI_Comm_free(&comm);
    MPI_Comm_create(MPI_COMM_WORLD, MPI_GROUP_EMPTY, &comm);
    CHECK(comm == MPI_COMM_NULL);
    MPI_Group_free(&same);
    MPI_Group_free(&world);
    CHECK(world == MPI_GROUP_NULL);
}

static void outside(void) {
    char name[MPI_MAX_PROCESSOR_NAME], host[256], random[32] = {0}, zeros[32] = {0};
    struct timeval day;
    struct timespec clock;
    time_t now = time(NULL), stored;
    int length;
    double begin = MPI_Wtime();
    CHECK(MPI_Wtime() >= begin && MPI_Wtick() > 0 && MPI_Wtick() < 1);
    CHECK(gettimeofday(&day, NULL) == 0 && labs((long)(day.tv_sec - now)) <= 1);
    CHECK(clock_gettime(CLOCK_REALTIME, &clock) == 0 && labs((long)(clock.tv_sec - now)) <= 1);
    CHECK(time(&stored) == stored && stored >= now);
    CHECK(getrandom(random, sizeof random, 0) == sizeof random && memcmp(random, zeros, 32));
    CHECK(getentropy(random, sizeof random) == 0);
    CHECK(gethostname(host, sizeof host) == 0);
    MPI_Get_processor_name(name, &length);
    CHECK(length > 0 && !strcmp(name, host));
    FILE *file = fopen("/dev/null", "w");
    CHECK(file && fprintf(file, "x") == 1 && fclose(file) == 0);
}

int main(int argc, char **argv) {
    int flag, provided, version, subversion;
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    void *memory;
    MPI_Initialized(&flag);
    CHECK(!flag);
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    CHECK(provided == MPI_THREAD_MULTIPLE);
    MPI_Query_thread(&provided);
    MPI_Is_thread_main(&flag);
    CHECK(flag && provided == MPI_THREAD_MULTIPLE);
    MPI_Get_version(&version, &subversion);
    CHECK(version == MPI_VERSION && subversion == MPI_SUBVERSION);
    MPI_Get_library_version(text, &version);
    CHECK(strstr(text, "Egida"));
    MPI_Alloc_mem(100, MPI_INFO_NULL, &memory);
    memset(memory, 1, 100);
    MPI_Free_mem(memory);
    MPI_Pcontrol(1, 2, 3);
    outside();
    communicators();
    duplicates_and_parts();
    places();
    groups();
    MPI_Finalized(&flag);
    CHECK(!flag);
    MPI_Finalize();
    MPI_Finalized(&flag);
    CHECK(flag);
    puts("good");
    return 0;
}
