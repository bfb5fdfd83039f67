/* Several threads that call at once, each on a communicator of its own: messages around the ring by all kinds of calls that
 * wait, and collectives. In each round the threads of a rank depend on each other through another rank: one waits for what the
 * next rank sends only when another thread of this rank has told it to. Where less than MPI_THREAD_MULTIPLE is provided, the
 * main thread does the work of all, one after the other.
 *
 *   threads [threads [rounds]] */
#include "common.h"

#include <pthread.h>

enum { MOST = 8, GO = 1, ANSWER = 2, RING = 3 };

static int threads = 4, rounds = 50;
static MPI_Comm comms[MOST];
static int64_t sums[MOST];

/* A value in the way that this round takes. */
static int64_t around(MPI_Comm comm, int round, int64_t value) {
    int next = (rank + 1) % size, before = (rank + size - 1) % size, flag = 0, index, count, indices[2];
    int64_t got = 0;
    MPI_Request requests[2];
    MPI_Message message;
    MPI_Status status;
    switch (round % 7) {
    case 0:
        MPI_Isend(&value, 1, MPI_INT64_T, next, RING, comm, &requests[0]);
        MPI_Recv(&got, 1, MPI_INT64_T, before, RING, comm, MPI_STATUS_IGNORE);
        MPI_Wait(&requests[0], MPI_STATUS_IGNORE);
        break;
    case 1:
        MPI_Sendrecv(&value, 1, MPI_INT64_T, next, RING, &got, 1, MPI_INT64_T, MPI_ANY_SOURCE, RING, comm, &status);
        REQUIRE(status.MPI_SOURCE == before, "from %d", status.MPI_SOURCE);
        break;
    case 2:
        MPI_Irecv(&got, 1, MPI_INT64_T, before, RING, comm, &requests[0]);
        MPI_Issend(&value, 1, MPI_INT64_T, next, RING, comm, &requests[1]);
        MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
        break;
    case 3:
        MPI_Isend(&value, 1, MPI_INT64_T, next, RING, comm, &requests[0]);
        MPI_Irecv(&got, 1, MPI_INT64_T, before, RING, comm, &requests[1]);
        for (int left = 2; left > 0; left--) {
            MPI_Waitany(2, requests, &index, MPI_STATUS_IGNORE);
            REQUIRE(index == 0 || index == 1, "%d", index);
        }
        break;
    case 4:
        MPI_Isend(&value, 1, MPI_INT64_T, next, RING, comm, &requests[0]);
        MPI_Irecv(&got, 1, MPI_INT64_T, before, RING, comm, &requests[1]);
        for (int left = 2; left > 0; left -= count) {
            MPI_Waitsome(2, requests, &count, indices, MPI_STATUSES_IGNORE);
            REQUIRE(count > 0, "%d", count);
        }
        break;
    case 5:
        MPI_Send(&value, 1, MPI_INT64_T, next, RING, comm);
        MPI_Probe(MPI_ANY_SOURCE, RING, comm, &status);
        MPI_Recv(&got, 1, MPI_INT64_T, status.MPI_SOURCE, RING, comm, MPI_STATUS_IGNORE);
        break;
    default:
        MPI_Send(&value, 1, MPI_INT64_T, next, RING, comm);
        MPI_Mprobe(before, RING, comm, &message, &status);
        MPI_Imrecv(&got, 1, MPI_INT64_T, &message, &requests[0]);
        while (!flag) {
            MPI_Test(&requests[0], &flag, MPI_STATUS_IGNORE);
        }
        break;
    }
    return got;
}

static void collect(int thread, int round) {
    int64_t value = 1000 * thread + 10 * round + rank, sum = 0, all[16];
    sums[thread] += around(comms[thread], round, value);
    MPI_Allreduce(&value, &sum, 1, MPI_INT64_T, MPI_SUM, comms[thread]);
    REQUIRE(sum == (1000 * thread + 10 * round) * (int64_t)size + size * (size - 1) / 2, "%" PRId64, sum);
    MPI_Allgather(&value, 1, MPI_INT64_T, all, 1, MPI_INT64_T, comms[thread]);
    REQUIRE(all[size - 1] == value - rank + size - 1, "%" PRId64, all[size - 1]);
    MPI_Barrier(comms[thread]);
}

/* Even threads wait for an answer that the odd one behind them sets off, over the next rank and back. */
static void depend(int thread, int round) {
    int next = (rank + 1) % size, before = (rank + size - 1) % size, word = round;
    MPI_Comm comm = comms[thread / 2 * 2];
    if (thread % 2 == 0) {
        MPI_Recv(&word, 1, MPI_INT, before, ANSWER, comm, MPI_STATUS_IGNORE);
        REQUIRE(word == round, "%d", word);
    } else {
        MPI_Send(&word, 1, MPI_INT, before, GO, comm);
        MPI_Recv(&word, 1, MPI_INT, next, GO, comm, MPI_STATUS_IGNORE);
        MPI_Send(&word, 1, MPI_INT, next, ANSWER, comm);
    }
}

static void *work(void *argument) {
    int thread = (int)(intptr_t)argument;
    for (int round = 0; round < rounds; round++) {
        depend(thread, round);
        collect(thread, round);
    }
    return NULL;
}

int main(int argc, char **argv) {
    int provided;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    threads = argc > 1 ? atoi(argv[1]) : threads;
    rounds = argc > 2 ? atoi(argv[2]) : rounds;
    REQUIRE(threads % 2 == 0 && threads <= MOST && size <= 16, "%d threads", threads);
    for (int thread = 0; thread < threads; thread++) {
        MPI_Comm_dup(MPI_COMM_WORLD, &comms[thread]);
    }
    if (provided == MPI_THREAD_MULTIPLE) {
        pthread_t started[MOST];
        for (int thread = 0; thread < threads; thread++) {
            REQUIRE(pthread_create(&started[thread], NULL, work, (void *)(intptr_t)thread) == 0, "thread %d", thread);
        }
        for (int thread = 0; thread < threads; thread++) {
            pthread_join(started[thread], NULL);
        }
    } else {
        for (int round = 0; round < rounds; round++) {
            for (int thread = threads - 1; thread >= 0; thread--) {
                depend(thread, round);
            }
            for (int thread = 0; thread < threads; thread++) {
                collect(thread, round);
            }
        }
    }
    int64_t sum = 0;
    for (int thread = 0; thread < threads; thread++) {
        sum += sums[thread];
        MPI_Comm_free(&comms[thread]);
    }
    say("level %s", provided == MPI_THREAD_MULTIPLE ? "multiple" : provided == MPI_THREAD_SERIALIZED ? "serialized" : "less");
    say("result sum=%" PRId64, sum);
    MPI_Finalize();
    return 0;
}
