/* Files: every rank writes its parts of one file, by its own positions, by the shared one, in
 * order and through views, and what it reads of the others' parts decides what it writes next.
 * In the end the file is what it is to be, though ranks were executed again. One legal result.
 *
 *   files [rounds] */
#include "common.h"

enum { WORDS = 4, MOST = 16 };

static uint64_t state;

static void through_a_view(MPI_File file, long round) {
    /* Each rank sees every size-th group of words. */
    MPI_Datatype block, view;
    MPI_Type_contiguous(WORDS, MPI_UINT64_T, &block);
    MPI_Type_create_resized(block, 0, (MPI_Aint)size * WORDS * 8, &view);
    MPI_Type_commit(&view);
    MPI_File_set_view(file, (MPI_Offset)rank * WORDS * 8, MPI_UINT64_T, view, "native", MPI_INFO_NULL);
    uint64_t words[WORDS];
    for (int i = 0; i < WORDS; i++) words[i] = mix(state, (uint64_t)i);
    MPI_File_write_at_all(file, round * WORDS, words, WORDS, MPI_UINT64_T, MPI_STATUS_IGNORE);
    MPI_File_sync(file);
    MPI_File_set_view(file, 0, MPI_UINT64_T, MPI_UINT64_T, "native", MPI_INFO_NULL);
    MPI_Type_free(&view);
    MPI_Type_free(&block);

    uint64_t all[MOST * WORDS];
    MPI_Status status;
    MPI_Request request;
    int count;
    MPI_File_iread_at(file, round * size * WORDS, all, size * WORDS, MPI_UINT64_T, &request);
    MPI_Wait(&request, &status);
    MPI_Get_count(&status, MPI_UINT64_T, &count);
    REQUIRE(count == size * WORDS, "%d words", count);
    REQUIRE(!memcmp(all + rank * WORDS, words, sizeof words), "my part");
    state = mix(state, hash_bytes(all, (size_t)count * 8));
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long rounds = argument(argc, argv, 1, 8);
    REQUIRE(size <= MOST, "%d ranks", size);
    state = initial_state();
    char name[64] = "";
    if (rank == 0) {
        /* A name of its own, and the same when it is executed again: a clock's answers are. */
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(name, sizeof name, "/tmp/egida-files-%lld-%ld", (long long)now.tv_sec, now.tv_nsec);
    }
    MPI_Bcast(name, sizeof name, MPI_CHAR, 0, MPI_COMM_WORLD);
    MPI_File file, lines;
    MPI_File_open(MPI_COMM_WORLD, name, MPI_MODE_RDWR | MPI_MODE_CREATE | MPI_MODE_DELETE_ON_CLOSE,
                  MPI_INFO_NULL, &file);
    strcat(name, ".lines");
    MPI_File_open(MPI_COMM_WORLD, name, MPI_MODE_RDWR | MPI_MODE_CREATE | MPI_MODE_DELETE_ON_CLOSE,
                  MPI_INFO_NULL, &lines);
    MPI_File_set_view(lines, 0, MPI_UINT64_T, MPI_UINT64_T, "native", MPI_INFO_NULL);
    for (long round = 0; round < rounds; round++) {
        through_a_view(file, round);
        uint64_t mine = (uint64_t)(round * size + rank);
        MPI_File_write_ordered(lines, &mine, 1, MPI_UINT64_T, MPI_STATUS_IGNORE);
        mine += 1000000;
        MPI_File_write_shared(lines, &mine, 1, MPI_UINT64_T, MPI_STATUS_IGNORE);
        MPI_Barrier(MPI_COMM_WORLD);
        say("result round=%ld state=%016" PRIx64, round, state);
    }
    /* Those in order are in order; the others are all there, once, between them. */
    MPI_Offset bytes;
    MPI_File_get_size(lines, &bytes);
    REQUIRE(bytes == rounds * size * 2 * 8, "%lld bytes", (long long)bytes);
    uint64_t sum = 0, word, next = 0;
    MPI_File_seek(lines, 0, MPI_SEEK_SET);
    for (long i = 0; i < rounds * size * 2; i++) {
        MPI_File_read(lines, &word, 1, MPI_UINT64_T, MPI_STATUS_IGNORE);
        if (word >= 1000000) {
            sum += word - 1000000;
        } else {
            REQUIRE(word == next, "word %ld is %" PRIu64, i, word);
            next++;
        }
    }
    uint64_t all = (uint64_t)(rounds * size);
    REQUIRE(next == all && sum == all * (all - 1) / 2, "%" PRIu64 " in order, sum %" PRIu64, next, sum);
    MPI_File_close(&lines);
    MPI_File_close(&file);
    say("result files rounds=%ld", rounds);
    MPI_Finalize();
    return 0;
}
