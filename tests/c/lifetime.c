/*
 * lifetime: a process that forks or exits while sessions run, in every way there is. Binds 127.0.19.x.
 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define LOCAL "127.0.19.1"
#define PORT 21619

/* Waits for a child, at most ten seconds: one that hangs is killed and told. */
static void ends_well(pid_t child, const char *what)
{
    int64_t until = raw_monotonic() + 10000000000;
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (raw_monotonic() > until) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            FAIL("%s: hangs", what);
        }
        pause_ms(5);
    }
    if (!WIFEXITED(status))
        FAIL("%s: killed by signal %d", what, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        FAIL("%s: exit status %d", what, WEXITSTATUS(status));
}

static void on_log(void *user_data, ptpbmca_log_level level, const char *message)
{
    (void)level, (void)message;
    if (getpid() != *(pid_t *)user_data)
        FAIL("a log callback in the child");
}

static void on_event(void *user_data, ptpbmca_session *session, ptpbmca_event event, const ptpbmca_clock_offset *now)
{
    (void)session, (void)event, (void)now;
    if (getpid() != *(pid_t *)user_data)
        FAIL("an event callback in the child");
}

static ptpbmca_session *started_as(const char *receiver, ptpbmca_role_policy role)
{
    static pid_t parent;
    ptpbmca_config config = loopback(LOCAL, PORT);
    parent = getpid();
    config.role = role;
    config.on_event = on_event;
    config.user_data = &parent;
    GIVES(ptpbmca_set_log_callback(on_log, &parent, PTPBMCA_LOG_TRACE), PTPBMCA_OK);
    return started(receiver, &config);
}

static void in_the_child(ptpbmca_session *session)
{
    ptpbmca_clock_offset offset;
    ptpbmca_anchor_time anchor;
    ptpbmca_session_status status;
    ptpbmca_config config = loopback(LOCAL, PORT + 10);
    ptpbmca_session *another;
    ptpbmca_error error;
    uint64_t receiver_ns;
    int64_t local_ns;
    ARM(offset), ARM(anchor), ARM(status), ARM(receiver_ns), ARM(local_ns), ARM(another), ARM(error);
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_receiver_time(session, 1, &receiver_ns), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_receiver_now(session, &receiver_ns), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_local_time(session, 1, &local_ns), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_anchor(session, 1, &anchor), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_await_sync(session, 60000), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_ERR_NO_SESSION);
    UNTOUCHED(offset);
    UNTOUCHED(anchor);
    UNTOUCHED(status);
    UNTOUCHED(receiver_ns);
    UNTOUCHED(local_ns);
    for (int i = 0; i < 3; i++) {
        GIVES(ptpbmca_stop(session), PTPBMCA_OK);
        GIVES(ptpbmca_stop(NULL), PTPBMCA_OK);
    }
    GIVES(ptpbmca_start("127.0.19.3", &config, &another, &error), PTPBMCA_ERR_NO_SESSION);
    UNTOUCHED(another);
    CHECK(error.result == PTPBMCA_ERR_NO_SESSION && strstr(error.message, "fork"));
    GIVES(ptpbmca_start("127.0.19.3", NULL, &another, NULL), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_set_log_callback(NULL, NULL, PTPBMCA_LOG_OFF), PTPBMCA_ERR_NO_SESSION);
    CHECK(!strcmp(ptpbmca_result_name(PTPBMCA_ERR_NO_SESSION), "PTPBMCA_ERR_NO_SESSION"));
    CHECK(!strcmp(ptpbmca_version(), "0.1.0"));
}

static void forking(void)
{
    ptpbmca_session *session = started_as("127.0.19.2", PTPBMCA_ROLE_LEAD), *stale;
    ptpbmca_session_status before, after;
    pid_t child;
    stale = started_as("127.0.19.4", PTPBMCA_ROLE_FOLLOW);
    stop(stale);
    GIVES(ptpbmca_status(session, &before), PTPBMCA_OK);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        pid_t grandchild;
        in_the_child(session);
        in_the_child(stale);
        grandchild = fork();
        if (grandchild == 0) {
            in_the_child(session);
            _exit(0);
        }
        ends_well(grandchild, "a child of the child");
        /* With what runs at exit: destructors and handlers must not wait for the worker that is not here. */
        exit(0);
    }
    ends_well(child, "the child");
    /* The parent's session has noticed nothing: it goes on sending. */
    EVENTUALLY(ptpbmca_status(session, &after) == PTPBMCA_OK && after.sent.sync > before.sent.sync + 2, 5);
    CHECK(after.clock.synchronized && after.clock.epoch == before.clock.epoch);
    stop(session);
    session = started_as("127.0.19.2", PTPBMCA_ROLE_LEAD);
    stop(session);
}

