/* What every test program shares: starting, arguments, checks, and the lines
 * that the harness reads.
 *
 * Every line on standard output is "RANK: words key=value ...", written by one
 * flush, so that the harness can sort the lines of a job by rank and compare
 * each rank's lines in order. These words have a meaning for the oracles:
 *
 *   result ...                            one legal value: equal in every run
 *   match n= from= seq= tag= value= state=  my n-th match, and my state after it
 *   told to= seq= tag= value= n=          TO says it matched my message as its n-th
 *   gave to= seq= value=                  I sent this value
 *   got from= seq= value=                 I received this value
 *   outcome round= kind= fails= order= state=  what polling answered
 *   clock now=                            a reading that never runs backwards
 */
#ifndef EGIDA_TEST_COMMON_H
#define EGIDA_TEST_COMMON_H

#define _GNU_SOURCE
#include <inttypes.h>
#include <mpi.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int rank, size;

static inline void start(int *argc, char ***argv) {
    MPI_Init(argc, argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    static char lines[1 << 16]; /* glibc writes piecemeal if it is to find the memory itself */
    setvbuf(stdout, lines, _IOFBF, sizeof lines);
}

/* One line of standard output, in one write. */
__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...) {
    va_list args;
    printf("%d: ", rank);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

/* A wrong value ends the job with code 3 and names the place. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%d: %s:%d: `%s` does not hold: ", rank, __FILE__, __LINE__,           \
                    #condition);                                                                   \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            MPI_Abort(MPI_COMM_WORLD, 3);                                                          \
        }                                                                                          \
    } while (0)

/* The index-th argument as a number, or its default. */
static inline long argument(int argc, char **argv, int index, long otherwise) {
    return index < argc ? strtol(argv[index], NULL, 10) : otherwise;
}

static inline void *allocate(size_t bytes) {
    void *memory = calloc(bytes ? bytes : 1, 1);
    REQUIRE(memory != NULL, "%zu bytes", bytes);
    return memory;
}

/* Folds a value into a state; the oracles compute the same. */
static inline uint64_t mix(uint64_t state, uint64_t value) {
    state = (state ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return state ^ (state >> 29);
}

static inline uint64_t initial_state(void) { return mix(0, (uint64_t)rank + 1); }

static inline uint64_t hash_bytes(const void *bytes, size_t count) {
    const unsigned char *at = bytes;
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < count; i++) hash = (hash ^ at[i]) * UINT64_C(0x100000001B3);
    return hash;
}

/* Lets time pass without asking for it. */
static inline void pause_us(long microseconds) {
    struct timespec span = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&span, NULL);
}

/* What a message says in the order-dependent programs. */
struct note {
    uint64_t seq;
    uint64_t value;
};

#define NOTE_WORDS ((int)(sizeof(struct note) / sizeof(uint64_t)))

/* Folds a match into the state and prints the receiver's side of it. */
static inline uint64_t record_match(uint64_t state, uint64_t n, int from, int tag,
                                    const struct note *note) {
    state = mix(mix(mix(mix(mix(state, n), (uint64_t)from), note->seq), (uint64_t)tag), note->value);
    say("match n=%" PRIu64 " from=%d seq=%" PRIu64 " tag=%d value=%016" PRIx64 " state=%016" PRIx64, n,
        from, note->seq, tag, note->value, state);
    return state;
}

/* Prints the sender's side of a match. */
static inline void record_told(int to, int tag, const struct note *note, uint64_t n) {
    say("told to=%d seq=%" PRIu64 " tag=%d value=%016" PRIx64 " n=%" PRIu64, to, note->seq, tag,
        note->value, n);
}

#endif
