/* check.h: what the tests in this directory say when they fail, and the clocks and pauses they use. */
#ifndef PTPBMCA_TESTS_CHECK_H
#define PTPBMCA_TESTS_CHECK_H

#include <inttypes.h>
#include <ptpbmca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

/* What run.sh takes for "not here": the last line printed says why. */
#define EXIT_SKIP 77

/* The last line printed is what run.sh shows. _exit: at a failure a worker may hang, and exit() waits for nobody but the
   destructors of libraries. */
#define FAIL(...)                                                                                                      \
    do {                                                                                                               \
        fflush(stdout);                                                                                                \
        printf("%s:%d: ", __FILE__, __LINE__);                                                                         \
        printf(__VA_ARGS__);                                                                                           \
        printf("\n");                                                                                                  \
        fflush(stdout);                                                                                                \
        _exit(1);                                                                                                      \
    } while (0)

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            FAIL("not so: %s", #condition);                                                                            \
    } while (0)

/* A call's result, by name. */
#define GIVES(call, expected)                                                                                          \
    do {                                                                                                               \
        ptpbmca_result got_ = (call), want_ = (expected);                                                              \
        if (got_ != want_)                                                                                             \
            FAIL("%s gives %s (%d), not %s", #call, ptpbmca_result_name(got_), (int)got_, ptpbmca_result_name(want_)); \
    } while (0)

/* Fills an output with bytes no call writes, and later tells whether they are still there. */
#define CANARY 0xa5
#define ARM(output) memset(&(output), CANARY, sizeof(output))
#define UNTOUCHED(output)                                                                                              \
    do {                                                                                                               \
        const unsigned char *bytes_ = (const unsigned char *)&(output);                                                \
        for (size_t at_ = 0; at_ < sizeof(output); at_++)                                                              \
            if (bytes_[at_] != CANARY)                                                                                 \
                FAIL("byte %zu of %s was written by a call that failed", at_, #output);                                \
    } while (0)

/* A clock read past every library: a test may have put its own clock_gettime in between. */
static UNUSED int64_t raw_clock(clockid_t clock)
{
    struct timespec now;
    syscall(SYS_clock_gettime, clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static UNUSED int64_t raw_monotonic(void)
{
    return raw_clock(CLOCK_MONOTONIC);
}

static UNUSED void pause_ms(int ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

/* Waits until something is so, at most `seconds`: a bound on life, not on speed. */
#define EVENTUALLY(condition, seconds)                                                                                 \
    do {                                                                                                               \
        int64_t until_ = raw_monotonic() + (int64_t)(seconds)*1000000000;                                              \
        while (!(condition)) {                                                                                         \
            if (raw_monotonic() > until_)                                                                              \
                FAIL("not so within %d s: %s", (int)(seconds), #condition);                                            \
            pause_ms(5);                                                                                               \
        }                                                                                                              \
    } while (0)

/* Defaults, but for what every test here needs: loopback, ports without privilege, no wait in start. */
static UNUSED ptpbmca_config loopback(const char *local_address, int event_port)
{
    ptpbmca_config config;
    GIVES(ptpbmca_config_init(&config, sizeof config), PTPBMCA_OK);
    config.local_address = local_address;
    config.event_port = (uint16_t)event_port;
    config.general_port = (uint16_t)(event_port + 1);
    config.ready_timeout_ms = 0;
    return config;
}

/* A stop, timed: the contract says 100 ms, a loaded machine says more; only 2 s is a failure. */
static UNUSED int64_t longest_stop_ns;
static UNUSED void stop(ptpbmca_session *session)
{
    int64_t before = raw_monotonic(), took;
    GIVES(ptpbmca_stop(session), PTPBMCA_OK);
    took = raw_monotonic() - before;
    if (took > longest_stop_ns)
        longest_stop_ns = took;
    if (took > 2000000000)
        FAIL("stop took %" PRId64 " ms", took / 1000000);
}

#endif
