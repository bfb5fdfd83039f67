/* Partitioned messages with oneself: divisions, order, nobody on the other side, errors. */
#include "check.h"

static const MPI_Comm W = MPI_COMM_WORLD;

static int arrived(MPI_Request request, int partition) {
    int flag = 7;
    CHECK(MPI_Parrived(request, partition, &flag) == MPI_SUCCESS && (flag == 0 || flag == 1));
    return flag;
}

static int is_over(MPI_Request *request) {
    int flag;
    MPI_Test(request, &flag, MPI_STATUS_IGNORE);
    return flag;
}

/* Twelve numbers, as so many partitions on either side. */
static void divided(int sent, int received) {
    int out[12], in[12];
    MPI_Request requests[2];
    MPI_Status status;
    MPI_Psend_init(out, sent, 12 / sent, MPI_INT, 0, 3, W, MPI_INFO_NULL, &requests[0]);
    MPI_Precv_init_c(in, received, 12 / received, MPI_INT, 0, 3, W, MPI_INFO_NULL, &requests[1]);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 12; i++) out[i] = 100 * round + i, in[i] = -1;
        MPI_Startall(2, requests);
        /* From the last to the first; what is whole is seen, and nothing else. */
        for (int partition = sent - 1; partition >= 0; partition--) {
            for (int i = 0; i < received; i++) {
                int from = i * (12 / received), have_from = (partition + 1) * (12 / sent);
                CHECK(arrived(requests[1], i) == (from >= have_from));
                if (from >= have_from)
                    for (int at = from; at < from + 12 / received; at++) CHECK(in[at] == 100 * round + at);
            }
            CHECK(!is_over(&requests[0]) && !is_over(&requests[1]));
            MPI_Pready(partition, requests[0]);
        }
        if (round == 1)
            while (!is_over(&requests[1])) continue;
        else
            MPI_Wait(&requests[1], &status);
        if (round != 1) {
            int count;
            MPI_Get_count(&status, MPI_INT, &count);
            CHECK(count == 12 && status.MPI_SOURCE == 0 && status.MPI_TAG == 3);
        }
        CHECK(is_over(&requests[0]));
        for (int i = 0; i < 12; i++) CHECK(in[i] == 100 * round + i);
        CHECK(arrived(requests[1], 0) && requests[0] != MPI_REQUEST_NULL && requests[1] != MPI_REQUEST_NULL);
    }
    MPI_Request_free(&requests[0]);
    MPI_Request_free(&requests[1]);
    CHECK(requests[0] == MPI_REQUEST_NULL && requests[1] == MPI_REQUEST_NULL);
}

/* Boundaries of partitions within elements of a type with gaps: pairs of every second number. */
static void inside_of_elements(void) {
    int out[12], in[24];
    MPI_Datatype every_second;
    MPI_Request requests[2];
    MPI_Type_vector(3, 1, 2, MPI_INT, &every_second);
    MPI_Type_create_resized(every_second, 0, 6 * sizeof(int), &every_second);
    MPI_Type_commit(&every_second);
    MPI_Precv_init(in, 2, 2, every_second, 0, 0, W, MPI_INFO_NULL, &requests[1]);
    MPI_Type_free(&every_second);
    MPI_Psend_init(out, 6, 2, MPI_INT, 0, 0, W, MPI_INFO_NULL, &requests[0]);
    for (int i = 0; i < 12; i++) out[i] = i;
    for (int i = 0; i < 24; i++) in[i] = -1;
    MPI_Startall(2, requests);
    MPI_Pready_list(3, (int[]){5, 1, 3}, requests[0]);
    CHECK(!arrived(requests[1], 0) && !arrived(requests[1], 1));
    MPI_Pready(4, requests[0]);
    CHECK(!arrived(requests[1], 0) && arrived(requests[1], 1));
    CHECK(in[12] == 6 && in[22] == 11);
    MPI_Pready_range(0, 0, requests[0]);
    MPI_Pready_range(2, 2, requests[0]);
    int index, flag;
    MPI_Testany(2, requests, &index, &flag, MPI_STATUS_IGNORE);
    CHECK(flag && index == 0);
    MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
    for (int i = 0; i < 24; i++) CHECK(in[i] == (i % 2 ? -1 : i / 2));
    MPI_Request_free(&requests[0]);
    MPI_Request_free(&requests[1]);
}

