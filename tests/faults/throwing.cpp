/*
 * throwing: callbacks that leave by an exception end the process, as the contract of a C interface has it, and do not go on
 * with half of the library's work undone; one that catches its own does no harm. Binds 127.0.57.x.
 */
#include "faults.h"
#include <stdexcept>

#define LOCAL "127.0.57.1"
#define PORT 25819

static int caught, thrown_through;

static void on_event(void *, ptpbmca_session *, ptpbmca_event, const ptpbmca_clock_offset *)
{
    try {
        throw std::runtime_error("inside");
    } catch (const std::exception &) {
        caught++;
    }
    if (thrown_through)
        throw std::runtime_error("through the library");
}

static void on_log(void *, ptpbmca_log_level, const char *)
{
    if (thrown_through)
        throw std::runtime_error("through the library");
}

static void lead(bool log, bool event)
{
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session;
    config.role = PTPBMCA_ROLE_LEAD;
    if (event)
        config.on_event = on_event;
    if (log)
        GIVES(ptpbmca_set_log_callback(on_log, nullptr, PTPBMCA_LOG_TRACE), PTPBMCA_OK);
    GIVES(ptpbmca_start("127.0.57.2", &config, &session, nullptr), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(session, 10000), PTPBMCA_OK);
    stop(session);
}

static void aborts(bool log, bool event)
{
    int status;
    pid_t child;
    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        struct rlimit no_core = {0, 0};
        dup2(nowhere, STDERR_FILENO);
        setrlimit(RLIMIT_CORE, &no_core);
        alarm(20);
        thrown_through = 1;
        lead(log, event);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        FAIL("an exception of a callback: exit %d, signal %d, not abort()", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
             WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int main()
{
    aborts(false, true);
    aborts(true, false);
    lead(true, true);
    CHECK(caught > 0);
    printf("an exception through the library is std::terminate; one caught inside of the callback is nothing\n");
    return 0;
}
