/*
 * ports: sockets bound by somebody else, ports that are taken, and ports that take a privilege. Binds 127.0.25.x.
 *
 *     ports RECEIVER
 */
#define _GNU_SOURCE
#include "check.h"
#include "receiver.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define LOCAL "127.0.25.1"
#define PORT 22719

static int bound(const char *address, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, address, &at.sin_addr);
    CHECK(fd >= 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        FAIL("the test cannot bind %s port %d: %s", address, port, strerror(errno));
    return fd;
}

static ptpbmca_error refused(const char *receiver, const ptpbmca_config *config, ptpbmca_result expected)
{
    ptpbmca_session *session;
    ptpbmca_error error;
    ARM(session), ARM(error);
    GIVES(ptpbmca_start(receiver, config, &session, &error), expected);
    UNTOUCHED(session);
    CHECK(error.result == expected);
    return error;
}

static void is_followed(const ptpbmca_session *session, struct receiver *receiver)
{
    struct sample sample;
    GIVES(ptpbmca_await_sync(session, 15000), PTPBMCA_OK);
    sample = compare_now(session, receiver);
    if (!within(sample))
        FAIL("off by %" PRId64 " ns, the bound is %" PRIu64, sample.error_ns, sample.bound_ns);
}

/* A session on sockets of ours, which close before it does; and a second one whose sockets happen to get the numbers of
   the first. */
static void handed_over(const char *program)
{
    const char *const first[] = {"--address", "127.0.25.2", "--event-port", "22719", "--general-port", "22720", NULL};
    const char *const second[] = {"--address", "127.0.25.3", "--event-port", "22719", "--general-port", "22720", NULL};
    struct receiver receivers[2] = {receiver_start(program, first), receiver_start(program, second)};
    ptpbmca_config config = loopback(NULL, PORT);
    ptpbmca_session *session, *shared, *other;
    ptpbmca_session_status status;
    int event = bound(LOCAL, PORT), general = bound(LOCAL, PORT + 1), again[2];
    config.event_socket = event;
    config.general_socket = general;
    session = started("127.0.25.2", &config);
    /* The same two serve a second session. */
    shared = started("127.0.25.3", &config);
    close(event);
    close(general);
    is_followed(session, &receivers[0]);
    is_followed(shared, &receivers[1]);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    CHECK(status.event_port == PORT && status.general_port == PORT + 1 && !status.ephemeral_ports);
    stop(shared);

    /* Other sockets under the same numbers: another address, which the receiver answers to. */
    again[0] = bound("127.0.25.9", PORT);
    again[1] = bound("127.0.25.9", PORT + 1);
    CHECK(again[0] == event && again[1] == general);
    other = started("127.0.25.3", &config);
    close(again[0]);
    close(again[1]);
    is_followed(other, &receivers[1]);
    /* Whoever stops first takes only its own sockets along: those of the first are still bound, and heard. */
    stop(session);
    close(bound(LOCAL, PORT));
    is_followed(other, &receivers[1]);
    pause_ms(1500);
    GIVES(ptpbmca_status(other, &status), PTPBMCA_OK);
    CHECK(status.clock.sync_state == PTPBMCA_SYNC_LOCKED);
    stop(other);
    close(bound("127.0.25.9", PORT));
    receiver_end(&receivers[0]);
    receiver_end(&receivers[1]);
}

/* Each of two sockets on the port of the other. */
static void swapped(void)
{
    ptpbmca_config config = loopback(NULL, PORT + 20);
    ptpbmca_error error;
    int event = bound(LOCAL, PORT + 20), general = bound(LOCAL, PORT + 21);
    config.event_socket = general;
    config.general_socket = event;
    error = refused("127.0.25.4", &config, PTPBMCA_ERR_INVALID_ARGUMENT);
    if (!strstr(error.message, "swap"))
        FAIL("the message does not tell of the swap: %s", error.message);
    close(event);
    close(general);
}

