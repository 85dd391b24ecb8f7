/* check.h: the clocks and pauses that the tests in this directory use, beside what says that they fail. */
#ifndef PTPBMCA_TESTS_CHECK_H
#define PTPBMCA_TESTS_CHECK_H

#include "results.h"
#include <sys/syscall.h>
#include <time.h>

/* What run.sh takes for "not here": the last line printed says why. */
#define EXIT_SKIP 77

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
