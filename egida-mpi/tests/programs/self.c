/* Point-to-point with oneself: modes, requests, probes, statuses. */
#include "check.h"

static const MPI_Comm W = MPI_COMM_WORLD;

static void modes(void) {
    int in = 0, out = 41;
    MPI_Status status;
    MPI_Request request;
    MPI_Send(&out, 1, MPI_INT, 0, 5, W);
    CHECK(MPI_Recv(&in, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, W, &status) == MPI_SUCCESS);
    CHECK(in == 41 && status.MPI_SOURCE == 0 && status.MPI_TAG == 5);

    char attached[4096], *back;
    int size;
    MPI_Buffer_attach(attached, sizeof attached);
    out = 42;
    MPI_Bsend(&out, 1, MPI_INT, 0, 6, W);
    MPI_Recv(&in, 1, MPI_INT, 0, 6, W, MPI_STATUS_IGNORE);
    MPI_Buffer_detach(&back, &size);
    CHECK(in == 42 && back == attached && size == (int)sizeof attached);

    int flag = 1;
    out = 43;
    MPI_Issend(&out, 1, MPI_INT, 0, 7, W, &request);
    MPI_Test(&request, &flag, &status);
    CHECK(!flag && request != MPI_REQUEST_NULL);
    MPI_Recv(&in, 1, MPI_INT, 0, 7, W, MPI_STATUS_IGNORE);
    MPI_Wait(&request, &status);
    CHECK(in == 43 && request == MPI_REQUEST_NULL);

    MPI_Sendrecv(&out, 1, MPI_INT, 0, 8, &in, 1, MPI_INT, 0, 8, W, &status);
    CHECK(in == 43);
    MPI_Sendrecv_replace(&in, 1, MPI_INT, 0, 8, 0, 8, W, &status);
    CHECK(in == 43 && status.MPI_TAG == 8);
    MPI_Send_c(&out, 1, MPI_INT, 0, 9, W);
    MPI_Recv_c(&in, 1, MPI_INT, 0, 9, W, &status);
    MPI_Count count;
    MPI_Get_count_c(&status, MPI_INT, &count);
    CHECK(count == 1);
}

static void order(void) {
    int out[3] = {1, 2, 3}, in[3] = {0, 0, 0};
    MPI_Request requests[3];
    MPI_Irecv(&in[0], 1, MPI_INT, 0, 2, W, &requests[0]);
    MPI_Irecv(&in[1], 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, W, &requests[1]);
    MPI_Irecv(&in[2], 1, MPI_INT, 0, 2, W, &requests[2]);
    MPI_Send(&out[0], 1, MPI_INT, 0, 1, W);
    MPI_Send(&out[1], 1, MPI_INT, 0, 2, W);
    MPI_Send(&out[2], 1, MPI_INT, 0, 2, W);
    MPI_Status statuses[3];
    MPI_Waitall(3, requests, statuses);
    CHECK(in[0] == 2 && in[1] == 1 && in[2] == 3);
    CHECK(statuses[1].MPI_TAG == 1 && statuses[0].MPI_TAG == 2);
    for (int i = 0; i < 3; i++) CHECK(requests[i] == MPI_REQUEST_NULL);
}

static void completion(void) {
    int in[3], out = 7, index, count, indices[3], flag;
    MPI_Request requests[3];
    MPI_Status status, statuses[3];
    for (int i = 0; i < 3; i++) MPI_Irecv(&in[i], 1, MPI_INT, 0, i, W, &requests[i]);
    MPI_Testany(3, requests, &index, &flag, &status);
    CHECK(!flag && index == MPI_UNDEFINED);
    MPI_Testsome(3, requests, &count, indices, statuses);
    CHECK(count == 0);
    MPI_Send(&out, 1, MPI_INT, 0, 2, W);
    MPI_Request_get_status(requests[2], &flag, &status);
    CHECK(flag && status.MPI_TAG == 2 && requests[2] != MPI_REQUEST_NULL);
    MPI_Testall(3, requests, &flag, statuses);
    CHECK(!flag);
    MPI_Waitany(3, requests, &index, &status);
    CHECK(index == 2 && requests[2] == MPI_REQUEST_NULL && status.MPI_TAG == 2 && in[2] == 7);
    MPI_Send(&out, 1, MPI_INT, 0, 1, W);
    MPI_Send(&out, 1, MPI_INT, 0, 0, W);
    MPI_Waitsome(3, requests, &count, indices, statuses);
    CHECK(count == 2 && indices[0] == 0 && indices[1] == 1);
    CHECK(statuses[0].MPI_TAG == 0 && statuses[1].MPI_TAG == 1);
    MPI_Waitsome(3, requests, &count, indices, statuses);
    CHECK(count == MPI_UNDEFINED);
    MPI_Waitany(3, requests, &index, &status);
    CHECK(index == MPI_UNDEFINED && status.MPI_SOURCE == MPI_ANY_SOURCE);
    MPI_Testall(3, requests, &flag, MPI_STATUSES_IGNORE);
    CHECK(flag);

    /* A receive whose handle is given up still takes its message. */
    int late = 0;
    MPI_Irecv(&late, 1, MPI_INT, 0, 3, W, &requests[0]);
    MPI_Request_free(&requests[0]);
    CHECK(requests[0] == MPI_REQUEST_NULL);
    MPI_Send(&out, 1, MPI_INT, 0, 3, W);
    MPI_Sendrecv(&out, 1, MPI_INT, 0, 4, &in[0], 1, MPI_INT, 0, 4, W, MPI_STATUS_IGNORE);
    CHECK(late == 7);
}

