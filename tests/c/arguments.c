/*
 * arguments: every wrong call gives its error, leaves its outputs alone and harms no session. Binds 127.0.16.x.
 */
#define _GNU_SOURCE
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LOCAL "127.0.16.1"
#define PORT 21319

/* Every call that takes a session, on one that is none. */
static void no_session(const void *made_up)
{
    ptpbmca_session *session = (ptpbmca_session *)(uintptr_t)made_up;
    ptpbmca_clock_offset offset;
    ptpbmca_anchor_time anchor;
    ptpbmca_session_status status;
    uint64_t receiver_ns;
    int64_t local_ns;
    ARM(offset), ARM(anchor), ARM(status), ARM(receiver_ns), ARM(local_ns);
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_receiver_time(session, 1, &receiver_ns), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_receiver_now(session, &receiver_ns), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_local_time(session, 1, &local_ns), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_anchor(session, 1, &anchor), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_await_sync(session, 10000), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_stop(session), session ? PTPBMCA_ERR_NO_SESSION : PTPBMCA_OK);
    UNTOUCHED(offset);
    UNTOUCHED(anchor);
    UNTOUCHED(status);
    UNTOUCHED(receiver_ns);
    UNTOUCHED(local_ns);
}

/* A start that must fail: with a message that says something, a result that agrees, and no session. */
static ptpbmca_error refused(const char *receiver, const ptpbmca_config *config, ptpbmca_result expected)
{
    ptpbmca_session *session;
    ptpbmca_error error;
    ptpbmca_result result;
    ARM(session), ARM(error);
    result = ptpbmca_start(receiver, config, &session, &error);
    if (result != expected)
        FAIL("start(\"%.60s\") gives %s, not %s", receiver ? receiver : "NULL", ptpbmca_result_name(result),
             ptpbmca_result_name(expected));
    UNTOUCHED(session);
    CHECK(error.result == expected);
    CHECK(memchr(error.message, 0, sizeof error.message) != NULL);
    if (strlen(error.message) < 20)
        FAIL("the message says nothing: \"%s\"", error.message);
    for (size_t i = 0; i < sizeof error.reserved / sizeof error.reserved[0]; i++)
        CHECK(error.reserved[i] == 0);
    /* No details are wanted: the same result. */
    ARM(session);
    GIVES(ptpbmca_start(receiver, config, &session, NULL), expected);
    UNTOUCHED(session);
    return error;
}

static void names_and_messages(void)
{
    static const char *const names[] = {
        "PTPBMCA_OK",
        "PTPBMCA_ERR_INVALID_ARGUMENT",
        "PTPBMCA_ERR_INVALID_ADDRESS",
        "PTPBMCA_ERR_PERMISSION",
        "PTPBMCA_ERR_ADDRESS_IN_USE",
        "PTPBMCA_ERR_NETWORK",
        "PTPBMCA_ERR_NO_SESSION",
        "PTPBMCA_ERR_NOT_SYNCHRONIZED",
        "PTPBMCA_ERR_TIMEOUT",
        "PTPBMCA_ERR_WOULD_DEADLOCK",
        "PTPBMCA_ERR_LIMIT",
        "PTPBMCA_ERR_INTERNAL",
    };
    const int known = (int)(sizeof names / sizeof names[0]);
    for (int result = -100; result <= 100; result++) {
        const char *name = ptpbmca_result_name(result), *message = ptpbmca_result_message(result);
        CHECK(name && message);
        CHECK(strlen(message) > 10 && message[strlen(message) - 1] == '.');
        if (result <= 0 && -result < known)
            CHECK(!strcmp(name, names[-result]));
        else
            CHECK(!strcmp(name, ptpbmca_result_name(INT32_MIN)));
        /* Static: the same the next time. */
        CHECK(name == ptpbmca_result_name(result) && message == ptpbmca_result_message(result));
    }
    CHECK(ptpbmca_result_name(INT32_MAX) && ptpbmca_result_message(INT32_MIN));
    CHECK(!strcmp(ptpbmca_version(), "0.1.0"));
}

