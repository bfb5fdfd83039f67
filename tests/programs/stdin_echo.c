/* Rank 0 reads standard input line by line; each line goes to all ranks, and all
 * print what they got and agree on a sum. One legal result for a given input.
 *
 *   stdin_echo */
#include "common.h"

enum { LONGEST = 256 };

int main(int argc, char **argv) {
    start(&argc, &argv);
    uint64_t state = initial_state();
    for (long line = 0;; line++) {
        char text[LONGEST] = "";
        int length = -1;
        if (rank == 0 && fgets(text, LONGEST, stdin)) {
            text[strcspn(text, "\n")] = '\0';
            length = (int)strlen(text);
        }
        MPI_Bcast(&length, 1, MPI_INT, 0, MPI_COMM_WORLD);
        if (length < 0) {
            say("result stdin_echo lines=%ld state=%016" PRIx64, line, state);
            break;
        }
        MPI_Bcast(text, length, MPI_CHAR, 0, MPI_COMM_WORLD);
        state = mix(state, hash_bytes(text, (size_t)length));
        /* Every rank both sends and receives, whatever line it is. */
        uint64_t sum = 0;
        MPI_Allreduce(&state, &sum, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
        state = mix(state, sum);
        say("result stdin_echo line=%ld text=%.*s", line, length, text);
    }
    MPI_Finalize();
    return 0;
}
