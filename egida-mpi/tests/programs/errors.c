/* Error classes, handlers, strings. */
#include "check.h"

static int calls, last;

static void count_them(MPI_Comm *comm, int *code, ...) {
    CHECK(*comm == MPI_COMM_WORLD);
    calls++;
    last = *code;
}

int main(int argc, char **argv) {
    int value = 0, length, class;
    char text[MPI_MAX_ERROR_STRING];
    MPI_Comm W = MPI_COMM_WORLD;
    MPI_Errhandler handler;
    MPI_Status status;
    MPI_Init(&argc, &argv);
    if (argc > 1 && !strcmp(argv[1], "fatal")) MPI_Send(&value, 1, MPI_INT, 3, 0, W);
    if (argc > 1 && !strcmp(argv[1], "missing")) MPI_Win_fence(0, MPI_WIN_NULL);
    if (argc > 1 && !strcmp(argv[1], "abort")) { printf("before"); MPI_Abort(W, 33); }
    if (argc > 1 && !strcmp(argv[1], "alone")) MPI_Recv(&value, 1, MPI_INT, 0, 0, W, &status);

    MPI_Comm_get_errhandler(W, &handler);
    CHECK(handler == MPI_ERRORS_ARE_FATAL);
    MPI_Comm_set_errhandler(W, MPI_ERRORS_RETURN);
    CHECK(MPI_Send(&value, 1, MPI_INT, 3, 0, W) == MPI_ERR_RANK);
    CHECK(MPI_Send(&value, 1, MPI_INT, 0, -7, W) == MPI_ERR_TAG);
    CHECK(MPI_Send(&value, -1, MPI_INT, 0, 0, W) == MPI_ERR_COUNT);
    CHECK(MPI_Send(&value, 1, MPI_DATATYPE_NULL, 0, 0, W) == MPI_ERR_TYPE);
    CHECK(MPI_Send(NULL, 1, MPI_INT, 0, 0, W) == MPI_ERR_BUFFER);
    CHECK(MPI_Recv(&value, 1, MPI_INT, 4, 0, W, &status) == MPI_ERR_RANK);
    long big = 1;
    MPI_Send(&big, 1, MPI_LONG, 0, 0, W);
    CHECK(MPI_Recv(&value, 1, MPI_INT, 0, 0, W, &status) == MPI_ERR_TRUNCATE);
    CHECK(value == 1);

    MPI_Request requests[2];
    MPI_Status statuses[2];
    MPI_Irecv(&value, 1, MPI_INT, 0, 1, W, &requests[0]);
    MPI_Irecv(&big, 1, MPI_LONG, 0, 2, W, &requests[1]);
    MPI_Send(&big, 1, MPI_LONG, 0, 1, W);
    MPI_Send(&big, 1, MPI_LONG, 0, 2, W);
    CHECK(MPI_Waitall(2, requests, statuses) == MPI_ERR_IN_STATUS);
    CHECK(statuses[0].MPI_ERROR == MPI_ERR_TRUNCATE && statuses[1].MPI_ERROR == MPI_SUCCESS);

    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    CHECK(MPI_Comm_size(MPI_COMM_NULL, &value) == MPI_ERR_COMM);
    CHECK(MPI_Wait(&(MPI_Request){(MPI_Request)(intptr_t)0x77777}, &status) == MPI_ERR_REQUEST);
    CHECK(MPI_Group_size(MPI_GROUP_NULL, &value) == MPI_ERR_GROUP);

    MPI_Comm_create_errhandler(count_them, &handler);
    MPI_Comm_set_errhandler(W, handler);
    MPI_Errhandler_free(&handler);
    CHECK(handler == MPI_ERRHANDLER_NULL);
    CHECK(MPI_Send(&value, 1, MPI_INT, 9, 0, W) == MPI_ERR_RANK && calls == 1 && last == MPI_ERR_RANK);
    MPI_Comm_call_errhandler(W, MPI_ERR_OTHER);
    CHECK(calls == 2 && last == MPI_ERR_OTHER);

    MPI_Error_class(MPI_ERR_TAG, &class);
    MPI_Error_string(class, text, &length);
    MPI_Win window = MPI_WIN_NULL;
    MPI_Comm_set_errhandler(W, MPI_ERRORS_RETURN);
    CHECK(MPI_Win_create(&value, 4, 1, MPI_INFO_NULL, W, &window) == MPI_ERR_UNSUPPORTED_OPERATION);
    CHECK(MPI_Win_create(&value, 4, 1, MPI_INFO_NULL, W, &window) == MPI_ERR_UNSUPPORTED_OPERATION);
    CHECK(MPI_Win_fence(0, window) == MPI_ERR_UNSUPPORTED_OPERATION && window == MPI_WIN_NULL);

    int mine, code;
    MPI_Add_error_class(&mine);
    MPI_Add_error_code(mine, &code);
    MPI_Add_error_string(code, "mine");
    CHECK(MPI_Remove_error_code(code) == MPI_ERR_ARG && MPI_Remove_error_class(mine) == MPI_ERR_ARG);
    MPI_Remove_error_string(code);
    CHECK(!MPI_Remove_error_code(code) && !MPI_Remove_error_class(mine));

    CHECK(class == MPI_ERR_TAG && strstr(text, "MPI_ERR_TAG") && length == (int)strlen(text));
    MPI_Finalize();
    puts("good");
    return 0;
}
