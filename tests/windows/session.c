/*
 * session: the library on Windows: wrong calls, both clocks, a port that is taken, leading, and following a receiver.
 *
 *     session arguments
 *     session ports
 *     session lead RECEIVER LOCAL
 *     session follow RECEIVER LOCAL TRUTH WALL_MINUS_TRUTH_NS
 *
 * LOCAL is an address of this host. TRUTH is the file in which a simulated receiver says what its clock reads, in a clock
 * that the wall clock is ahead of by WALL_MINUS_TRUTH_NS.
 */
#include <winsock2.h>
#include <windows.h>

#include "results.h"

#define LOCAL "127.0.26.1"
#define PORT 26319

/* The wall clock in nanoseconds since the Unix epoch. */
static int64_t wall_ns(void)
{
    FILETIME time;
    GetSystemTimePreciseAsFileTime(&time);
    return ((int64_t)(((uint64_t)time.dwHighDateTime << 32) | time.dwLowDateTime) - 116444736000000000) * 100;
}

/* The performance counter in nanoseconds. */
static int64_t counter_ns(void)
{
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return count.QuadPart / frequency.QuadPart * 1000000000 +
           count.QuadPart % frequency.QuadPart * 1000000000 / frequency.QuadPart;
}

static ptpbmca_config configured(const char *local_address, ptpbmca_role_policy role, ptpbmca_clock clock)
{
    ptpbmca_config config = loopback(local_address, PORT);
    config.role = role;
    config.local_clock = clock;
    return config;
}

static void refused(const char *receiver, const ptpbmca_config *config, ptpbmca_result expected)
{
    ptpbmca_session *session = (ptpbmca_session *)1;
    ptpbmca_error error;
    GIVES(ptpbmca_start(receiver, config, &session, &error), expected);
    CHECK(session == (ptpbmca_session *)1 && error.result == expected && strlen(error.message) > 20);
    printf("%s: %s\n", ptpbmca_result_name(expected), error.message);
}

/* Whether the session's clock is the one it should be: a reading lies between two of that one. */
static void reads(const ptpbmca_session *session, int64_t (*clock)(void))
{
    for (int i = 0; i < 1000; i++) {
        int64_t local_ns, before = clock(), after;
        GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_OK);
        after = clock();
        if (local_ns < before || local_ns > after)
            FAIL("the local clock reads %" PRId64 " between %" PRId64 " and %" PRId64, local_ns, before, after);
    }
}

