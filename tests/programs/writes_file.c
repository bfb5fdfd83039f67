/* Every rank writes a file of its own from its beginning, line by line with
 * messages in between. A rank that runs anew writes the same lines again. A file
 * that cannot be opened before is none to warn of.
 *
 *   writes_file DIRECTORY [lines] */
#include "common.h"

int main(int argc, char **argv) {
    start(&argc, &argv);
    REQUIRE(argc > 1, "usage: writes_file DIRECTORY [lines]");
    long lines = argument(argc, argv, 2, 60);
    char path[4096];
    snprintf(path, sizeof path, "%s/rank-%d.txt", argv[1], rank);
    REQUIRE(fopen("/no/such/folder/file", "w") == NULL, "there is such a folder");
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL, "cannot open %s", path);

    uint64_t value = (uint64_t)rank + 1;
    for (long line = 0; line < lines; line++) {
        uint64_t sum;
        MPI_Allreduce(&value, &sum, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
        value = mix(value, sum);
        fprintf(file, "%ld %016" PRIx64 "\n", line, value);
        fflush(file);
    }
    fclose(file);
    say("result writes_file lines=%ld value=%016" PRIx64, lines, value);
    MPI_Finalize();
    return 0;
}
