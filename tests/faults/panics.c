/*
 * panics: a bug in the worker ends its sessions, and nothing else: calls say so, who waits wakes, the host lives, and the
 * next start has a worker again. The library is one with bugs planted (src/planted.rs). Binds 127.0.56.x.
 *
 *     PTPBMCA_PLANTED=panic-PLACE panics PLACE
 */
#define _GNU_SOURCE
#include "faults.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define LOCAL "127.0.56.1"
#define RECEIVER "127.0.56.2"
#define PORT 25719

enum place { PACKET, TIMER, EVENT, PLACES };
static const char *const names[PLACES] = {"packet", "timer", "event"};

static atomic_int errors_logged, events;

static void on_log(void *user_data, ptpbmca_log_level level, const char *message)
{
    (void)user_data;
    if (level == PTPBMCA_LOG_ERROR && strstr(message, "bug"))
        atomic_fetch_add(&errors_logged, 1);
}

static void on_event(void *user_data, ptpbmca_session *session, ptpbmca_event event, const ptpbmca_clock_offset *now)
{
    (void)user_data, (void)session, (void)event, (void)now;
    atomic_fetch_add(&events, 1);
}

struct waiter {
    pthread_t thread;
    ptpbmca_session *session;
    atomic_int gave;
};

static void *wait_long(void *argument)
{
    struct waiter *waiter = argument;
    atomic_store(&waiter->gave, ptpbmca_await_sync(waiter->session, 600000));
    return NULL;
}

static void send_a_packet(void)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, RECEIVER, &from.sin_addr);
    inet_pton(AF_INET, LOCAL, &to.sin_addr);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&from, sizeof from) == 0);
    CHECK(sendto(fd, "?", 1, 0, (struct sockaddr *)&to, sizeof to) == 1);
    close(fd);
}

static void every_call_fails(ptpbmca_session *session)
{
    ptpbmca_clock_offset offset;
    ptpbmca_anchor_time anchor;
    ptpbmca_session_status status;
    uint64_t receiver_ns;
    int64_t local_ns;
    ARM(offset), ARM(anchor), ARM(status), ARM(receiver_ns), ARM(local_ns);
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_ERR_INTERNAL);
    GIVES(ptpbmca_receiver_time(session, 1, &receiver_ns), PTPBMCA_ERR_INTERNAL);
    GIVES(ptpbmca_receiver_now(session, &receiver_ns), PTPBMCA_ERR_INTERNAL);
    GIVES(ptpbmca_local_time(session, 1, &local_ns), PTPBMCA_ERR_INTERNAL);
    GIVES(ptpbmca_anchor(session, 1, &anchor), PTPBMCA_ERR_INTERNAL);
    GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_ERR_INTERNAL);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_ERR_INTERNAL);
    GIVES(ptpbmca_await_sync(session, 600000), PTPBMCA_ERR_INTERNAL);
    UNTOUCHED(offset);
    UNTOUCHED(anchor);
    UNTOUCHED(status);
    UNTOUCHED(receiver_ns);
    UNTOUCHED(local_ns);
}