static void arguments(void)
{
    ptpbmca_config config = configured(LOCAL, PTPBMCA_ROLE_LEAD, PTPBMCA_CLOCK_MONOTONIC);
    ptpbmca_session *session, *other;
    ptpbmca_clock_offset offset;
    ptpbmca_session_status status;
    uint64_t receiver_ns;
    GIVES(ptpbmca_config_init(NULL, sizeof config), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_config_init(&config, 4), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_start(NULL, &config, &session, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_start("127.0.26.2", &config, NULL, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_stop(NULL), PTPBMCA_OK);
    GIVES(ptpbmca_stop((ptpbmca_session *)(uintptr_t)4711), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_receiver_now(NULL, &receiver_ns), PTPBMCA_ERR_NO_SESSION);
    refused("speaker.local", &config, PTPBMCA_ERR_INVALID_ADDRESS);
    refused("fe80::1%no such adapter", &config, PTPBMCA_ERR_INVALID_ADDRESS);
    config.role = 77;
    refused("127.0.26.2", &config, PTPBMCA_ERR_INVALID_ARGUMENT);
    config.role = PTPBMCA_ROLE_LEAD;
    config.event_socket = 123456, config.general_socket = 123460;
    refused("127.0.26.2", &config, PTPBMCA_ERR_INVALID_ARGUMENT);
    config.event_socket = config.general_socket = -1;

    session = started("127.0.26.2", &config);
    config.local_clock = PTPBMCA_CLOCK_REALTIME;
    other = started("127.0.26.2", &config);
    reads(session, counter_ns);
    reads(other, wall_ns);
    GIVES(ptpbmca_offset(session, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    CHECK(offset.local_clock_id != 0);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    CHECK(status.event_port == PORT && status.general_port == PORT + 1);
    GIVES(ptpbmca_stop(session), PTPBMCA_OK);
    GIVES(ptpbmca_stop(session), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_stop(other), PTPBMCA_OK);
}

/* A socket of another program; INVALID_SOCKET: the port is taken. */
static SOCKET bound(const char *address, int port, int shared)
{
    struct sockaddr_in at;
    SOCKET holder = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(holder != INVALID_SOCKET);
    CHECK(setsockopt(holder, SOL_SOCKET, SO_REUSEADDR, (const char *)&shared, sizeof shared) == 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_port = htons((u_short)port);
    at.sin_addr.s_addr = inet_addr(address);
    if (bind(holder, (struct sockaddr *)&at, sizeof at) == 0)
        return holder;
    closesocket(holder);
    return INVALID_SOCKET;
}

/* Beside another program; and on sockets that somebody else has bound. */
static void ports(void)
{
    ptpbmca_config config = configured(LOCAL, PTPBMCA_ROLE_LEAD, PTPBMCA_CLOCK_REALTIME);
    ptpbmca_session *session;
    ptpbmca_session_status status;
    WSADATA data;
    SOCKET event, general, stream;
    CHECK(WSAStartup(MAKEWORD(2, 2), &data) == 0);
    event = bound(LOCAL, PORT, 0);
    CHECK(event != INVALID_SOCKET);
    refused("127.0.26.2", &config, PTPBMCA_ERR_ADDRESS_IN_USE);
    config.allow_ephemeral_ports = 1;
    session = started("127.0.26.2", &config);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    CHECK(status.event_port != PORT && status.event_port != 0);
    GIVES(ptpbmca_stop(session), PTPBMCA_OK);
    config.allow_ephemeral_ports = 0;

    general = bound(LOCAL, PORT + 1, 0);
    CHECK(general != INVALID_SOCKET);
    stream = socket(AF_INET, SOCK_STREAM, 0);
    config.local_address = NULL;
    config.event_socket = (int64_t)event, config.general_socket = (int64_t)stream;
    refused("127.0.26.2", &config, PTPBMCA_ERR_INVALID_ARGUMENT);
    config.general_socket = (int64_t)general;
    session = started("127.0.26.2", &config);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    CHECK(status.event_port == PORT && status.general_port == PORT + 1);
    GIVES(ptpbmca_stop(session), PTPBMCA_OK);
    closesocket(event), closesocket(general), closesocket(stream);

    /* Nobody comes in beside us, also who would share. */
    config = configured(LOCAL, PTPBMCA_ROLE_LEAD, PTPBMCA_CLOCK_REALTIME);
    session = started("127.0.26.2", &config);
    CHECK(bound(LOCAL, PORT, 1) == INVALID_SOCKET);
    GIVES(ptpbmca_stop(session), PTPBMCA_OK);
}

static void lead(const char *receiver, const char *local_address)
{
    ptpbmca_config config = configured(local_address, PTPBMCA_ROLE_LEAD, PTPBMCA_CLOCK_REALTIME);
    ptpbmca_session *session = started(receiver, &config);
    ptpbmca_clock_offset offset;
    ptpbmca_session_status status;
    GIVES(ptpbmca_await_sync(session, 5000), PTPBMCA_OK);
    for (int i = 0; i < 20; i++) {
        GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
        CHECK(offset.sync_state == PTPBMCA_SYNC_LEADING && offset.synchronized);
        /* Served since the start, and the wall clock has not moved away since. */
        if (offset.offset_ns < -1000000 || offset.offset_ns > 1000000)
            FAIL("leading, %" PRId64 " ns from the wall clock", offset.offset_ns);
        Sleep(100);
    }
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    printf("epoch %" PRIu32 ", offset %" PRId64 " ns, bound %" PRIu64 " ns\n", offset.epoch, offset.offset_ns,
           offset.error_ns);
    GIVES(ptpbmca_stop(session), PTPBMCA_OK);
}

/* What the receiver's clock reads when the clock of its file reads `at_ns`: by the file's last line. */
static uint64_t truth_at(const char *name, int64_t at_ns)
{
    char line[256];
    int64_t from_ns = 0, skew_ppb = 0;
    uint64_t reads_ns = 0;
    FILE *file = fopen(name, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        sscanf(line, "truth %" SCNd64 " %" SCNu64 " %" SCNd64, &from_ns, &reads_ns, &skew_ppb);
    fclose(file);
    CHECK(reads_ns != 0);
    return reads_ns + (uint64_t)(at_ns - from_ns) + (uint64_t)(int64_t)((double)(at_ns - from_ns) * (double)skew_ppb * 1e-9);
}

static void follow(const char *receiver, const char *local_address, const char *truth, int64_t wall_minus_truth)
{
    static const char *const names[] = {"wall clock", "performance counter"};
    enum { SAMPLES = 60 };
    ptpbmca_session *sessions[2];
    int64_t worst[2] = {0, 0};
    int outside[2] = {0, 0};
    ptpbmca_clock_offset offset;
    ptpbmca_session_status status;
    for (int i = 0; i < 2; i++) {
        /* The first on all addresses, the second by the same sockets from one of them. */
        ptpbmca_config config = configured(i ? local_address : NULL, PTPBMCA_ROLE_FOLLOW,
                                           i ? PTPBMCA_CLOCK_MONOTONIC : PTPBMCA_CLOCK_REALTIME);
        sessions[i] = started(receiver, &config);
    }
    for (int i = 0; i < 2; i++)
        if (ptpbmca_await_sync(sessions[i], 20000) != PTPBMCA_OK) {
            GIVES(ptpbmca_status(sessions[i], &status), PTPBMCA_OK);
            FAIL("the %s is not synchronised: %s Refused sends: %" PRIu64, names[i], status.advice, status.send_errors);
        }
    for (int sample = 0; sample < SAMPLES; sample++) {
        Sleep(100);
        for (int i = 0; i < 2; i++) {
            int64_t before, after, local_ns, error;
            uint64_t receiver_ns;
            /* By the conversion of the local clock, the narrowest of a few readings of it and the wall clock. */
            before = wall_ns();
            GIVES(ptpbmca_local_now(sessions[i], &local_ns), PTPBMCA_OK);
            after = wall_ns();
            GIVES(ptpbmca_receiver_time(sessions[i], local_ns, &receiver_ns), PTPBMCA_OK);
            GIVES(ptpbmca_offset(sessions[i], &offset), PTPBMCA_OK);
            error = (int64_t)(receiver_ns - truth_at(truth, before + (after - before) / 2 - wall_minus_truth));
            error = error < 0 ? -error : error;
            if (error > worst[i])
                worst[i] = error;
            if ((uint64_t)error > offset.error_ns + (uint64_t)(after - before))
                outside[i]++;
        }
    }
    for (int i = 0; i < 2; i++) {
        GIVES(ptpbmca_offset(sessions[i], &offset), PTPBMCA_OK);
        GIVES(ptpbmca_status(sessions[i], &status), PTPBMCA_OK);
        printf("%s: at worst %.1f us off, %d of %d outside the bound (%.1f us now), path delay %.1f us, skew %.3f ppm, "
               "epoch %" PRIu32 ", stamps %d, Delay_Req sent %" PRIu64 ", Delay_Resp used %" PRIu64 ", refused sends %" PRIu64 "\n",
               names[i], (double)worst[i] / 1e3, outside[i], SAMPLES, (double)offset.error_ns / 1e3,
               (double)offset.path_delay_ns / 1e3, offset.skew_ppm, offset.epoch, (int)status.kernel_receive_stamps,
               (uint64_t)status.sent.delay_req, (uint64_t)status.delay_resp_used, status.send_errors);
        CHECK(offset.epoch == 0 && offset.sync_state == PTPBMCA_SYNC_LOCKED);
        CHECK(outside[i] == 0);
    }
    for (int i = 0; i < 2; i++)
        GIVES(ptpbmca_stop(sessions[i]), PTPBMCA_OK);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "arguments"))
        arguments();
    else if (argc == 2 && !strcmp(argv[1], "ports"))
        ports();
    else if (argc == 4 && !strcmp(argv[1], "lead"))
        lead(argv[2], argv[3]);
    else if (argc == 6 && !strcmp(argv[1], "follow"))
        follow(argv[2], argv[3], argv[4], _strtoi64(argv[5], NULL, 10));
    else
        FAIL("usage: see the first comment");
    return 0;
}