static void persistent(void) {
    int in = 0, out = 0, flag;
    MPI_Request requests[2];
    MPI_Send_init(&out, 1, MPI_INT, 0, 1, W, &requests[0]);
    MPI_Recv_init(&in, 1, MPI_INT, 0, 1, W, &requests[1]);
    MPI_Test(&requests[1], &flag, MPI_STATUS_IGNORE);
    CHECK(flag);
    for (int round = 1; round <= 3; round++) {
        out = round;
        MPI_Startall(2, requests);
        MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
        CHECK(in == round && requests[0] != MPI_REQUEST_NULL);
    }
    MPI_Request_free(&requests[0]);
    MPI_Request_free(&requests[1]);
}

static void probes(void) {
    double out[3] = {1, 2, 3}, in[3];
    int flag, count;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, 1, W, &flag, &status);
    CHECK(!flag);
    MPI_Send(out, 3, MPI_DOUBLE, 0, 1, W);
    MPI_Iprobe(MPI_ANY_SOURCE, 1, W, &flag, &status);
    MPI_Get_count(&status, MPI_DOUBLE, &count);
    CHECK(flag && count == 3 && status.MPI_SOURCE == 0);
    MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, W, &status);
    MPI_Get_count(&status, MPI_BYTE, &count);
    CHECK(count == 24 && status.MPI_TAG == 1);
    MPI_Probe(0, 1, W, MPI_STATUS_IGNORE);
    MPI_Recv(in, 3, MPI_DOUBLE, 0, 1, W, &status);
    MPI_Get_elements(&status, MPI_DOUBLE, &count);
    CHECK(count == 3 && in[2] == 3);
    MPI_Get_count(&status, MPI_INT, &count);
    CHECK(count == 6);
}

static void nobody(void) {
    int value = 5, flag;
    MPI_Status status;
    MPI_Request request;
    MPI_Send(&value, 1, MPI_INT, MPI_PROC_NULL, 0, W);
    MPI_Recv(&value, 1, MPI_INT, MPI_PROC_NULL, 0, W, &status);
    CHECK(value == 5 && status.MPI_SOURCE == MPI_PROC_NULL && status.MPI_TAG == MPI_ANY_TAG);
    MPI_Irecv(&value, 1, MPI_INT, MPI_PROC_NULL, 0, W, &request);
    MPI_Test(&request, &flag, &status);
    CHECK(flag && status.MPI_SOURCE == MPI_PROC_NULL);
    MPI_Iprobe(MPI_PROC_NULL, 0, W, &flag, &status);
    CHECK(flag);
}

static void vectors(void) {
    int matrix[4][4], column[4], position = 0;
    char packed[64];
    MPI_Datatype type;
    MPI_Status status;
    int count;
    for (int i = 0; i < 16; i++) matrix[i / 4][i % 4] = i;
    MPI_Type_vector(4, 1, 4, MPI_INT, &type);
    MPI_Type_commit(&type);
    MPI_Send(&matrix[0][1], 1, type, 0, 1, W);
    MPI_Recv(column, 4, MPI_INT, 0, 1, W, &status);
    MPI_Get_count(&status, type, &count);
    CHECK(count == 1);
    for (int i = 0; i < 4; i++) CHECK(column[i] == 4 * i + 1);
    MPI_Request request;
    MPI_Irecv(&matrix[0][2], 1, type, 0, 1, W, &request);
    MPI_Type_free(&type);
    CHECK(type == MPI_DATATYPE_NULL);
    MPI_Send(column, 4, MPI_INT, 0, 1, W);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    for (int i = 0; i < 4; i++) CHECK(matrix[i][2] == 4 * i + 1 && matrix[i][3] == 4 * i + 3);

    MPI_Pack(column, 4, MPI_INT, packed, sizeof packed, &position, W);
    CHECK(position == 16);
    position = 4;
    MPI_Unpack(packed, sizeof packed, &position, column, 1, MPI_INT, W);
    CHECK(column[0] == 5 && position == 8);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    modes();
    order();
    completion();
    persistent();
    probes();
    nobody();
    vectors();
    MPI_Finalize();
    puts("good");
    return 0;
}