/* A child that lives long must not keep the ports: the parent may want them again. */
static void ports_after_fork(void)
{
    ptpbmca_session *session = started_as("127.0.19.2", PTPBMCA_ROLE_LEAD);
    int runs[2], end[2];
    char byte;
    pid_t child;
    CHECK(pipe(runs) == 0 && pipe(end) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(end[1]);
        if (write(runs[1], "!", 1) != 1)
            _exit(1);
        _exit(read(end[0], &byte, 1) == 0 ? 0 : 2);
    }
    CHECK(read(runs[0], &byte, 1) == 1);
    stop(session);
    session = started_as("127.0.19.2", PTPBMCA_ROLE_LEAD);
    stop(session);
    close(end[1]);
    ends_well(child, "a child that outlives the sessions");
    close(runs[0]), close(runs[1]), close(end[0]);
}

static atomic_bool over;

static void *restless(void *argument)
{
    char receiver[32];
    snprintf(receiver, sizeof receiver, "127.0.19.%d", 20 + (int)(uintptr_t)argument);
    while (!atomic_load(&over)) {
        ptpbmca_config config = loopback(LOCAL, PORT + 20);
        ptpbmca_session *session;
        /* Between a fork and the child's first step the child has the sockets too. */
        ptpbmca_result result = ptpbmca_start(receiver, &config, &session, NULL);
        if (result == PTPBMCA_ERR_ADDRESS_IN_USE)
            continue;
        GIVES(result, PTPBMCA_OK);
        GIVES(ptpbmca_stop(session), PTPBMCA_OK);
    }
    return NULL;
}

/* Forks come at any moment: inside of start and stop of other threads too, with whatever locks are held then. */
static void forking_amid(void)
{
    pthread_t threads[2];
    ptpbmca_session *session = started_as("127.0.19.5", PTPBMCA_ROLE_LEAD);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, restless, (void *)(uintptr_t)i);
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            in_the_child(session);
            _exit(0);
        }
        ends_well(child, "a child forked amid starts and stops");
    }
    atomic_store(&over, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    stop(session);
}

/* Forks while another thread is in the first start of the process: a child that comes out of it before the library was
   used may use it, and nothing of the parent's is held there for ever. In a process of its own each time. */
static void *first_start(void *argument)
{
    ptpbmca_config config = loopback(LOCAL, PORT + 30);
    ptpbmca_session *session;
    (void)argument;
    config.role = PTPBMCA_ROLE_LEAD;
    if (ptpbmca_start("127.0.19.8", &config, &session, NULL) == PTPBMCA_OK)
        stop(session);
    return NULL;
}

static void forking_at_first(int round)
{
    pthread_t thread;
    pid_t child;
    pthread_create(&thread, NULL, first_start, NULL);
    /* Somewhere in it; how long it takes is the machine's. */
    for (int64_t until = raw_monotonic() + round * 4000; raw_monotonic() < until;)
        ;
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        ptpbmca_config config = loopback("127.0.19.9", PORT + 30);
        ptpbmca_session *session;
        ptpbmca_result result = ptpbmca_start("127.0.19.8", &config, &session, NULL);
        if (result == PTPBMCA_OK)
            stop(session);
        else
            GIVES(result, PTPBMCA_ERR_NO_SESSION);
        _exit(result == PTPBMCA_OK ? 0 : 3);
    }
    {
        int64_t until = raw_monotonic() + 10000000000;
        int status;
        while (waitpid(child, &status, WNOHANG) == 0) {
            if (raw_monotonic() > until) {
                kill(child, SIGKILL);
                FAIL("a child forked in the first start hangs");
            }
            pause_ms(1);
        }
        CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3));
        pthread_join(thread, NULL);
        _exit(WEXITSTATUS(status));
    }
}

