/* What an MPI library costs, measured in plain MPI from inside: latency, bandwidth and rate between pairs of ranks, and
 * collectives. Prints lines of `KIND BYTES MEDIAN QUICK`, over batches: the median one, and the one that a tenth are quicker than,
 * which others on the machine disturb less. `..._us` is microseconds, `..._per_s` is per second.
 *
 *   compare [-p spread|packed|free] [-b BYTES] [-t MILLISECONDS] [-k KIND,...] SIZE...
 *
 *   -p  where ranks are put: `spread` puts neighbours on different processors, `packed` on the same one (the second pair of
 *       ranks on the second processor, and so on), `free` leaves them to the library and the system
 *   -b  how many bytes a rank may send for one measurement; a protocol that logs has to keep them
 *   -t  about how long one measurement may take
 *   -k  latency, rate, bandwidth, barrier, allreduce, alltoall; all where none is named
 *
 * Point-to-point partners are ranks 2i and 2i + 1; all pairs run at the same time. Rank 0's clock counts. */
#define _GNU_SOURCE
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW = 64, LARGE_WINDOW = 8, LARGE = 128 << 10, MOST_BATCHES = 25, LEAST_BATCHES = 5, MOST_IN_BATCH = 1 << 14 };

static int rank, ranks;
static double budget_bytes = 1 << 30, limit_s = 0.1;
static const char *kinds;
static char *outgoing, *incoming;

/* One thing to measure: does it `times` times with messages of that size. */
typedef void operation(long bytes, long times);

/* From the system itself: what the C library or MPI says is an input, which a protocol may have to log and wait for. What is to
 * be measured is messages. */
