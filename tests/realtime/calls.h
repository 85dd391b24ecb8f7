/* calls.h: the calls the header marks realtime-safe, and the sessions they are made on. */
#ifndef PTPBMCA_TESTS_CALLS_H
#define PTPBMCA_TESTS_CALLS_H

#include "../c/check.h"

/* A session, and what its calls give. */
struct subject {
    const char *name;
    const ptpbmca_session *session;
    /* Of conversions, and of the calls that read what they are not: the offset, the local clock. */
    ptpbmca_result converts, reads;
};

/* The moment that is converted, on the local clock and on the receiver's timeline. */
static int64_t local_then = INT64_C(1789012345678901234);
static uint64_t receiver_then = UINT64_C(127677000000000);

/* Each makes one call, its output given or NULL. */
typedef ptpbmca_result made_call(const ptpbmca_session *session, int output);

static ptpbmca_result make_offset(const ptpbmca_session *session, int output)
{
    ptpbmca_clock_offset offset;
    return ptpbmca_offset(session, output ? &offset : NULL);
}

static ptpbmca_result make_receiver_time(const ptpbmca_session *session, int output)
{
    uint64_t receiver_ns;
    return ptpbmca_receiver_time(session, local_then, output ? &receiver_ns : NULL);
}

static ptpbmca_result make_receiver_now(const ptpbmca_session *session, int output)
{
    uint64_t receiver_ns;
    return ptpbmca_receiver_now(session, output ? &receiver_ns : NULL);
}

static ptpbmca_result make_local_time(const ptpbmca_session *session, int output)
{
    int64_t local_ns;
    return ptpbmca_local_time(session, receiver_then, output ? &local_ns : NULL);
}

static ptpbmca_result make_anchor(const ptpbmca_session *session, int output)
{
    ptpbmca_anchor_time anchor;
    return ptpbmca_anchor(session, local_then, output ? &anchor : NULL);
}

static ptpbmca_result make_local_now(const ptpbmca_session *session, int output)
{
    int64_t local_ns;
    return ptpbmca_local_now(session, output ? &local_ns : NULL);
}

static ptpbmca_result make_config_init(const ptpbmca_session *session, int output)
{
    ptpbmca_config config;
    (void)session;
    return ptpbmca_config_init(output ? &config : NULL, sizeof config);
}

static ptpbmca_result make_result_name(const ptpbmca_session *session, int output)
{
    /* All that there are, and some that there are not. */
    static _Thread_local ptpbmca_result result = 2;
    (void)session, (void)output;
    result = result < -14 ? 2 : result - 1;
    return *ptpbmca_result_name(result) == 'P' ? PTPBMCA_OK : PTPBMCA_ERR_INTERNAL;
}

static ptpbmca_result make_result_message(const ptpbmca_session *session, int output)
{
    static _Thread_local ptpbmca_result result = 2;
    (void)session, (void)output;
    result = result < -14 ? 2 : result - 1;
    return *ptpbmca_result_message(result) ? PTPBMCA_OK : PTPBMCA_ERR_INTERNAL;
}

static ptpbmca_result make_version(const ptpbmca_session *session, int output)
{
    (void)session, (void)output;
    return *ptpbmca_version() ? PTPBMCA_OK : PTPBMCA_ERR_INTERNAL;
}

/* What decides a call's result, where its output is given. */
enum kind { CONVERTS, READS, TOTAL };

static const struct call {
    const char *name;
    made_call *make;
    enum kind kind;
    /* What it gives where its output is NULL. */
    ptpbmca_result null;
} calls[] = {
    {"ptpbmca_offset", make_offset, READS, PTPBMCA_ERR_INVALID_ARGUMENT},
    {"ptpbmca_receiver_time", make_receiver_time, CONVERTS, PTPBMCA_ERR_INVALID_ARGUMENT},
    {"ptpbmca_receiver_now", make_receiver_now, CONVERTS, PTPBMCA_ERR_INVALID_ARGUMENT},
    {"ptpbmca_local_time", make_local_time, CONVERTS, PTPBMCA_ERR_INVALID_ARGUMENT},
    {"ptpbmca_anchor", make_anchor, CONVERTS, PTPBMCA_ERR_INVALID_ARGUMENT},
    {"ptpbmca_local_now", make_local_now, READS, PTPBMCA_ERR_INVALID_ARGUMENT},
    {"ptpbmca_config_init", make_config_init, TOTAL, PTPBMCA_ERR_INVALID_ARGUMENT},
    {"ptpbmca_result_name", make_result_name, TOTAL, PTPBMCA_OK},
    {"ptpbmca_result_message", make_result_message, TOTAL, PTPBMCA_OK},
    {"ptpbmca_version", make_version, TOTAL, PTPBMCA_OK},
};

enum { CALLS = sizeof calls / sizeof calls[0] };

static UNUSED ptpbmca_result expected(const struct call *call, const struct subject *subject, int output)
{
    if (!output)
        return call->null;
    return call->kind == CONVERTS ? subject->converts : call->kind == READS ? subject->reads : PTPBMCA_OK;
}

#endif
