/*
 * roles: leading, leading because nobody answers, following only, and several sessions in one process that start and
 * stop in any order. Binds 127.0.22.x.
 *
 *     roles RECEIVER
 */
#define _GNU_SOURCE
#include "check.h"
#include "receiver.h"

#define LOCAL "127.0.22.1"
#define PORT 22419

static int64_t magnitude(int64_t value)
{
    return value < 0 ? -value : value;
}

/* How far a leading session's times are from its local clock's, moved by `difference`. */
static int64_t leading_error(const ptpbmca_session *session, int64_t difference)
{
    ptpbmca_clock_offset offset;
    ptpbmca_anchor_time anchor;
    uint64_t receiver_ns;
    int64_t local_ns, back, errors[3], worst = 0;
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    CHECK(offset.role == PTPBMCA_LEADING && offset.sync_state == PTPBMCA_SYNC_LEADING && offset.synchronized == 1);
    CHECK(offset.grandmaster_id == offset.local_clock_id && offset.local_clock_id != 0 && offset.epoch == 0);
    CHECK(offset.error_ns < 10000000 && offset.skew_ppm == 0);
    errors[0] = offset.offset_ns - difference;
    GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_OK);
    GIVES(ptpbmca_receiver_time(session, local_ns, &receiver_ns), PTPBMCA_OK);
    errors[1] = (int64_t)(receiver_ns - (uint64_t)local_ns) - difference;
    GIVES(ptpbmca_local_time(session, receiver_ns, &back), PTPBMCA_OK);
    CHECK(magnitude(back - local_ns) <= 1);
    GIVES(ptpbmca_anchor(session, local_ns, &anchor), PTPBMCA_OK);
    CHECK(anchor.timeline_id == offset.local_clock_id);
    GIVES(ptpbmca_receiver_now(session, &receiver_ns), PTPBMCA_OK);
    errors[2] = (int64_t)receiver_ns - raw_clock(CLOCK_REALTIME);
    for (int i = 0; i < 3; i++)
        worst = magnitude(errors[i]) > worst ? magnitude(errors[i]) : worst;
    return worst;
}

static int64_t wall_minus_monotonic(void)
{
    int64_t before = raw_monotonic(), wall = raw_clock(CLOCK_REALTIME), after = raw_monotonic();
    return wall - before - (after - before) / 2;
}

/* Clocks are compared by reading one after the other; only a preempted comparison is off, and the next one is not. */
static void check_leading(const ptpbmca_session *session, ptpbmca_clock clock)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < 20 && best > 1000000; i++) {
        int64_t error = leading_error(session, clock == PTPBMCA_CLOCK_REALTIME ? 0 : wall_minus_monotonic());
        best = error < best ? error : best;
    }
    if (best > 1000000)
        FAIL("leading, the offset is %" PRId64 " ns from what it should be", best);
}

static void leading(void)
{
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *wall, *audio;
    ptpbmca_session_status status;
    config.role = PTPBMCA_ROLE_LEAD;
    /* Even where one would wait: leading needs nobody. */
    config.ready_timeout_ms = 60000;
    wall = started("127.0.22.50", &config);
    check_leading(wall, PTPBMCA_CLOCK_REALTIME);
    config.local_clock = PTPBMCA_CLOCK_MONOTONIC;
    audio = started("127.0.22.50", &config);
    check_leading(audio, PTPBMCA_CLOCK_MONOTONIC);
    GIVES(ptpbmca_await_sync(audio, 0), PTPBMCA_OK);
    EVENTUALLY(ptpbmca_status(wall, &status) == PTPBMCA_OK && status.sent.sync >= 5 && status.sent.announce >= 2, 10);
    CHECK(status.sent.follow_up >= 4 && status.sent.delay_req == 0);
    check_leading(wall, PTPBMCA_CLOCK_REALTIME);
    check_leading(audio, PTPBMCA_CLOCK_MONOTONIC);
    stop(wall);
    check_leading(audio, PTPBMCA_CLOCK_MONOTONIC);
    stop(audio);
}

