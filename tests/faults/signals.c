/*
 * signals: a host that is interrupted all the time, one that dies of SIGPIPE, and whose handlers never run on the worker.
 * Binds 127.0.53.x.
 *
 *     signals RECEIVER
 */
#define _GNU_SOURCE
#include "faults.h"
#include "receiver.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>

#define LOCAL "127.0.53.1"
#define PORT 25419

static pid_t thread_id(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* Whether this thread is the library's. */
static pid_t worker;
static atomic_long alarms, others, on_worker;

static void on_alarm(int signal)
{
    int kept = errno;
    (void)signal;
    atomic_fetch_add(&alarms, 1);
    if (thread_id() == worker)
        atomic_fetch_add(&on_worker, 1);
    errno = kept;
}

/* One that nobody expects: sent to the worker alone, and handled there. */
static void on_other(int signal)
{
    int kept = errno;
    (void)signal;
    if (thread_id() == worker)
        atomic_fetch_add(&others, 1);
    errno = EINTR;
    errno = kept;
}

static void handle(int signal, void (*handler)(int))
{
    /* No SA_RESTART: every call that waits is interrupted. */
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static void every_ms(int on)
{
    struct itimerval interval = {{0, on ? 1000 : 0}, {0, on ? 1000 : 0}};
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
}

/* The thread that was not there before. */
static pid_t find_worker(void)
{
    int threads[8], count = list_numbers("/proc/self/task", threads, 8);
    for (int i = 0; i < count; i++)
        if (threads[i] != getpid())
            return threads[i];
    FAIL("there is no worker");
}

static void interrupted(const char *program)
{
    static const char *const options[] = {"--address", "127.0.53.2", "--event-port", "25419", "--general-port", "25420", NULL};
    static const int hosts[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,   SIGALRM, SIGCHLD,  SIGPIPE,
                                SIGUSR1, SIGUSR2, SIGIO,   SIGVTALRM, SIGTSTP, SIGWINCH};
    const int unexpected[] = {SIGURG, SIGRTMIN + 3};
    struct receiver receiver = receiver_start(program, options);
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session, *second;
    ptpbmca_session_status before, after;
    sigset_t set;
    handle(SIGALRM, on_alarm);
    every_ms(1);
    GIVES(ptpbmca_start("127.0.53.2", &config, &session, NULL), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(session, 20000), PTPBMCA_OK);
    for (int i = 0; i < 50; i++) {
        GIVES(ptpbmca_start("127.0.53.9", &config, &second, NULL), PTPBMCA_OK);
        GIVES(ptpbmca_await_sync(second, 5), PTPBMCA_ERR_TIMEOUT);
        stop(second);
    }
    worker = find_worker();
    /* Each of the signals that a host handles: sent to the process while the main thread wants none, it waits. */
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        handle(hosts[i], on_alarm);
        sigaddset(&set, hosts[i]);
    }
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        CHECK(kill(getpid(), hosts[i]) == 0);
    pause_ms(200);
    if (atomic_load(&on_worker) != 0)
        FAIL("a handler of the host's ran on the worker %ld times", atomic_load(&on_worker));
    CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
    EVENTUALLY(atomic_load(&alarms) >= 100, 20);
    CHECK(atomic_load(&on_worker) == 0);
    /* One that the worker does not block interrupts whatever it waits in. */
    for (size_t i = 0; i < sizeof unexpected / sizeof unexpected[0]; i++)
        handle(unexpected[i], on_other);
    GIVES(ptpbmca_status(session, &before), PTPBMCA_OK);
    for (int i = 0; i < 3000; i++) {
        if (syscall(SYS_tgkill, getpid(), worker, unexpected[i % 2]) != 0)
            FAIL("a signal has ended the worker");
        usleep(300);
    }
    GIVES(ptpbmca_status(session, &after), PTPBMCA_OK);
    CHECK(atomic_load(&others) > 500);
    CHECK(after.clock.sync_state == PTPBMCA_SYNC_LOCKED && after.clock.epoch == before.clock.epoch);
    CHECK(after.received.sync > before.received.sync);
    CHECK(within(compare_now(session, &receiver)));
    stop(session);
    every_ms(0);
    receiver_end(&receiver);
    printf("%ld alarms, none on the worker; %ld other signals there, and it keeps its lock\n", atomic_load(&alarms),
           atomic_load(&others));
}

/* With what a signal does by itself: a send to a socket that is gone must not raise one that ends the process. */
static void pipes(void)
{
    ptpbmca_config config = loopback(LOCAL, PORT + 10);
    ptpbmca_session *session;
    int had[64], has = list_fds(had, 64), mine[64], opened, ends[2];
    ptpbmca_clock_offset offset;
    config.role = PTPBMCA_ROLE_LEAD;
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    GIVES(ptpbmca_start("127.0.53.2", &config, &session, NULL), PTPBMCA_OK);
    opened = new_fds(had, has, mine, 64);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    close(ends[0]);
    /* A stream that nobody reads under every number but the first two, by which the worker lives. */
    for (int i = 2; i < opened; i++)
        CHECK(dup3(ends[1], mine[i], O_CLOEXEC) == mine[i]);
    pause_ms(500);
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    stop(session);
    printf("SIGPIPE ends nobody\n");
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    in_a_child(pipes);
    interrupted(argv[1]);
    return 0;
}