static void config_sizes(void)
{
    const uint32_t wrong[] = {0, 1, 4, 8, sizeof(ptpbmca_config) - 1, sizeof(ptpbmca_config) / 2, 1 << 20, UINT32_MAX};
    struct {
        ptpbmca_config config;
        unsigned char tail[64];
    } larger;
    ptpbmca_config config;
    ptpbmca_session *session;
    GIVES(ptpbmca_config_init(NULL, sizeof config), PTPBMCA_ERR_INVALID_ARGUMENT);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ARM(config);
        GIVES(ptpbmca_config_init(&config, wrong[i]), PTPBMCA_ERR_INVALID_ARGUMENT);
        UNTOUCHED(config);
        config = loopback(LOCAL, PORT);
        config.struct_size = wrong[i];
        refused("127.0.16.2", &config, PTPBMCA_ERR_INVALID_ARGUMENT);
    }
    /* A caller of a later version: every byte set, and accepted while what this one does not know is zero. */
    ARM(larger);
    GIVES(ptpbmca_config_init(&larger.config, sizeof larger), PTPBMCA_OK);
    CHECK(larger.config.struct_size == sizeof larger);
    for (size_t i = 0; i < sizeof larger.tail; i++)
        CHECK(larger.tail[i] == 0);
    larger.config.local_address = LOCAL;
    larger.config.event_port = PORT;
    larger.config.general_port = PORT + 1;
    larger.config.ready_timeout_ms = 0;
    session = started("127.0.16.2", &larger.config);
    stop(session);
    for (size_t i = 0; i < sizeof larger.tail; i += sizeof larger.tail - 1) {
        larger.tail[i] = 1;
        refused("127.0.16.2", &larger.config, PTPBMCA_ERR_INVALID_ARGUMENT);
        larger.tail[i] = 0;
    }
}

