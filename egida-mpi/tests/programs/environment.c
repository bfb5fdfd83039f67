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
    CHECK(provided == MPI_THREAD_SERIALIZED);
    MPI_Query_thread(&provided);
    MPI_Is_thread_main(&flag);
    CHECK(flag && provided == MPI_THREAD_SERIALIZED);
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
    groups();
    MPI_Finalized(&flag);
    CHECK(!flag);
    MPI_Finalize();
    MPI_Finalized(&flag);
    CHECK(flag);
    puts("good");
    return 0;
}
