/* results.h: what tests in C say when they fail, and how they start sessions; on every system. */
#ifndef PTPBMCA_TESTS_RESULTS_H
#define PTPBMCA_TESTS_RESULTS_H

#include <inttypes.h>
#include <ptpbmca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <unistd.h>
#endif

#define UNUSED __attribute__((unused))

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

static UNUSED ptpbmca_session *started(const char *receiver, const ptpbmca_config *config)
{
    ptpbmca_session *session = NULL;
    ptpbmca_error error;
    ptpbmca_result result = ptpbmca_start(receiver, config, &session, &error);
    if (result != PTPBMCA_OK)
        FAIL("start(\"%s\") gives %s: %s", receiver, ptpbmca_result_name(result), error.message);
    CHECK(session != NULL);
    return session;
}

#endif