static void settings(void)
{
    const ptpbmca_config good = loopback(LOCAL, PORT);
    ptpbmca_config config;
#define REFUSED_WITH(field, value)                                                                                     \
    do {                                                                                                               \
        config = good;                                                                                                 \
        config.field = (value);                                                                                        \
        refused("127.0.16.2", &config, PTPBMCA_ERR_INVALID_ARGUMENT);                                                  \
    } while (0)
    REFUSED_WITH(role, 3);
    REFUSED_WITH(role, UINT32_MAX);
    REFUSED_WITH(local_clock, 2);
    REFUSED_WITH(local_clock, UINT32_MAX);
    REFUSED_WITH(major_sdo_id, 16);
    REFUSED_WITH(major_sdo_id, 255);
    REFUSED_WITH(allow_ephemeral_ports, 2);
    REFUSED_WITH(event_port, 0);
    REFUSED_WITH(general_port, 0);
    REFUSED_WITH(general_port, PORT);
    REFUSED_WITH(event_socket, 0);
    REFUSED_WITH(general_socket, 0);
    ARM(config);
    refused(NULL, &good, PTPBMCA_ERR_INVALID_ARGUMENT);
    refused(NULL, NULL, PTPBMCA_ERR_INVALID_ARGUMENT);
    {
        ptpbmca_error error;
        ARM(error);
        GIVES(ptpbmca_start("127.0.16.2", &good, NULL, &error), PTPBMCA_ERR_INVALID_ARGUMENT);
        CHECK(error.result == PTPBMCA_ERR_INVALID_ARGUMENT && strlen(error.message) > 10);
        GIVES(ptpbmca_start("127.0.16.2", &good, NULL, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);
        GIVES(ptpbmca_start(NULL, NULL, NULL, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);
    }
}

static int udp(const char *address, int port, int bound)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    inet_pton(AF_INET, address, &at.sin_addr);
    CHECK(fd >= 0);
    CHECK(!bound || bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    return fd;
}

static void sockets_handed_over(void)
{
    const ptpbmca_config good = loopback(NULL, PORT);
    ptpbmca_config config = good;
    int bound = udp(LOCAL, PORT + 100, 1), unbound = udp(LOCAL, 0, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);
    int local = socket(AF_UNIX, SOCK_DGRAM, 0), ends[2], closed = dup(bound);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT + 101)};
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0ptpbmca-arguments-test"};
    inet_pton(AF_INET, LOCAL, &at.sin_addr);
    CHECK(tcp >= 0 && bind(tcp, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(bind(local, (struct sockaddr *)&name, sizeof name) == 0);
    CHECK(pipe(ends) == 0);
    close(closed);
    const int64_t wrong[] = {unbound, tcp, local, ends[0], closed, -2, 1 << 20, INT64_MAX, INT64_MIN, (int64_t)bound << 32};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        for (int swapped = 0; swapped < 2; swapped++) {
            config.event_socket = swapped ? bound : wrong[i];
            config.general_socket = swapped ? wrong[i] : bound;
            refused("127.0.16.2", &config, PTPBMCA_ERR_INVALID_ARGUMENT);
        }
    /* One alone. */
    config.event_socket = bound;
    config.general_socket = -1;
    refused("127.0.16.2", &config, PTPBMCA_ERR_INVALID_ARGUMENT);
    config.event_socket = -1;
    config.general_socket = bound;
    refused("127.0.16.2", &config, PTPBMCA_ERR_INVALID_ARGUMENT);
    close(bound), close(unbound), close(tcp), close(local), close(ends[0]), close(ends[1]);
}

static void addresses(void)
{
    static const char *const wrong[] = {
        "",           " ",         "homepod.local",  "localhost",        "10.0.0",      "10.0.0.7:319", "[::1]",
        "127.0.16.2,", ",",         "127.0.16.2,,127.0.16.3", "0.0.0.0", "::",          "224.0.1.129",  "ff0e::181",
        "ff02::181%lo", "255.255.255.255", "fe80::1", "fe80::1%nosuchif", "fe80::1%",   "10.0.0.7%lo",  "10.0.0.256",
        "::ffff:0.0.0.0", "\xff\xfe", "127.0.16.2;127.0.16.3", "127.1",   "0x7f000001", "1", "127.0.16.2/8",
        "::ffff:224.0.0.1",
    };
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session;
    char longer[2001];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        config.local_address = NULL;
        refused(wrong[i], &config, PTPBMCA_ERR_INVALID_ADDRESS);
        config.local_address = wrong[i];
        if (!strchr(wrong[i], ','))
            refused("127.0.16.2", &config, PTPBMCA_ERR_INVALID_ADDRESS);
    }
    for (int filler = 0; filler < 3; filler++) {
        memset(longer, "1,a"[filler], sizeof longer - 1);
        longer[sizeof longer - 1] = 0;
        config.local_address = NULL;
        refused(longer, &config, PTPBMCA_ERR_INVALID_ADDRESS);
        config.local_address = longer;
        refused("127.0.16.2", &config, PTPBMCA_ERR_INVALID_ADDRESS);
    }
    /* Another family than the receiver's, and several addresses for the local one. */
    config.local_address = "::1";
    refused("127.0.16.2", &config, PTPBMCA_ERR_INVALID_ADDRESS);
    config.local_address = "127.0.16.1,127.0.16.4";
    refused("127.0.16.2", &config, PTPBMCA_ERR_INVALID_ADDRESS);
    /* An address of another host (192.0.2.0/24 is nobody's) is the network's refusal, with the system's words. */
    config.local_address = "192.0.2.1";
    CHECK(refused("127.0.16.2", &config, PTPBMCA_ERR_NETWORK).os_error != 0);
    /* What is right: several, with blanks, repeated, IPv4 in IPv6. */
    config.local_address = LOCAL;
    session = started(" 127.0.16.2 , 127.0.16.3,127.0.16.2", &config);
    stop(session);
    session = started("::ffff:127.0.16.2", &config);
    stop(session);
}

static void outputs(ptpbmca_session *session)
{
    unsigned char room[sizeof(ptpbmca_session_status) + 8];
    ptpbmca_session **misaligned;
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_clock_offset offset;
    ptpbmca_anchor_time anchor;
    uint64_t receiver_ns;
    int64_t local_ns;
    GIVES(ptpbmca_offset(session, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_receiver_time(session, 1, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_receiver_now(session, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_local_time(session, 1, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_anchor(session, 1, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_local_now(session, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_status(session, NULL), PTPBMCA_ERR_INVALID_ARGUMENT);

    /* Not synchronised (nobody is at 127.0.16.2): the local time is passed through, not below 0. */
    ARM(offset);
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    CHECK(!offset.synchronized && offset.sync_state == PTPBMCA_SYNC_SILENT && offset.role == PTPBMCA_LISTENING);
    CHECK(offset.offset_ns == 0 && offset.error_ns == UINT64_MAX && offset.age_ns == UINT64_MAX && offset.epoch == 0);
    CHECK(offset.grandmaster_id == 0 && offset.receiver_clock_id == 0 && offset.local_clock_id != 0);
    CHECK(offset.path_delay_ns == 0);
    {
        const int64_t times[] = {INT64_MIN, -1, 0, 1, 1789012345678901234, INT64_MAX};
        for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
            uint64_t expected = times[i] < 0 ? 0 : (uint64_t)times[i];
            ARM(receiver_ns), ARM(anchor), ARM(local_ns);
            GIVES(ptpbmca_receiver_time(session, times[i], &receiver_ns), PTPBMCA_ERR_NOT_SYNCHRONIZED);
            CHECK(receiver_ns == expected);
            GIVES(ptpbmca_anchor(session, times[i], &anchor), PTPBMCA_ERR_NOT_SYNCHRONIZED);
            CHECK(anchor.receiver_ns == expected && anchor.seconds == expected / 1000000000 && anchor.epoch == 0);
            GIVES(ptpbmca_local_time(session, expected, &local_ns), PTPBMCA_ERR_NOT_SYNCHRONIZED);
            CHECK(local_ns == (int64_t)expected);
        }
    }
    ARM(local_ns);
    GIVES(ptpbmca_local_time(session, UINT64_MAX, &local_ns), PTPBMCA_ERR_NOT_SYNCHRONIZED);
    CHECK(local_ns == INT64_MAX);
    {
        int64_t before = raw_clock(CLOCK_REALTIME), after;
        ARM(receiver_ns), ARM(local_ns);
        GIVES(ptpbmca_receiver_now(session, &receiver_ns), PTPBMCA_ERR_NOT_SYNCHRONIZED);
        GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_OK);
        after = raw_clock(CLOCK_REALTIME);
        CHECK(local_ns >= before && local_ns <= after);
        /* The snapshot's difference of the clocks is as good as they can be compared. */
        CHECK(receiver_ns + 1000000 >= (uint64_t)before && receiver_ns <= (uint64_t)after + 1000000);
    }
    GIVES(ptpbmca_await_sync(session, 0), PTPBMCA_ERR_TIMEOUT);
    GIVES(ptpbmca_await_sync(session, 30), PTPBMCA_ERR_TIMEOUT);

    /* Outputs at odd addresses. (Passed through void*: C has no say in where a foreign pointer points.) */
    for (size_t odd = 1; odd < 8; odd++) {
        void *out = room + odd;
        ARM(room);
        GIVES(ptpbmca_offset(session, out), PTPBMCA_OK);
        memcpy(&offset, out, sizeof offset);
        CHECK(offset.local_clock_id != 0 && offset.error_ns == UINT64_MAX);
        CHECK(room[odd - 1] == CANARY && room[odd + sizeof offset] == CANARY);
        GIVES(ptpbmca_receiver_time(session, 77, out), PTPBMCA_ERR_NOT_SYNCHRONIZED);
        memcpy(&receiver_ns, out, sizeof receiver_ns);
        CHECK(receiver_ns == 77);
        GIVES(ptpbmca_receiver_now(session, out), PTPBMCA_ERR_NOT_SYNCHRONIZED);
        GIVES(ptpbmca_local_time(session, 78, out), PTPBMCA_ERR_NOT_SYNCHRONIZED);
        memcpy(&local_ns, out, sizeof local_ns);
        CHECK(local_ns == 78);
        GIVES(ptpbmca_anchor(session, 79, out), PTPBMCA_ERR_NOT_SYNCHRONIZED);
        GIVES(ptpbmca_local_now(session, out), PTPBMCA_OK);
        GIVES(ptpbmca_status(session, out), PTPBMCA_OK);
        GIVES(ptpbmca_config_init(out, sizeof config), PTPBMCA_OK);
        ARM(room);
        misaligned = out;
        GIVES(ptpbmca_start("127.0.16.99", &config, misaligned, NULL), PTPBMCA_OK);
        {
            ptpbmca_session *other;
            memcpy(&other, out, sizeof other);
            stop(other);
        }
        out = room + odd;
        GIVES(ptpbmca_start("nobody", &config, &(ptpbmca_session *){NULL}, out), PTPBMCA_ERR_INVALID_ADDRESS);
    }
}

static void handles(void)
{
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session, *other;
    void *heap = malloc(64);
    int on_stack = 0;
    ptpbmca_clock_offset offset;
    /* Not leading by itself while this goes on, however slow the machine. */
    config.announce_timeout_ms = 600000;
    session = started("127.0.16.2", &config);
    other = started("127.0.16.3", &config);
    CHECK(session != other);
    outputs(session);
    for (uintptr_t number = 0; number < 5000; number++)
        no_session((void *)number);
    no_session(heap);
    no_session(&on_stack);
    no_session(&longest_stop_ns);
    no_session((void *)(uintptr_t)&ptpbmca_start);
    no_session((void *)UINTPTR_MAX);
    no_session((void *)(UINTPTR_MAX - 1));
    no_session((void *)(UINTPTR_MAX >> 1));
    for (unsigned bit = 0; bit < sizeof(uintptr_t) * 8; bit++)
        no_session((void *)((uintptr_t)session ^ (uintptr_t)1 << bit));
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    GIVES(ptpbmca_offset(other, &offset), PTPBMCA_OK);
    stop(session);
    no_session(session);
    GIVES(ptpbmca_stop(session), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_offset(other, &offset), PTPBMCA_OK);
    /* Its slot is used again, and it is still no session. */
    for (int i = 0; i < 50; i++) {
        ptpbmca_session *next = started("127.0.16.2", &config);
        CHECK(next != session);
        no_session(session);
        GIVES(ptpbmca_offset(next, &offset), PTPBMCA_OK);
        stop(next);
        no_session(next);
    }
    stop(other);
    no_session(other);
    free(heap);
}

static void conflicts(void)
{
    ptpbmca_config config = loopback(LOCAL, PORT), wanted = config;
    ptpbmca_session *session, *same;
    ptpbmca_session_status before, after;
    ptpbmca_error error;
    config.clock_id = 0x0011223344550008;
    wanted = config;
    session = started("127.0.16.2", &config);
#define CONFLICT(field, value)                                                                                         \
    do {                                                                                                               \
        wanted = config;                                                                                               \
        wanted.field = (value);                                                                                        \
        error = refused("127.0.16.2", &wanted, PTPBMCA_ERR_INVALID_ARGUMENT);                                          \
        if (!strstr(error.message, "127.0.16.2"))                                                                      \
            FAIL("the message does not say whom: %s", error.message);                                                  \
    } while (0)
    CONFLICT(role, PTPBMCA_ROLE_FOLLOW);
    CONFLICT(role, PTPBMCA_ROLE_LEAD);
    CONFLICT(clock_id, 0x0011223344560008);
    CONFLICT(clock_id, 0);
    CONFLICT(priority1, 100);
    CONFLICT(priority2, 100);
    CONFLICT(clock_class, 6);
    CONFLICT(domain, 1);
    CONFLICT(major_sdo_id, 0);
    /* One of several addresses is enough. */
    wanted = config;
    wanted.role = PTPBMCA_ROLE_FOLLOW;
    refused("127.0.16.77,127.0.16.2", &wanted, PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_status(session, &before), PTPBMCA_OK);
    CHECK(before.clock.local_clock_id == config.clock_id);
    /* The first one goes on: its opening is still being sent, to the last message. */
    EVENTUALLY(ptpbmca_status(session, &after) == PTPBMCA_OK && after.sent.sync >= 3 && after.sent.signaling >= 1, 5);
    /* What says the same in other words is no conflict, nor is what each has for itself. */
    wanted = config;
    wanted.priority1 = 250;
    wanted.priority2 = 128;
    wanted.clock_class = 248;
    wanted.local_clock = PTPBMCA_CLOCK_MONOTONIC;
    wanted.announce_timeout_ms = 9999;
    same = started("127.0.16.2", &wanted);
    CHECK(same != session);
    stop(session);
    GIVES(ptpbmca_status(same, &after), PTPBMCA_OK);
    CHECK(after.clock.local_clock_id == config.clock_id);
    stop(same);
    /* The association ended with its last session: other settings are fine now. */
    wanted = config;
    wanted.role = PTPBMCA_ROLE_FOLLOW;
    wanted.domain = 3;
    stop(started("127.0.16.2", &wanted));
}

/* The most sessions there may be, each with a receiver of its own, and again after they were stopped. */
static void limit(int rounds)
{
    enum { MOST = 1024 };
    static ptpbmca_session *sessions[MOST];
    ptpbmca_config config = loopback(LOCAL, PORT);
    char receiver[32];
    ptpbmca_clock_offset offset;
    config.role = PTPBMCA_ROLE_LEAD;
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < MOST; i++) {
            snprintf(receiver, sizeof receiver, "127.1.%d.%d", i / 250, i % 250 + 1);
            sessions[i] = started(receiver, &config);
        }
        refused("127.1.9.1", &config, PTPBMCA_ERR_LIMIT);
        GIVES(ptpbmca_offset(sessions[0], &offset), PTPBMCA_OK);
        CHECK(offset.synchronized && offset.sync_state == PTPBMCA_SYNC_LEADING);
        GIVES(ptpbmca_offset(sessions[MOST - 1], &offset), PTPBMCA_OK);
        /* One less makes room for one. */
        stop(sessions[500]);
        no_session(sessions[500]);
        sessions[500] = started("127.1.9.1", &config);
        refused("127.1.9.2", &config, PTPBMCA_ERR_LIMIT);
        for (int i = 0; i < MOST; i++)
            stop(sessions[(i * 7) % MOST]);
        for (int i = 0; i < MOST; i++)
            no_session(sessions[i]);
    }
}

static void log_levels(void)
{
    GIVES(ptpbmca_set_log_callback(NULL, NULL, 6), PTPBMCA_ERR_INVALID_ARGUMENT);
    GIVES(ptpbmca_set_log_callback(NULL, NULL, UINT32_MAX), PTPBMCA_ERR_INVALID_ARGUMENT);
    for (uint32_t level = PTPBMCA_LOG_OFF; level <= PTPBMCA_LOG_TRACE; level++)
        GIVES(ptpbmca_set_log_callback(NULL, NULL, level), PTPBMCA_OK);
}

int main(int argc, char **argv)
{
    /* Before there was ever a session. */
    no_session(NULL);
    no_session((void *)1);
    names_and_messages();
    log_levels();
    config_sizes();
    settings();
    sockets_handed_over();
    addresses();
    handles();
    conflicts();
    /* A tool that makes the program many times slower says so. */
    limit(argc > 1 && !strcmp(argv[1], "slow") ? 1 : 2);
    printf("longest stop %.1f ms\n", (double)longest_stop_ns / 1e6);
    return 0;
}