static double clock_s(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int partner(void) { return rank ^ 1; }

static void latency(long bytes, long times) {
    for (long i = 0; i < times; i++) {
        if (rank % 2 == 0) {
            MPI_Send(outgoing, (int)bytes, MPI_BYTE, partner(), 1, MPI_COMM_WORLD);
            MPI_Recv(incoming, (int)bytes, MPI_BYTE, partner(), 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        } else {
            MPI_Recv(incoming, (int)bytes, MPI_BYTE, partner(), 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            MPI_Send(outgoing, (int)bytes, MPI_BYTE, partner(), 1, MPI_COMM_WORLD);
        }
    }
}

static int window_of(long bytes) { return bytes < LARGE ? WINDOW : LARGE_WINDOW; }

/* Even ranks send windows of messages, odd ones answer each window with one byte. */
static void windows(long bytes, long times) {
    MPI_Request requests[WINDOW];
    int window = window_of(bytes);
    char token = 0;
    for (long i = 0; i < times; i++) {
        for (int w = 0; w < window; w++) {
            if (rank % 2 == 0)
                MPI_Isend(outgoing, (int)bytes, MPI_BYTE, partner(), 2, MPI_COMM_WORLD, &requests[w]);
            else
                MPI_Irecv(incoming, (int)bytes, MPI_BYTE, partner(), 2, MPI_COMM_WORLD, &requests[w]);
        }
        MPI_Waitall(window, requests, MPI_STATUSES_IGNORE);
        if (rank % 2 == 0)
            MPI_Recv(&token, 1, MPI_BYTE, partner(), 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        else
            MPI_Send(&token, 1, MPI_BYTE, partner(), 3, MPI_COMM_WORLD);
    }
}

static void barrier(long bytes, long times) {
    (void)bytes;
    for (long i = 0; i < times; i++) MPI_Barrier(MPI_COMM_WORLD);
}

static void allreduce(long bytes, long times) {
    for (long i = 0; i < times; i++)
        MPI_Allreduce(outgoing, incoming, (int)(bytes / (long)sizeof(double)), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}

/* `bytes` is what goes from each rank to each other. */
static void alltoall(long bytes, long times) {
    for (long i = 0; i < times; i++)
        MPI_Alltoall(outgoing, (int)bytes, MPI_BYTE, incoming, (int)bytes, MPI_BYTE, MPI_COMM_WORLD);
}

static double timed(operation *run, long bytes, long times) {
    double begun = clock_s();
    run(bytes, times);
    return clock_s() - begun;
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* How long one operation takes, in the median batch and in one of the quicker ones. */
typedef struct {
    double median_s, quick_s;
} cost;

/* Measures an operation that sends so many messages of that size. */
static cost measure(operation *run, long bytes, long messages) {
    long plan[2] = {0, 0}; /* how often in a batch, how many batches */
    double times[MOST_BATCHES];
    double affordable = budget_bytes / ((double)bytes * (double)messages);
    long doubled = 1;
    MPI_Barrier(MPI_COMM_WORLD);
    run(bytes, 1);
    affordable -= 1;
    /* How long one takes, from a sample that is long enough to tell, or that is all that can be afforded. */
    for (;; doubled *= 2) {
        double took = timed(run, bytes, doubled);
        affordable -= (double)doubled;
        if (rank == 0) {
            int enough = took > limit_s / 50 || doubled * 2 > MOST_IN_BATCH || affordable < (double)doubled * (2 + LEAST_BATCHES);
            double fit = limit_s / (took / (double)doubled);
            if (fit > affordable) fit = affordable;
            plan[0] = (long)(fit / MOST_BATCHES);
            if (plan[0] > MOST_IN_BATCH) plan[0] = MOST_IN_BATCH;
            if (plan[0] < 1) plan[0] = 1;
            plan[1] = (long)(fit / (double)plan[0]);
            if (plan[1] > MOST_BATCHES) plan[1] = MOST_BATCHES;
            if (plan[1] < LEAST_BATCHES) plan[1] = LEAST_BATCHES;
            if (!enough) plan[0] = 0;
        }
        MPI_Bcast(plan, 2, MPI_LONG, 0, MPI_COMM_WORLD);
        if (plan[0] != 0) break;
    }
    for (long batch = 0; batch < plan[1]; batch++) times[batch] = timed(run, bytes, plan[0]) / (double)plan[0];
    qsort(times, (size_t)plan[1], sizeof *times, by_value);
    return (cost){times[plan[1] / 2], times[plan[1] / 10]};
}

static int wanted(const char *kind) {
    size_t length = strlen(kind);
    for (const char *at = kinds; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, kind, length) == 0 && (at[length] == ',' || at[length] == 0)) return 1;
    return !kinds;
}

static void print(const char *kind, long bytes, double median, double quick) {
    if (rank == 0) {
        printf("%s %ld %.5g %.5g\n", kind, bytes, median, quick);
        fflush(stdout);
    }
}

/* A time, where `operations` of what is told were done each time. */
static void print_time(const char *kind, long bytes, int operations, cost took) {
    print(kind, bytes, took.median_s / operations * 1e6, took.quick_s / operations * 1e6);
}

/* So many per second of what was done `amount` times each time. */
static void print_rate(const char *kind, long bytes, double amount, cost took) {
    print(kind, bytes, amount / took.median_s, amount / took.quick_s);
}

/* Puts this rank where it is to run. After MPI_Init, so that no library binds it elsewhere afterwards. */
static void place(const char *how) {
    cpu_set_t all, one;
    int first[2] = {-1, -1};
    if (strcmp(how, "free") == 0) return;
    sched_getaffinity(0, sizeof all, &all);
    for (int cpu = 0, found = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
        if (CPU_ISSET(cpu, &all)) first[found++] = cpu;
    if (first[1] < 0) first[1] = first[0];
    CPU_ZERO(&one);
    CPU_SET(first[strcmp(how, "packed") == 0 ? rank / 2 % 2 : rank % 2], &one);
    sched_setaffinity(0, sizeof one, &one);
}

int main(int argc, char **argv) {
    const char *where = "free";
    long largest = 8;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (int option; (option = getopt(argc, argv, "p:b:t:k:")) != -1;) {
        switch (option) {
        case 'p': where = optarg; break;
        case 'b': budget_bytes = atof(optarg); break;
        case 't': limit_s = atof(optarg) / 1e3; break;
        case 'k': kinds = optarg; break;
        default: MPI_Abort(MPI_COMM_WORLD, 2);
        }
    }
    if (ranks % 2 != 0) MPI_Abort(MPI_COMM_WORLD, 2);
    place(where);
    for (int i = optind; i < argc; i++)
        if (atol(argv[i]) > largest) largest = atol(argv[i]);
    size_t room = (size_t)largest * (size_t)ranks;
    if (posix_memalign((void **)&outgoing, 4096, room) || posix_memalign((void **)&incoming, 4096, room))
        MPI_Abort(MPI_COMM_WORLD, 1);
    memset(outgoing, 0, room);
    memset(incoming, 0, room);

    if (wanted("barrier")) print_time("barrier_us", 0, 1, measure(barrier, 8, ranks));
    for (int i = optind; i < argc; i++) {
        long bytes = atol(argv[i]);
        if (wanted("latency")) print_time("latency_us", bytes, 2, measure(latency, bytes, 1));
        int window = window_of(bytes);
        if (bytes <= 8 ? wanted("rate") : wanted("bandwidth")) {
            cost took = measure(windows, bytes, window);
            if (bytes <= 8)
                print_rate("rate_per_s", bytes, window, took);
            else
                print_rate("bytes_per_s", bytes, (double)window * (double)bytes, took);
        }
        if (wanted("allreduce")) print_time("allreduce_us", bytes, 1, measure(allreduce, bytes, 2));
        if (wanted("alltoall") && bytes <= 1 << 20)
            print_time("alltoall_us", bytes, 1, measure(alltoall, bytes, ranks - 1));
    }
    free(outgoing);
    free(incoming);
    MPI_Finalize();
    return 0;
}