static void panics(enum place place, int round)
{
    ptpbmca_config config = loopback(LOCAL, PORT);
    struct waiter waiters[3];
    ptpbmca_session *sessions[3], *later;
    ptpbmca_clock_offset offset;
    int events_then, errors_then = atomic_load(&errors_logged);
    config.role = PTPBMCA_ROLE_AUTO;
    config.announce_timeout_ms = 60000;
    GIVES(ptpbmca_start(RECEIVER, &config, &sessions[0], NULL), PTPBMCA_OK);
    GIVES(ptpbmca_start("127.0.56.3", &config, &sessions[1], NULL), PTPBMCA_OK);
    for (int i = 0; i < 2; i++) {
        waiters[i].session = sessions[i];
        atomic_init(&waiters[i].gave, 1);
        CHECK(pthread_create(&waiters[i].thread, NULL, wait_long, &waiters[i]) == 0);
    }
    pause_ms(20);
    CHECK(ptpbmca_offset(sessions[0], &offset) == PTPBMCA_OK);
    /* What makes it happen; a session that leads has timers, and is told of it. */
    config.on_event = on_event;
    config.announce_timeout_ms = place == PACKET ? 60000 : 150;
    GIVES(ptpbmca_start("127.0.56.4", &config, &sessions[2], NULL), PTPBMCA_OK);
    if (place == PACKET)
        send_a_packet();
    EVENTUALLY(ptpbmca_offset(sessions[2], &offset) == PTPBMCA_ERR_INTERNAL, 5);
    for (int i = 0; i < 2; i++) {
        EVENTUALLY(atomic_load(&waiters[i].gave) != 1, 10);
        if (atomic_load(&waiters[i].gave) != PTPBMCA_ERR_INTERNAL)
            FAIL("who waited is told %s", ptpbmca_result_name(atomic_load(&waiters[i].gave)));
        pthread_join(waiters[i].thread, NULL);
    }
    events_then = atomic_load(&events);
    for (int i = 0; i < 3; i++)
        every_call_fails(sessions[i]);
    EVENTUALLY(atomic_load(&errors_logged) == errors_then + 1, 5);
    /* One stops before there is a new worker, the others after. */
    GIVES(ptpbmca_stop(sessions[0]), PTPBMCA_ERR_INTERNAL);
    GIVES(ptpbmca_stop(sessions[0]), PTPBMCA_ERR_NO_SESSION);
    config.on_event = NULL;
    config.role = PTPBMCA_ROLE_LEAD;
    GIVES(ptpbmca_start(RECEIVER, &config, &later, NULL), PTPBMCA_OK);
    every_call_fails(sessions[1]);
    GIVES(ptpbmca_stop(sessions[1]), PTPBMCA_ERR_INTERNAL);
    GIVES(ptpbmca_stop(sessions[2]), PTPBMCA_ERR_INTERNAL);
    for (int i = 0; i < 3; i++)
        GIVES(ptpbmca_offset(sessions[i], &offset), PTPBMCA_ERR_NO_SESSION);
    if (place == TIMER) {
        EVENTUALLY(ptpbmca_offset(later, &offset) == PTPBMCA_ERR_INTERNAL, 10);
        GIVES(ptpbmca_stop(later), PTPBMCA_ERR_INTERNAL);
    } else {
        GIVES(ptpbmca_await_sync(later, 10000), PTPBMCA_OK);
        GIVES(ptpbmca_offset(later, &offset), PTPBMCA_OK);
        CHECK(offset.synchronized);
        stop(later);
    }
    CHECK(atomic_load(&events) == events_then);
    /* While it starts: the first event comes from within. */
    if (place == EVENT) {
        ptpbmca_error error;
        config.on_event = on_event;
        ARM(later), ARM(error);
        GIVES(ptpbmca_start(RECEIVER, &config, &later, &error), PTPBMCA_ERR_INTERNAL);
        UNTOUCHED(later);
        if (round == 0)
            printf("a start that meets the bug: \"%s\"\n", error.message);
    }
}

int main(int argc, char **argv)
{
    enum { ROUNDS = 8 };
    enum place place = PACKET;
    int fds = 0, threads = 0;
    CHECK(argc == 2);
    while (place < PLACES && strcmp(argv[1], names[place]) != 0)
        place++;
    CHECK(place < PLACES);
    GIVES(ptpbmca_set_log_callback(on_log, NULL, PTPBMCA_LOG_ERROR), PTPBMCA_OK);
    for (int round = 0; round < ROUNDS; round++) {
        panics(place, round);
        if (round == 0)
            fds = count_fds(), threads = 1;
    }
    /* The last worker ends after it has told. */
    EVENTUALLY(count_threads() == threads, 5);
    {
        ptpbmca_config config = loopback(LOCAL, PORT);
        ptpbmca_session *session;
        ptpbmca_result result;
        /* A worker that has failed is cleared away by the next start. */
        config.role = PTPBMCA_ROLE_FOLLOW;
        GIVES(ptpbmca_start(RECEIVER, &config, &session, NULL), PTPBMCA_OK);
        result = ptpbmca_stop(session);
        CHECK(result == PTPBMCA_OK || result == PTPBMCA_ERR_INTERNAL);
    }
    EVENTUALLY(count_threads() == threads, 5);
    if (count_fds() > fds)
        FAIL("leaks: %d descriptors after %d", count_fds(), fds);
    printf("%s: %d times, all calls say ERR_INTERNAL, waiters wake, the next start has a worker\n", names[place], ROUNDS);
    return 0;
}
