/*
 * socket-activation: what time it is on a receiver, for a program without any privilege: UDP 319 and 320 were bound by
 * systemd, or by whoever speaks its protocol (LISTEN_PID, LISTEN_FDS). No library of systemd is needed.
 *
 *     socket-activation RECEIVER [--ports EVENT GENERAL] [--seconds N]
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <ptpbmca.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The first descriptor that is handed over (sd_listen_fds(3)). */
#define FIRST_DESCRIPTOR 3

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* The port a UDP socket is bound to; 0: this is none. */
static uint16_t bound_port(int fd)
{
    struct sockaddr_storage at;
    socklen_t length = sizeof at;
    int type = 0;
    socklen_t type_length = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_length) != 0 || type != SOCK_DGRAM)
        return 0;
    if (getsockname(fd, (struct sockaddr *)&at, &length) != 0)
        return 0;
    if (at.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&at)->sin_port);
    return at.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&at)->sin6_port) : 0;
}

/* Finds the two sockets among those handed over, by the ports they are bound to. All sockets of one unit have one name,
   so a name cannot tell them apart. 0: both are there. */
static int take_sockets(ptpbmca_config *config)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    int fd, end;
    /* Inherited from a parent for whom they were meant, they are not ours. */
    if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid())
        return -1;
    end = FIRST_DESCRIPTOR + atoi(count);
    for (fd = FIRST_DESCRIPTOR; fd < end; fd++) {
        uint16_t port = bound_port(fd);
        /* They come open across exec. */
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (port == config->event_port)
            config->event_socket = fd;
        else if (port == config->general_port)
            config->general_socket = fd;
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return config->event_socket >= 0 && config->general_socket >= 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct sigaction on_end = {.sa_handler = on_signal};
    const char *receiver = NULL;
    long seconds = 0, passed;
    ptpbmca_config config;
    ptpbmca_session *session;
    ptpbmca_session_status status;
    ptpbmca_error error;
    ptpbmca_result result;
    int i;

    ptpbmca_config_init(&config, sizeof config);
    for (i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--ports") && i + 2 < argc) {
            config.event_port = (uint16_t)atoi(argv[++i]);
            config.general_port = (uint16_t)atoi(argv[++i]);
        } else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
            seconds = atol(argv[++i]);
        else if (argv[i][0] != '-' && !receiver)
            receiver = argv[i];
        else
            receiver = "";
    }
    if (!receiver || !*receiver) {
        fprintf(stderr, "usage: %s RECEIVER [--ports EVENT GENERAL] [--seconds N]\n", argv[0]);
        return 2;
    }
    if (take_sockets(&config) != 0) {
        fprintf(stderr, "no UDP sockets for ports %d and %d were handed over (LISTEN_FDS): start this as a service with a "
                        "socket unit\n", config.event_port, config.general_port);
        return 1;
    }

    sigaction(SIGINT, &on_end, NULL);
    sigaction(SIGTERM, &on_end, NULL);
    result = ptpbmca_start(receiver, &config, &session, &error);
    if (result != PTPBMCA_OK) {
        fprintf(stderr, "%s: %s\n", ptpbmca_result_name(result), error.message);
        return 1;
    }
    if (ptpbmca_status(session, &status) == PTPBMCA_OK)
        printf("event messages on UDP %d, general ones on %d\n", status.event_port, status.general_port);
    result = ptpbmca_await_sync(session, 5000);
    if (result != PTPBMCA_OK)
        fprintf(stderr, "%s: %s\n", ptpbmca_result_name(result), ptpbmca_result_message(result));
    for (passed = 0; !stopped && (seconds == 0 || passed < seconds); passed++) {
        struct timespec pause = {1, 0};
        uint64_t now;
        if (ptpbmca_receiver_now(session, &now) == PTPBMCA_OK)
            printf("the receiver's clock reads %" PRIu64 " ns\n", now);
        else if (ptpbmca_status(session, &status) == PTPBMCA_OK)
            printf("%s\n", status.advice);
        fflush(stdout);
        nanosleep(&pause, NULL);
    }
    /* The library worked on duplicates: the sockets stay ours, for the next session too, until this program ends. */
    result = ptpbmca_stop(session);
    return result != PTPBMCA_OK;
}
