/* What needs no other process: hints, attributes, error classes and codes, topologies, what
 * datatypes are made of, requests of one's own, matched probes, sessions beside MPI_Init. */
#include "check.h"

static void hints(void) {
    MPI_Info info, copy;
    char value[8], key[MPI_MAX_INFO_KEY];
    int flag, count, length = 4;
    MPI_Info_create(&info);
    MPI_Info_set(info, "b", "first");
    MPI_Info_set(info, "a", "second");
    MPI_Info_set(info, "b", "third");
    MPI_Info_dup(info, &copy);
    MPI_Info_delete(info, "a");
    MPI_Info_get_nkeys(copy, &count);
    MPI_Info_get_nthkey(copy, 0, key);
    CHECK(count == 2 && !strcmp(key, "b"));
    MPI_Info_get_string(copy, "a", &length, value, &flag);
    CHECK(flag && length == 7 && !strcmp(value, "sec"));
    MPI_Info_get(info, "a", 7, value, &flag);
    CHECK(!flag);
    MPI_Info_free(&copy);
    MPI_Info_free(&info);
    CHECK(info == MPI_INFO_NULL);
}

static int deletions;

static int no_copy(MPI_Comm comm, int keyval, void *extra, void *in, void *out, int *flag) {
    (void)comm, (void)keyval, (void)extra, (void)in, (void)out;
    *flag = 0;
    return MPI_SUCCESS;
}

static int refuse(MPI_Comm comm, int keyval, void *value, void *extra) {
    (void)comm, (void)keyval, (void)extra;
    return ++deletions <= (int)(intptr_t)value ? MPI_ERR_OTHER : MPI_SUCCESS;
}

static void attributes(void) {
    int keyval, flag;
    void *value;
    MPI_Comm comm, copy;
    MPI_Comm_create_keyval(no_copy, refuse, &keyval, NULL);
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    MPI_Comm_set_attr(comm, keyval, (void *)1);
    MPI_Comm_dup(comm, &copy);
    MPI_Comm_get_attr(copy, keyval, &value, &flag);
    CHECK(!flag);
    MPI_Comm same = comm;
    CHECK(MPI_Comm_free(&comm) != MPI_SUCCESS && comm == same);
    CHECK(MPI_Comm_free(&comm) == MPI_SUCCESS && comm == MPI_COMM_NULL && deletions == 2);
    MPI_Comm_free(&copy);
    MPI_Comm_free_keyval(&keyval);
    CHECK(keyval == MPI_KEYVAL_INVALID);
}

static void codes(void) {
    int class, code, found, flag, length, *last;
    char text[MPI_MAX_ERROR_STRING];
    MPI_Add_error_class(&class);
    MPI_Add_error_code(class, &code);
    MPI_Add_error_string(code, "all is lost");
    MPI_Error_class(code, &found);
    MPI_Error_string(code, text, &length);
    CHECK(found == class && !strcmp(text, "all is lost"));
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_LASTUSEDCODE, &last, &flag);
    CHECK(flag && *last == code);
    MPI_Remove_error_string(code);
    MPI_Remove_error_code(code);
    MPI_Remove_error_class(class);
    CHECK(*last == MPI_ERR_LASTCODE);
}

static void topologies(void) {
    int dims[3] = {0, 2, 0}, kind, one = 1, periodic = 1, source, destination, in = 7, out = 8, both[2] = {3, 4};
    int got[2] = {0, 0};
    MPI_Dims_create(24, 3, dims);
    CHECK(dims[0] == 4 && dims[1] == 2 && dims[2] == 3);
    MPI_Comm ring;
    MPI_Cart_create(MPI_COMM_WORLD, 1, &one, &periodic, 0, &ring);
    MPI_Topo_test(ring, &kind);
    CHECK(kind == MPI_CART);
    MPI_Cart_shift(ring, 0, 1, &source, &destination);
    CHECK(source == 0 && destination == 0);
    /* What goes down comes from above. */
    MPI_Neighbor_alltoall(both, 1, MPI_INT, got, 1, MPI_INT, ring);
    CHECK(got[0] == 4 && got[1] == 3);
    MPI_Allreduce(&in, &out, 1, MPI_INT, MPI_SUM, ring);
    CHECK(out == 7);
    MPI_Comm_free(&ring);
}