static void nobody(void)
{
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session;
    ptpbmca_session_status status;
    ptpbmca_clock_offset offset;
    config.announce_timeout_ms = 300;
    config.ready_timeout_ms = 10000;
    session = started("127.0.22.51", &config);
    /* start has waited for it. */
    check_leading(session, PTPBMCA_CLOCK_REALTIME);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    CHECK(!status.announced && status.received.sync == 0 && status.clock.receiver_clock_id == 0);
    stop(session);
    /* Without that wait it listens first. */
    config.ready_timeout_ms = 0;
    session = started("127.0.22.51", &config);
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    CHECK(offset.role == PTPBMCA_LISTENING && !offset.synchronized);
    GIVES(ptpbmca_await_sync(session, 10000), PTPBMCA_OK);
    check_leading(session, PTPBMCA_CLOCK_REALTIME);
    stop(session);
    /* Following only, it goes on listening, and start is not kept from returning. */
    config.role = PTPBMCA_ROLE_FOLLOW;
    config.ready_timeout_ms = 400;
    session = started("127.0.22.51", &config);
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    CHECK(offset.role == PTPBMCA_LISTENING && offset.sync_state == PTPBMCA_SYNC_SILENT);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    CHECK(strlen(status.advice) > 30);
    stop(session);
}

static void is_followed(const ptpbmca_session *session, struct receiver *receiver, uint64_t identity)
{
    ptpbmca_clock_offset offset;
    struct sample sample = compare_now(session, receiver);
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    CHECK(offset.role == PTPBMCA_FOLLOWING && offset.sync_state == PTPBMCA_SYNC_LOCKED && offset.epoch == 0);
    CHECK(offset.grandmaster_id == identity && offset.receiver_clock_id == identity);
    if (!within(sample))
        FAIL("off by %" PRId64 " ns, the bound is %" PRIu64, sample.error_ns, sample.bound_ns);
}

static void following_only(const char *program)
{
    const char *const options[] = {"--address", "127.0.22.2",   "--event-port", "22419", "--general-port", "22420",
                                   "--peer",    "127.0.22.1", "--standalone", NULL};
    struct receiver receiver = receiver_start(program, options);
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session_status status;
    ptpbmca_session *session;
    config.role = PTPBMCA_ROLE_FOLLOW;
    config.ready_timeout_ms = 10000;
    session = started("127.0.22.2", &config);
    GIVES(ptpbmca_await_sync(session, 15000), PTPBMCA_OK);
    EVENTUALLY(ptpbmca_status(session, &status) == PTPBMCA_OK && status.delay_resp_used >= 5, 10);
    is_followed(session, &receiver, identity_of(127, 0, 22, 2));
    /* Nothing of ours was offered. */
    CHECK(status.sent.sync == 0 && status.sent.follow_up == 0 && status.sent.announce == 0);
    CHECK(status.sent.signaling == 0 && status.sent.delay_resp == 0 && status.sent.delay_req > 0);
    stop(session);
    receiver_end(&receiver);
}

/* Sessions 0 and 1 with one receiver, 2 with another, stopped in every order. */
static void several(const char *program)
{
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
    const char *const first[] = {"--address", "127.0.22.3", "--event-port", "22419", "--general-port", "22420", NULL};
    const char *const second[] = {"--address", "127.0.22.4", "--event-port", "22419",    "--general-port", "22420",
                                  "--uptime",  "3",          "--skew-ppm",   "-60", NULL};
    struct receiver receivers[2] = {receiver_start(program, first), receiver_start(program, second)};
    for (size_t order = 0; order < sizeof orders / sizeof orders[0]; order++) {
        ptpbmca_config config = loopback(LOCAL, PORT);
        ptpbmca_session *sessions[3];
        sessions[0] = started("127.0.22.3", &config);
        config.local_clock = PTPBMCA_CLOCK_MONOTONIC;
        sessions[1] = started("127.0.22.3", &config);
        sessions[2] = started("127.0.22.4", &config);
        for (int i = 0; i < 3; i++)
            GIVES(ptpbmca_await_sync(sessions[i], 20000), PTPBMCA_OK);
        for (int stopped = 0; stopped <= 3; stopped++) {
            for (int i = stopped; i < 3; i++) {
                int at = orders[order][i];
                is_followed(sessions[at], &receivers[at == 2], identity_of(127, 0, 22, at == 2 ? 4 : 3));
            }
            if (stopped < 3) {
                ptpbmca_clock_offset offset;
                stop(sessions[orders[order][stopped]]);
                GIVES(ptpbmca_offset(sessions[orders[order][stopped]], &offset), PTPBMCA_ERR_NO_SESSION);
                pause_ms(150);
            }
        }
    }
    receiver_end(&receivers[0]);
    receiver_end(&receivers[1]);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    leading();
    nobody();
    following_only(argv[1]);
    several(argv[1]);
    printf("longest stop %.1f ms\n", (double)longest_stop_ns / 1e6);
    return 0;
}
