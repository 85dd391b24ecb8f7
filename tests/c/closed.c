/*
 * closed: a host that closes every descriptor of its process while sessions run, the poll, the alarm and the waker of the
 * worker among them, and opens its own under their numbers. Nobody waits for ever, and what is the host's is left alone.
 * Binds 127.0.27.x.
 */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PORT 22419

/* Above all descriptors that the library has here. */
enum { LAST = 64 };

static void *waiting(void *session)
{
    ptpbmca_result result = ptpbmca_await_sync(session, 60000);
    if (result != PTPBMCA_ERR_INTERNAL && result != PTPBMCA_ERR_NO_SESSION)
        FAIL("await_sync gives %s", ptpbmca_result_name(result));
    return NULL;
}

/* The session may be closed by a worker that does not know yet, or have failed with it. */
static void stop_after(ptpbmca_session *session)
{
    ptpbmca_clock_offset offset;
    ptpbmca_result result = ptpbmca_stop(session);
    if (result != PTPBMCA_OK && result != PTPBMCA_ERR_INTERNAL)
        FAIL("stop gives %s", ptpbmca_result_name(result));
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_ERR_NO_SESSION);
    GIVES(ptpbmca_stop(session), PTPBMCA_ERR_NO_SESSION);
}

static void host(ptpbmca_role_policy role, int opens_its_own)
{
    ptpbmca_config config = loopback("127.0.27.1", PORT);
    ptpbmca_session *sessions[2], *another;
    ptpbmca_error error;
    struct stat before, after;
    pthread_t waiter;
    config.role = role;
    config.ready_timeout_ms = 0;
    GIVES(ptpbmca_start("127.0.27.2", &config, &sessions[0], NULL), PTPBMCA_OK);
    config.role = PTPBMCA_ROLE_FOLLOW;
    GIVES(ptpbmca_start("127.0.27.3", &config, &sessions[1], NULL), PTPBMCA_OK);
    pthread_create(&waiter, NULL, waiting, sessions[1]);
    pause_ms(50);
    for (int descriptor = 3; descriptor < LAST; descriptor++)
        close(descriptor);
    if (opens_its_own) {
        CHECK(open("/", O_RDONLY | O_DIRECTORY) == 3 && fstat(3, &before) == 0);
        for (int descriptor = 4; descriptor < LAST; descriptor++)
            CHECK(dup2(3, descriptor) == descriptor);
    }
    stop_after(sessions[0]);
    stop_after(sessions[1]);
    pthread_join(waiter, NULL);
    if (opens_its_own)
        for (int descriptor = 3; descriptor < LAST; descriptor++) {
            if (fstat(descriptor, &after) != 0 || after.st_ino != before.st_ino)
                FAIL("descriptor %d of the host was closed", descriptor);
        }
    /* The ports are free again, and a worker that knows nothing of it serves. */
    if (ptpbmca_start("127.0.27.4", &config, &another, &error) != PTPBMCA_OK)
        FAIL("start: %s", error.message);
    GIVES(ptpbmca_stop(another), PTPBMCA_OK);
}

/* Each host is a process of its own, and has twenty seconds. */
static void run(ptpbmca_role_policy role, int opens_its_own)
{
    int64_t until = raw_monotonic() + 20000000000;
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        host(role, opens_its_own);
        fflush(stdout);
        _exit(0);
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (raw_monotonic() > until) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            FAIL("a host that closes all descriptors hangs (role %u)", role);
        }
        pause_ms(5);
    }
    if (WIFSIGNALED(status))
        FAIL("killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        _exit(WEXITSTATUS(status));
}

int main(void)
{
    for (int opens_its_own = 0; opens_its_own < 2; opens_its_own++) {
        run(PTPBMCA_ROLE_LEAD, opens_its_own);
        run(PTPBMCA_ROLE_FOLLOW, opens_its_own);
    }
    return 0;
}