/* The calls that make requests decide what meets what, also of those that are freed unused. */
static void order(void) {
    int out[3] = {1, 2, 3}, in[3] = {0, 0, 0}, plain = 9, got;
    MPI_Request sends[3], receives[3];
    MPI_Status status;
    for (int i = 0; i < 3; i++) MPI_Psend_init(&out[i], 1, 1, MPI_INT, 0, 1, W, MPI_INFO_NULL, &sends[i]);
    for (int i = 0; i < 3; i++) MPI_Precv_init(&in[i], 1, 1, MPI_INT, 0, 1, W, MPI_INFO_NULL, &receives[i]);
    MPI_Request_free(&sends[1]);
    MPI_Request_free(&receives[1]);
    MPI_Start(&sends[2]);
    MPI_Pready(0, sends[2]);
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, W, &got, &status);
    CHECK(!got);
    MPI_Send(&plain, 1, MPI_INT, 0, 1, W);
    for (int i = 0; i < 3; i += 2) MPI_Start(&receives[i]);
    while (!is_over(&receives[2])) CHECK(!arrived(receives[0], 0));
    CHECK(in[0] == 0 && in[2] == 3);
    MPI_Recv(&got, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, W, &status);
    CHECK(got == 9 && status.MPI_TAG == 1);
    /* The sender is ahead by a start. */
    for (int round = 0; round < 2; round++) {
        MPI_Start(&sends[0]);
        MPI_Pready(0, sends[0]);
        MPI_Wait(&sends[0], MPI_STATUS_IGNORE);
        out[0]++;
    }
    MPI_Wait(&receives[0], MPI_STATUS_IGNORE);
    CHECK(in[0] == 1);
    MPI_Start(&receives[0]);
    CHECK(arrived(receives[0], 0) && in[0] == 2);
    MPI_Request_get_status(receives[0], &got, &status);
    CHECK(got && status.MPI_TAG == 1);
    MPI_Waitany(3, receives, &got, &status);
    CHECK(got == 0);
    MPI_Wait(&sends[2], MPI_STATUS_IGNORE);
    for (int i = 0; i < 3; i += 2) MPI_Request_free(&sends[i]), MPI_Request_free(&receives[i]);

    /* A receive that is freed before the offer is there still takes it. */
    MPI_Request again[2];
    for (int i = 0; i < 2; i++) MPI_Precv_init(&in[i], 1, 1, MPI_INT, 0, 2, W, MPI_INFO_NULL, &again[i]);
    MPI_Request_free(&again[0]);
    for (int i = 0; i < 2; i++) MPI_Psend_init(&out[i], 1, 1, MPI_INT, 0, 2, W, MPI_INFO_NULL, &sends[i]);
    MPI_Startall(2, sends);
    MPI_Pready(0, sends[0]);
    MPI_Start(&again[1]);
    CHECK(!arrived(again[1], 0));
    out[1] = 22;
    MPI_Pready(0, sends[1]);
    MPI_Wait(&again[1], MPI_STATUS_IGNORE);
    CHECK(in[1] == 22);
    MPI_Waitall(2, sends, MPI_STATUSES_IGNORE);
    MPI_Request_free(&again[1]);
    for (int i = 0; i < 2; i++) MPI_Request_free(&sends[i]);
}

/* Partitions of nothing, no partitions, no process. */
static void nothing(void) {
    int value = 5;
    MPI_Request requests[2];
    MPI_Status status;
    MPI_Psend_init(NULL, 2, 0, MPI_INT, 0, 1, W, MPI_INFO_NULL, &requests[0]);
    MPI_Precv_init(NULL, 2, 0, MPI_INT, 0, 1, W, MPI_INFO_NULL, &requests[1]);
    CHECK(is_over(&requests[0]) && is_over(&requests[1]) && arrived(requests[1], 1));
    MPI_Startall(2, requests);
    MPI_Pready(1, requests[0]);
    CHECK(!arrived(requests[1], 0) && arrived(requests[1], 1) && !is_over(&requests[1]));
    MPI_Pready(0, requests[0]);
    MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
    for (int i = 0; i < 2; i++) MPI_Request_free(&requests[i]);

    MPI_Psend_init(NULL, 0, 4, MPI_INT, 0, 1, W, MPI_INFO_NULL, &requests[0]);
    MPI_Precv_init(NULL, 0, 4, MPI_INT, 0, 1, W, MPI_INFO_NULL, &requests[1]);
    MPI_Startall(2, requests);
    MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
    for (int i = 0; i < 2; i++) MPI_Request_free(&requests[i]);

    MPI_Psend_init(&value, 3, 1, MPI_INT, MPI_PROC_NULL, 1, W, MPI_INFO_NULL, &requests[0]);
    MPI_Precv_init(&value, 3, 1, MPI_INT, MPI_PROC_NULL, 1, W, MPI_INFO_NULL, &requests[1]);
    MPI_Startall(2, requests);
    MPI_Pready_range(0, 2, requests[0]);
    CHECK(arrived(requests[1], 2));
    MPI_Wait(&requests[1], &status);
    CHECK(status.MPI_SOURCE == MPI_PROC_NULL && value == 5);
    MPI_Wait(&requests[0], MPI_STATUS_IGNORE);
    for (int i = 0; i < 2; i++) MPI_Request_free(&requests[i]);
    CHECK(arrived(MPI_REQUEST_NULL, 0));
}