static void contents(void) {
    int sizes[2] = {4, 5}, parts[2] = {2, 3}, starts[2] = {1, 1}, integers, addresses, types, combiner, values[8];
    MPI_Aint places[1];
    MPI_Datatype part, inside;
    MPI_Count large, counts[6], n_integers, n_addresses, n_types;
    MPI_Type_create_subarray(2, sizes, parts, starts, MPI_ORDER_C, MPI_DOUBLE, &part);
    MPI_Type_get_envelope(part, &integers, &addresses, &types, &combiner);
    CHECK(integers == 8 && addresses == 0 && types == 1 && combiner == MPI_COMBINER_SUBARRAY);
    MPI_Type_get_contents(part, 8, 0, 1, values, places, &inside);
    CHECK(values[0] == 2 && values[2] == 5 && values[4] == 3 && values[7] == MPI_ORDER_C && inside == MPI_DOUBLE);
    MPI_Type_free(&part);

    MPI_Type_contiguous_c((MPI_Count)1 << 33, MPI_CHAR, &part);
    MPI_Type_get_envelope_c(part, &n_integers, &n_addresses, &large, &n_types, &combiner);
    CHECK(n_integers == 0 && large == 1 && n_types == 1 && combiner == MPI_COMBINER_CONTIGUOUS);
    MPI_Type_get_contents_c(part, 0, 0, 1, 1, values, places, counts, &inside);
    CHECK(counts[0] == (MPI_Count)1 << 33 && inside == MPI_CHAR);
    MPI_Type_free(&part);

    MPI_Datatype first, second;
    MPI_Type_create_f90_real(15, MPI_UNDEFINED, &first);
    MPI_Type_create_f90_real(15, MPI_UNDEFINED, &second);
    MPI_Type_size(first, &integers);
    CHECK(first == second && integers == 8);
}

static void messages(void) {
    int out = 5, in = 0, flag;
    MPI_Message message;
    MPI_Request request;
    MPI_Status status;
    MPI_Send(&out, 1, MPI_INT, 0, 3, MPI_COMM_WORLD);
    MPI_Mprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &message, &status);
    MPI_Iprobe(0, 3, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
    CHECK(!flag && status.MPI_TAG == 3);
    MPI_Mrecv(&in, 1, MPI_INT, &message, &status);
    CHECK(in == 5 && message == MPI_MESSAGE_NULL);

    MPI_Irecv(&in, 1, MPI_INT, MPI_ANY_SOURCE, 4, MPI_COMM_WORLD, &request);
    MPI_Cancel(&request);
    MPI_Wait(&request, &status);
    MPI_Test_cancelled(&status, &flag);
    CHECK(flag);
}

static void sessions(void) {
    MPI_Session session;
    MPI_Group group;
    MPI_Comm comm;
    int size, sets;
    MPI_Session_init(MPI_INFO_NULL, MPI_ERRORS_RETURN, &session);
    MPI_Session_get_num_psets(session, MPI_INFO_NULL, &sets);
    MPI_Group_from_session_pset(session, "mpi://SELF", &group);
    CHECK(sets == 2 && MPI_Group_from_session_pset(session, "mpi://nowhere", &group) == MPI_ERR_ARG);
    MPI_Comm_create_from_group(group, "here", MPI_INFO_NULL, MPI_ERRORS_ARE_FATAL, &comm);
    MPI_Comm_size(comm, &size);
    CHECK(size == 1);
    MPI_Comm_free(&comm);
    MPI_Group_free(&group);
    MPI_Session_finalize(&session);
    CHECK(session == MPI_SESSION_NULL);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    hints();
    attributes();
    codes();
    topologies();
    contents();
    messages();
    sessions();
    MPI_Finalize();
    puts("good");
    return 0;
}
