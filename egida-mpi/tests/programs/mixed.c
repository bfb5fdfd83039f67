/* The part of mixed.f90 that is in C. */
#include <mpi.h>

/* How many the status tells of; the tag counts one more afterwards. */
int count_in_c_(MPI_Fint *status, const MPI_Fint *datatype) {
    MPI_Status in_c;
    MPI_F08_status in_f08;
    int count;
    MPI_Status_f2c(status, &in_c);
    MPI_Get_count(&in_c, MPI_Type_f2c(*datatype), &count);
    in_c.MPI_TAG++;
    MPI_Status_c2f08(&in_c, &in_f08);
    MPI_Status_f082f(&in_f08, status);
    return count;
}

int is_ignored_in_c_(const MPI_Fint *status, const MPI_Fint *statuses) {
    return status == MPI_F_STATUS_IGNORE && statuses == MPI_F_STATUSES_IGNORE;
}

MPI_Fint duplicate_in_c_(const MPI_Fint *comm) {
    MPI_Comm duplicate;
    MPI_Comm_dup(MPI_Comm_f2c(*comm), &duplicate);
    return MPI_Comm_c2f(duplicate);
}
