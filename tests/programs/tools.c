/* The tool information interface: every variable by its description, and counts that fit what the program did. A rank that
 * dies and is executed again reads what it read before, though it counts otherwise.
 *
 *   tools [messages] */
#include "common.h"

#define OK(call) REQUIRE((call) == MPI_SUCCESS, "it fails")

static unsigned long long read_count(MPI_T_pvar_session session, const char *name) {
    int index, count;
    unsigned long long value = 0;
    MPI_T_pvar_handle handle;
    OK(MPI_T_pvar_get_index(name, MPI_T_PVAR_CLASS_COUNTER, &index));
    OK(MPI_T_pvar_handle_alloc(session, index, NULL, &handle, &count));
    REQUIRE(count == 1, "%d", count);
    OK(MPI_T_pvar_read(session, handle, &value));
    REQUIRE(MPI_T_pvar_start(session, handle) == MPI_T_ERR_PVAR_NO_STARTSTOP, "a count is started");
    REQUIRE(MPI_T_pvar_reset(session, handle) == MPI_T_ERR_PVAR_NO_WRITE, "a count is reset");
    OK(MPI_T_pvar_stop(session, MPI_T_PVAR_ALL_HANDLES));
    OK(MPI_T_pvar_handle_free(session, &handle));
    REQUIRE(handle == MPI_T_PVAR_HANDLE_NULL, "it is left");
    REQUIRE(MPI_T_pvar_read(session, handle, &value) == MPI_T_ERR_INVALID_HANDLE, "a freed handle is read");
    return value;
}

/* Every variable has a name by which it is found again, and a description; a short buffer gets as much as it holds. */
static void describe(void) {
    int number, index, length, about_length, verbosity, class, bind, readonly, continuous, atomic, scope;
    char name[64], about[256], letter[3];
    MPI_Datatype datatype;
    MPI_T_enum values;
    OK(MPI_T_pvar_get_num(&number));
    REQUIRE(number > 0, "%d", number);
    for (int at = 0; at < number; at++) {
        length = sizeof name, about_length = sizeof about;
        OK(MPI_T_pvar_get_info(at, name, &length, &verbosity, &class, &datatype, &values, about, &about_length, &bind, &readonly,
                               &continuous, &atomic));
        REQUIRE(length == (int)strlen(name) + 1 && about_length == (int)strlen(about) + 1, "%s: %s", name, about);
        REQUIRE(datatype == MPI_UNSIGNED_LONG_LONG && readonly && continuous && !atomic, "%s", name);
        OK(MPI_T_pvar_get_index(name, class, &index));
        REQUIRE(index == at, "%s is %d", name, index);
        REQUIRE(MPI_T_pvar_get_index(name, MPI_T_PVAR_CLASS_TIMER, &index) == MPI_T_ERR_INVALID_NAME, "%s is a timer", name);
        length = sizeof letter;
        OK(MPI_T_pvar_get_info(at, letter, &length, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL));
        REQUIRE(strlen(letter) == 2 && strncmp(letter, name, 2) == 0 && length > 3, "%s", letter);
    }
    REQUIRE(MPI_T_pvar_get_info(number, name, &length, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) ==
                MPI_T_ERR_INVALID_INDEX,
            "there is one more");
    OK(MPI_T_cvar_get_num(&number));
    for (int at = 0; at < number; at++) {
        length = sizeof name, about_length = sizeof about;
        OK(MPI_T_cvar_get_info(at, name, &length, &verbosity, &datatype, &values, about, &about_length, &bind, &scope));
        OK(MPI_T_cvar_get_index(name, &index));
        REQUIRE(index == at && datatype == MPI_INT && scope == MPI_T_SCOPE_CONSTANT, "%s", name);
    }
    OK(MPI_T_category_get_num(&number));
    REQUIRE(number == 0 && MPI_T_category_get_index("any", &index) == MPI_T_ERR_INVALID_NAME, "%d categories", number);
    OK(MPI_T_event_get_num(&number));
    REQUIRE(number == 0, "%d events", number);
}

int main(int argc, char **argv) {
    int provided, index, count, replays = -1, word = 0;
    MPI_T_pvar_session session;
    MPI_T_cvar_handle handle;
    REQUIRE(MPI_T_cvar_get_num(&count) == MPI_T_ERR_NOT_INITIALIZED, "it is initialized");
    OK(MPI_T_init_thread(MPI_THREAD_SINGLE, &provided));
    start(&argc, &argv);
    int messages = argc > 1 ? atoi(argv[1]) : 20;
    describe();
    OK(MPI_T_cvar_get_index("egida_replays", &index));
    OK(MPI_T_cvar_handle_alloc(index, NULL, &handle, &count));
    OK(MPI_T_cvar_read(handle, &replays));
    REQUIRE(MPI_T_cvar_write(handle, &replays) == MPI_T_ERR_CVAR_SET_NEVER, "it is set");
    OK(MPI_T_cvar_handle_free(&handle));
    OK(MPI_T_pvar_session_create(&session));
    unsigned long long sent = read_count(session, "egida_messages_sent");
    unsigned long long received = read_count(session, "egida_messages_received");
    for (int message = 0; message < messages; message++) {
        MPI_Send(&message, 1, MPI_INT, (rank + 1) % size, 0, MPI_COMM_WORLD);
        MPI_Recv(&word, 1, MPI_INT, (rank + size - 1) % size, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        REQUIRE(word == message, "%d", word);
    }
    sent = read_count(session, "egida_messages_sent") - sent;
    received = read_count(session, "egida_messages_received") - received;
    unsigned long long repeated = read_count(session, "egida_receives_repeated");
    unsigned long long skipped = read_count(session, "egida_sends_skipped");
    OK(MPI_T_pvar_session_free(&session));
    OK(MPI_T_finalize());
    REQUIRE(MPI_T_cvar_get_num(&count) == MPI_T_ERR_NOT_INITIALIZED, "it is initialized");
    say("replays %d", replays);
    say("result sent=%llu received=%llu", sent, received);
    /* What an execution that died before it came here did is not seen in what it read. */
    say("repeated %s", repeated + skipped > 0 ? "some" : "none");
    MPI_Finalize();
    return 0;
}
