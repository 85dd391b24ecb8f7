/*
 * limits: a host that may have no thread more, and one whose memory is at its limit. Binds 127.0.51.x.
 */
#define _GNU_SOURCE
#include "faults.h"
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <sys/mman.h>

#define LOCAL "127.0.51.1"
#define PORT 25219

/* A user of whom nobody else has processes here: the limit counts all of a user's. */
enum { NOBODY_ELSE = 64511 };

static void set_limit(int which, rlim_t most)
{
    struct rlimit limit;
    CHECK(getrlimit((__rlimit_resource_t)which, &limit) == 0);
    limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
    CHECK(setrlimit((__rlimit_resource_t)which, &limit) == 0);
}

static void *nothing(void *argument)
{
    return argument;
}

static void no_threads(void)
{
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session;
    ptpbmca_error error;
    pthread_t thread;
    int fds, threads;
    /* Root is exempt. */
    if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setresgid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE) != 0 ||
                           setresuid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE) != 0)) {
        printf("no threads: this system lets nobody become another user\n");
        return;
    }
    set_limit(RLIMIT_NPROC, 1);
    if (pthread_create(&thread, NULL, nothing, NULL) != EAGAIN) {
        printf("no threads: this system has no such limit\n");
        return;
    }
    fds = count_fds(), threads = count_threads();
    config.role = PTPBMCA_ROLE_LEAD;
    for (int i = 0; i < 50; i++) {
        ARM(session), ARM(error);
        GIVES(ptpbmca_start("127.0.51.2", &config, &session, &error), PTPBMCA_ERR_LIMIT);
        UNTOUCHED(session);
        CHECK(error.result == PTPBMCA_ERR_LIMIT && error.os_error == EAGAIN);
        if (!strstr(error.message, "thread") || error.message[strlen(error.message) - 1] != '.')
            FAIL("the message does not say that it is threads: %s", error.message);
    }
    if (count_fds() != fds || count_threads() != threads)
        FAIL("50 refused starts: %d descriptors before and %d after", fds, count_fds());
    printf("no thread: \"%s\"\n", error.message);
    set_limit(RLIMIT_NPROC, 64);
    GIVES(ptpbmca_start("127.0.51.2", &config, &session, &error), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(session, 10000), PTPBMCA_OK);
    set_limit(RLIMIT_NPROC, 1);
    /* The thread that there is serves others. */
    {
        ptpbmca_session *second;
        GIVES(ptpbmca_start("127.0.51.3", &config, &second, &error), PTPBMCA_OK);
        stop(second);
    }
    stop(session);
    CHECK(count_fds() == fds && count_threads() == threads);
}

/* With so much address space beyond what is in use, in bytes. The outcome is a child's: 0 it starts, 1 it is refused. */
static size_t room;

static size_t address_space(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static int start_in_a_tight_place(void)
{
    ptpbmca_config config = loopback(LOCAL, PORT + 10);
    ptpbmca_session *session;
    ptpbmca_error error;
    ptpbmca_result result;
    int fds = count_fds(), threads = count_threads();
    config.role = PTPBMCA_ROLE_LEAD;
    ARM(session), ARM(error);
    set_limit(RLIMIT_AS, address_space() + room);
    result = ptpbmca_start("127.0.51.2", &config, &session, &error);
    set_limit(RLIMIT_AS, RLIM_INFINITY);
    if (result == PTPBMCA_OK) {
        stop(session);
        CHECK(count_fds() == fds && count_threads() == threads);
        return 0;
    }
    UNTOUCHED(session);
    if (result != PTPBMCA_ERR_LIMIT && result != PTPBMCA_ERR_NETWORK)
        FAIL("%zu kB left: %s: %s", room / 1024, ptpbmca_result_name(result), error.message);
    CHECK(error.result == result && strlen(error.message) > 20);
    CHECK(count_fds() == fds && count_threads() == threads);
    /* With room again it starts. */
    GIVES(ptpbmca_start("127.0.51.2", &config, &session, &error), PTPBMCA_OK);
    stop(session);
    return 1;
}

static void no_memory(void)
{
    enum { STARTS, REFUSED, ABORTED, OUTCOMES };
    static const char *const names[OUTCOMES] = {"starts", "is refused", "aborts"};
    int seen[OUTCOMES] = {0, 0, 0};
    size_t first[OUTCOMES] = {0}, last[OUTCOMES] = {0};
    for (size_t kb = 0; kb <= 4096; kb += kb < 256 ? 4 : 128) {
        int status, outcome;
        pid_t child;
        room = kb * 1024;
        fflush(stdout);
        child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            outcome = start_in_a_tight_place();
            _exit(outcome == 0 ? 10 : 11);
        }
        CHECK(waitpid(child, &status, 0) == child);
        /* Memory that is refused to Rust ends the process: the only ways are these three. */
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
            outcome = ABORTED;
        else if (WIFEXITED(status) && (WEXITSTATUS(status) == 10 || WEXITSTATUS(status) == 11))
            outcome = WEXITSTATUS(status) - 10;
        else
            FAIL("%zu kB left: exit %d, signal %d", kb, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        if (!seen[outcome]++)
            first[outcome] = kb;
        last[outcome] = kb;
    }
    for (int outcome = 0; outcome < OUTCOMES; outcome++)
        if (seen[outcome])
            printf("memory: start %s with %zu to %zu kB of address space left (%d times)\n", names[outcome],
                   first[outcome], last[outcome], seen[outcome]);
    CHECK(seen[STARTS] && seen[REFUSED]);
    /* Once there is enough there always is. */
    CHECK(first[STARTS] > last[REFUSED]);
}

/* A session that runs needs no more of it. */
static void no_memory_later(void)
{
    ptpbmca_config config = loopback(LOCAL, PORT + 20);
    ptpbmca_session *session;
    ptpbmca_session_status before, after;
    config.role = PTPBMCA_ROLE_LEAD;
    GIVES(ptpbmca_start("127.0.51.2", &config, &session, NULL), PTPBMCA_OK);
    GIVES(ptpbmca_status(session, &before), PTPBMCA_OK);
    set_limit(RLIMIT_AS, address_space());
    EVENTUALLY(ptpbmca_status(session, &after) == PTPBMCA_OK && after.sent.sync > before.sent.sync + 16, 20);
    CHECK(after.clock.synchronized);
    stop(session);
    printf("memory: a session goes on with no address space left\n");
}

int main(void)
{
    in_a_child(no_threads);
    in_a_child(no_memory_later);
    no_memory();
    return 0;
}