/* Another program has the ports: here, this one. */
static void taken(int which)
{
    ptpbmca_config config = loopback(LOCAL, PORT + 10);
    int theirs = bound(LOCAL, PORT + 10 + which);
    ptpbmca_session *session, *strict;
    ptpbmca_session_status status;
    ptpbmca_error error = refused("127.0.25.4", &config, PTPBMCA_ERR_ADDRESS_IN_USE);
    char port[16];
    snprintf(port, sizeof port, "%d", PORT + 10 + which);
    CHECK(error.os_error == EADDRINUSE);
    if (!strstr(error.message, "ptp4l") || !strstr(error.message, "nqptp") || !strstr(error.message, port))
        FAIL("the message names neither port nor culprits: %s", error.message);
    config.allow_ephemeral_ports = 1;
    session = started("127.0.25.4", &config);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    CHECK(status.ephemeral_ports == 1);
    CHECK(status.event_port != 0 && status.general_port != 0 && status.event_port != status.general_port);
    CHECK(status.event_port != PORT + 10 && status.general_port != PORT + 11);
    /* One session's leave to use others is not another one's. */
    config.allow_ephemeral_ports = 0;
    refused("127.0.25.5", &config, PTPBMCA_ERR_ADDRESS_IN_USE);
    close(theirs);
    /* The ports are free now: who asks for them gets them, and the first one keeps its own. */
    strict = started("127.0.25.5", &config);
    GIVES(ptpbmca_status(strict, &status), PTPBMCA_OK);
    CHECK(status.event_port == PORT + 10 && status.general_port == PORT + 11 && !status.ephemeral_ports);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    CHECK(status.ephemeral_ports == 1);
    stop(session);
    stop(strict);
    /* All is closed. */
    close(bound(LOCAL, PORT + 10));
    close(bound(LOCAL, PORT + 11));
}

/* The library's own sockets are in nobody's way twice: a session that stopped leaves the ports, one that runs keeps
   them. */
static void exclusive(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT + 20)};
    ptpbmca_config config = loopback(LOCAL, PORT + 20);
    ptpbmca_session *session = started("127.0.25.6", &config);
    int one = 1, fd = socket(AF_INET, SOCK_DGRAM, 0);
    inet_pton(AF_INET, LOCAL, &at.sin_addr);
    /* Not even a program that would share gets them. */
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) != 0 && errno == EADDRINUSE);
    stop(session);
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    close(fd);
}

/* In a child without privileges: 0 all well, 1 told, 2 not to be seen here. */
static int without_privilege(void)
{
    ptpbmca_config config = loopback(LOCAL, 319);
    static const char *const remedies[] = {"root", "CAP_NET_BIND_SERVICE", "ip_unprivileged_port_start", "socket"};
    ptpbmca_error error;
    ptpbmca_session *session;
    ptpbmca_session_status status;
    int fd;
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
        return 2;
    {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(319)};
        inet_pton(AF_INET, "127.0.25.77", &at.sin_addr);
        fd = socket(AF_INET, SOCK_DGRAM, 0);
        if (bind(fd, (struct sockaddr *)&at, sizeof at) == 0 || errno != EACCES)
            return 2;
        close(fd);
    }
    error = refused("127.0.25.7", &config, PTPBMCA_ERR_PERMISSION);
    CHECK(error.os_error == EACCES);
    printf("without privilege: \"%s\"\n", error.message);
    CHECK(strlen(error.message) < sizeof error.message);
    /* Whole: it ends as a sentence does. */
    CHECK(error.message[strlen(error.message) - 1] == '.');
    CHECK(strstr(error.message, "319"));
    for (size_t i = 0; i < sizeof remedies / sizeof remedies[0]; i++)
        if (!strstr(error.message, remedies[i]))
            FAIL("the message does not name the remedy \"%s\"", remedies[i]);
    for (size_t i = 0; i < sizeof remedies / sizeof remedies[0] - 1; i++)
        if (!strstr(ptpbmca_result_message(PTPBMCA_ERR_PERMISSION), remedies[i]))
            FAIL("the result's message does not name the remedy \"%s\"", remedies[i]);
    /* Where no address is asked for, on IPv6 or IPv4, and with the longest one that is. */
    config.local_address = NULL;
    error = refused("127.0.25.7", &config, PTPBMCA_ERR_PERMISSION);
    CHECK(strstr(error.message, "hand over") || strstr(error.message, "socket"));
    config.local_address = "2001:db8:1111:2222:3333:4444:5555:6666";
    GIVES(ptpbmca_start("2001:db8::1", &config, &session, &error), error.result);
    if (error.result == PTPBMCA_ERR_PERMISSION)
        CHECK(strstr(error.message, "socket") && error.message[strlen(error.message) - 1] == '.');
    config.local_address = LOCAL;
    config.allow_ephemeral_ports = 1;
    session = started("127.0.25.7", &config);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    CHECK(status.ephemeral_ports == 1 && status.event_port >= 1024 && status.general_port >= 1024);
    stop(session);
    return 0;
}

static int privileges(void)
{
    int status;
    pid_t child;
    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int outcome = without_privilege();
        fflush(stdout);
        _exit(outcome);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 1)
        exit(1);
    return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    int skipped;
    CHECK(argc == 2);
    /* First, in a child of a process that has not used the library yet. */
    skipped = privileges();
    taken(0);
    taken(1);
    exclusive();
    handed_over(argv[1]);
    swapped();
    printf("longest stop %.1f ms\n", (double)longest_stop_ns / 1e6);
    if (skipped)
        printf("ports below 1024 take no privilege here: their refusal was not seen\n");
    return 0;
}
