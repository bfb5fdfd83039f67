/* A master hands out tasks in the order in which workers happen to ask: which
 * worker gets which task is a choice, the sum of all answers is not. Every
 * worker asks equally often. The master receives from MPI_ANY_SOURCE, every
 * third time by Probe first, and tells each worker which match it was.
 *
 *   workers [tasks per worker] */
#include "common.h"

enum { REQUEST = 1, TASK = 2 };

struct task {
    uint64_t number; /* also the master's match number */
    uint64_t state;  /* the master's state after that match */
};

static uint64_t answer_to(uint64_t task) { return mix(task, 42) % 1000003; }

static uint64_t next_request(struct note *notes, long turn, int *from) {
    MPI_Status status;
    int source = MPI_ANY_SOURCE;
    if (turn % 3 == 2) {
        int words;
        MPI_Probe(MPI_ANY_SOURCE, REQUEST, MPI_COMM_WORLD, &status);
        MPI_Get_count(&status, MPI_UINT64_T, &words);
        REQUIRE(words == 2 * NOTE_WORDS, "%d words from %d", words, status.MPI_SOURCE);
        source = status.MPI_SOURCE;
    }
    MPI_Recv(notes, 2 * NOTE_WORDS, MPI_UINT64_T, source, REQUEST, MPI_COMM_WORLD, &status);
    *from = status.MPI_SOURCE;
    return notes[1].value;
}

/* Requests carry {seq, worker's state} and {task answered before, its answer}. */
static void master(long per_worker) {
    uint64_t state = initial_state(), sum = 0;
    long turns = per_worker * (size - 1);
    for (long turn = 0; turn < turns; turn++) {
        struct note notes[2];
        int from;
        sum += next_request(notes, turn, &from);
        state = record_match(state, (uint64_t)turn, from, REQUEST, &notes[0]);
        struct task task = {(uint64_t)turn, state};
        MPI_Send(&task, 2, MPI_UINT64_T, from, TASK, MPI_COMM_WORLD);
    }
    for (int worker = 1; worker < size; worker++) {
        uint64_t last;
        MPI_Recv(&last, 1, MPI_UINT64_T, worker, TASK, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        sum += last;
    }
    uint64_t expected = 0;
    for (long task = 0; task < turns; task++) expected += answer_to((uint64_t)task);
    REQUIRE(sum == expected, "%" PRIu64 ", not %" PRIu64, sum, expected);
    say("result workers tasks=%ld sum=%" PRIu64, turns, sum);
}

static void worker(long per_worker) {
    uint64_t state = initial_state(), answer = 0;
    for (long seq = 0; seq < per_worker; seq++) {
        struct note notes[2] = {{(uint64_t)seq, state}, {0, answer}};
        struct task task;
        MPI_Send(notes, 2 * NOTE_WORDS, MPI_UINT64_T, 0, REQUEST, MPI_COMM_WORLD);
        MPI_Recv(&task, 2, MPI_UINT64_T, 0, TASK, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        record_told(0, REQUEST, &notes[0], task.number);
        answer = answer_to(task.number);
        state = mix(mix(state, task.number), task.state);
        pause_us((long)(task.number * (uint64_t)rank % 7) * 20);
    }
    MPI_Send(&answer, 1, MPI_UINT64_T, 0, TASK, MPI_COMM_WORLD);
    say("result workers asked=%ld", per_worker);
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    long per_worker = argument(argc, argv, 1, 40);
    if (rank == 0)
        master(per_worker);
    else
        worker(per_worker);
    /* Nobody leaves early: a schedule may want to kill a rank whose own work is done. */
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    return 0;
}