/* The end of the process with sessions running: from the main thread, while others read, from a callback of the library's
   own thread, from a thread that is left alone. */
static void *reading(void *session)
{
    for (;;) {
        uint64_t receiver_ns;
        ptpbmca_receiver_now(session, &receiver_ns);
    }
    return NULL;
}

/* What a host has registered runs while the library's thread still does. */
static void at_end(void)
{
    pause_ms(5);
}

static void on_event_exit(void *user_data, ptpbmca_session *session, ptpbmca_event event, const ptpbmca_clock_offset *now)
{
    (void)session, (void)event, (void)now;
    if (*(const int *)user_data)
        quick_exit(0);
    exit(0);
}

static void *stop_later(void *session)
{
    ptpbmca_clock_offset offset;
    pause_ms(30);
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    stop(session);
    return NULL;
}

static int ends(const char *way)
{
    static int quick;
    pthread_t thread;
    ptpbmca_session *session = started_as("127.0.19.6", PTPBMCA_ROLE_LEAD), *another;
    ptpbmca_config config = loopback(LOCAL, PORT);
    started_as("127.0.19.7", PTPBMCA_ROLE_AUTO);
    atexit(at_end);
    if (strstr(way, "reading"))
        for (int i = 0; i < 2; i++)
            pthread_create(&thread, NULL, reading, session);
    pause_ms(20);
    if (!strncmp(way, "return", 6))
        return 0;
    if (!strcmp(way, "quick_exit"))
        quick_exit(0);
    if (!strcmp(way, "_exit"))
        _exit(0);
    if (!strcmp(way, "pthread_exit")) {
        /* The library's thread alone does not end: as long as sessions run, the process does. */
        static ptpbmca_session *last;
        last = started_as("127.0.19.10", PTPBMCA_ROLE_LEAD);
        GIVES(ptpbmca_stop(session), PTPBMCA_OK);
        pthread_create(&thread, NULL, stop_later, last);
        pthread_detach(thread);
        /* The second of the three goes with this. */
        config.on_event = on_event_exit;
        config.user_data = &quick;
        config.announce_timeout_ms = 200;
        GIVES(ptpbmca_start("127.0.19.11", &config, &another, NULL), PTPBMCA_OK);
        pthread_exit(NULL);
    }
    if (strstr(way, "callback")) {
        quick = strstr(way, "quick") != NULL;
        config.on_event = on_event_exit;
        config.user_data = &quick;
        config.announce_timeout_ms = 20;
        GIVES(ptpbmca_start("127.0.19.11", &config, &another, NULL), PTPBMCA_OK);
        /* Waits for the worker, which ends the process meanwhile. */
        ptpbmca_await_sync(another, 600000);
        pause_ms(10000);
        return 9;
    }
    exit(0);
}

static void exiting(const char *self)
{
    static const char *const ways[] = {"exit", "exit-reading", "return", "return-reading", "quick_exit", "_exit",
                                       "pthread_exit", "exit-callback", "quick_exit-callback"};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        for (int round = 0; round < 5; round++) {
            pid_t child = fork();
            CHECK(child >= 0);
            if (child == 0) {
                execl(self, self, ways[i], (char *)NULL);
                _exit(99);
            }
            ends_well(child, ways[i]);
        }
}

static void forking_first(const char *self)
{
    int used = 0, unused = 0;
    for (int round = 0; round < 150; round++) {
        char number[12];
        int status;
        pid_t child = fork();
        CHECK(child >= 0);
        snprintf(number, sizeof number, "%d", round);
        if (child == 0) {
            execl(self, self, "first", number, (char *)NULL);
            _exit(99);
        }
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3));
        *(WEXITSTATUS(status) == 0 ? &unused : &used) += 1;
    }
    printf("forked in the first start: %d children start, %d are told that they cannot\n", unused, used);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        if (!strcmp(argv[1], "first"))
            forking_at_first(atoi(argv[2]));
        return ends(argv[1]);
    }
    exiting(argv[0]);
    forking_first(argv[0]);
    forking();
    ports_after_fork();
    forking_amid();
    printf("longest stop %.1f ms\n", (double)longest_stop_ns / 1e6);
    return 0;
}
