/* Conjugate gradients on a 1-D Poisson problem split into strips: halo exchange
 * with the neighbours and two Allreduce of a sum per iteration. Checks the true
 * residual at the end. One legal result for a given library.
 *
 *   cg [unknowns per rank] */
#include "common.h"

static long n; /* my strip; vectors have a halo cell at either end */

static void exchange_halo(double *v) {
    int left = rank > 0 ? rank - 1 : MPI_PROC_NULL;
    int right = rank + 1 < size ? rank + 1 : MPI_PROC_NULL;
    MPI_Sendrecv(&v[n], 1, MPI_DOUBLE, right, 1, &v[0], 1, MPI_DOUBLE, left, 1, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
    MPI_Sendrecv(&v[1], 1, MPI_DOUBLE, left, 2, &v[n + 1], 1, MPI_DOUBLE, right, 2, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
}

/* out = A v, with A tridiagonal (-1, 2.05, -1) */
static void apply(double *v, double *out) {
    exchange_halo(v);
    for (long i = 1; i <= n; i++) out[i] = 2.05 * v[i] - v[i - 1] - v[i + 1];
}

static double dot(const double *a, const double *b) {
    double mine = 0.0, all;
    for (long i = 1; i <= n; i++) mine += a[i] * b[i];
    MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return all;
}

int main(int argc, char **argv) {
    start(&argc, &argv);
    n = argument(argc, argv, 1, 200);
    size_t bytes = (size_t)(n + 2) * sizeof(double);
    double *x = allocate(bytes), *b = allocate(bytes), *r = allocate(bytes);
    double *p = allocate(bytes), *ap = allocate(bytes);

    for (long i = 1; i <= n; i++) b[i] = r[i] = p[i] = 1.0 + (double)((rank * n + i) % 17);
    double rr = dot(r, r), target = rr * 1e-20;
    long iterations = 0;
    while (rr > target) {
        REQUIRE(iterations < 1000, "squared residual %g", rr);
        apply(p, ap);
        double alpha = rr / dot(p, ap);
        for (long i = 1; i <= n; i++) {
            x[i] += alpha * p[i];
            r[i] -= alpha * ap[i];
        }
        double next = dot(r, r);
        for (long i = 1; i <= n; i++) p[i] = r[i] + next / rr * p[i];
        rr = next;
        iterations++;
    }

    apply(x, ap);
    for (long i = 1; i <= n; i++) r[i] = b[i] - ap[i];
    double residual = dot(r, r) / dot(b, b);
    REQUIRE(residual < 1e-18, "relative squared residual %g", residual);
    say("result cg iterations=%ld residual=%a solution=%016" PRIx64, iterations, residual,
        hash_bytes(&x[1], (size_t)n * sizeof(double)));

    free(x), free(b), free(r), free(p), free(ap);
    MPI_Finalize();
    return 0;
}