static void errors(void) {
    int out[4] = {1, 2, 3, 4}, in[2], flag;
    MPI_Request send, receive, other, request;
    MPI_Info none = MPI_INFO_NULL;
    MPI_Status status;
    MPI_Comm_set_errhandler(W, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    CHECK(MPI_Psend_init(out, -1, 1, MPI_INT, 0, 0, W, none, &request) == MPI_ERR_ARG);
    CHECK(MPI_Psend_init(out, 2, -1, MPI_INT, 0, 0, W, none, &request) == MPI_ERR_COUNT);
    CHECK(MPI_Psend_init(out, 2, 1, MPI_DATATYPE_NULL, 0, 0, W, none, &request) == MPI_ERR_TYPE);
    CHECK(MPI_Psend_init(NULL, 2, 1, MPI_INT, 0, 0, W, none, &request) == MPI_ERR_BUFFER);
    CHECK(MPI_Psend_init(out, 2, 1, MPI_INT, 5, 0, W, none, &request) == MPI_ERR_RANK);
    CHECK(MPI_Psend_init(out, 2, 1, MPI_INT, 0, -4, W, none, &request) == MPI_ERR_TAG);
    CHECK(MPI_Psend_init(out, 2, 1, MPI_INT, 0, 0, MPI_COMM_NULL, none, &request) == MPI_ERR_COMM);
    CHECK(MPI_Precv_init(in, 2, 1, MPI_INT, MPI_ANY_SOURCE, 0, W, none, &request) == MPI_ERR_RANK);
    CHECK(MPI_Precv_init(in, 2, 1, MPI_INT, 0, MPI_ANY_TAG, W, none, &request) == MPI_ERR_TAG);
    CHECK(MPI_Precv_init(in, 2, 1, MPI_INT, 0, 0, W, none, NULL) == MPI_ERR_ARG);

    MPI_Psend_init(out, 4, 1, MPI_INT, 0, 0, W, none, &send);
    MPI_Precv_init(in, 2, 1, MPI_INT, 0, 0, W, none, &receive);
    MPI_Recv_init(in, 1, MPI_INT, 0, 0, W, &other);
    CHECK(MPI_Pready(0, send) == MPI_ERR_REQUEST);
    MPI_Start(&send);
    MPI_Start(&receive);
    CHECK(MPI_Start(&send) == MPI_ERR_REQUEST);
    CHECK(MPI_Pready(4, send) == MPI_ERR_ARG && MPI_Pready(-1, send) == MPI_ERR_ARG);
    CHECK(MPI_Pready_range(1, 2, send) == MPI_SUCCESS && MPI_Pready_range(3, 2, send) == MPI_SUCCESS);
    CHECK(MPI_Pready(1, send) == MPI_ERR_ARG);
    CHECK(MPI_Pready_list(2, (int[]){0, 0}, send) == MPI_ERR_ARG);
    CHECK(MPI_Pready_list(-1, NULL, send) == MPI_ERR_ARG && MPI_Pready_list(0, NULL, send) == MPI_SUCCESS);
    CHECK(MPI_Pready(0, receive) == MPI_ERR_REQUEST && MPI_Pready(0, other) == MPI_ERR_REQUEST);
    CHECK(MPI_Pready(0, MPI_REQUEST_NULL) == MPI_ERR_REQUEST);
    CHECK(MPI_Parrived(receive, 2, &flag) == MPI_ERR_ARG && MPI_Parrived(receive, -1, &flag) == MPI_ERR_ARG);
    CHECK(MPI_Parrived(receive, 0, NULL) == MPI_ERR_ARG);
    CHECK(MPI_Parrived(send, 0, &flag) == MPI_ERR_REQUEST && MPI_Parrived(other, 0, &flag) == MPI_ERR_REQUEST);
    CHECK(MPI_Request_free(&receive) == MPI_ERR_REQUEST && receive != MPI_REQUEST_NULL);
    MPI_Pready(3, send);
    /* More was sent than there is room for: what fits is there. */
    CHECK(MPI_Wait(&receive, &status) == MPI_ERR_TRUNCATE);
    CHECK(in[0] == 1 && in[1] == 2);
    MPI_Wait(&send, &status);
    MPI_Request_free(&send);
    MPI_Request_free(&receive);
    MPI_Request_free(&other);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    for (int sent = 1; sent <= 12; sent++)
        for (int received = 1; received <= 12; received++)
            if (12 % sent == 0 && 12 % received == 0) divided(sent, received);
    inside_of_elements();
    order();
    nothing();
    errors();
    MPI_Finalize();
    puts("good");
    return 0;
}
