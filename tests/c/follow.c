/*
 * follow: two sessions, one in each local clock, follow one simulated receiver; every sample is judged by what its clock
 * really read. Binds 127.0.21.x.
 *
 *     follow RECEIVER [SECONDS]
 */
#define _GNU_SOURCE
#include "check.h"
#include "receiver.h"

__extension__ typedef unsigned __int128 u128;

#define LOCAL "127.0.21.1"
#define PORT 22319

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t magnitude(int64_t value)
{
    return value < 0 ? -value : value;
}

struct tally {
    int samples, outside;
    int64_t worst;
};

static void count(struct tally *tally, struct sample sample, int64_t *errors)
{
    errors[tally->samples++] = magnitude(sample.error_ns);
    tally->outside += !within(sample);
    if (magnitude(sample.error_ns) > tally->worst)
        tally->worst = magnitude(sample.error_ns);
}

static void judge(const struct tally *tally, int64_t *errors, const char *what)
{
    /* In the order they were taken: what a session is like once it has had three seconds. */
    int settled = tally->samples - 300;
    if (settled > 0) {
        qsort(errors + 300, (size_t)settled, sizeof *errors, compare);
        printf("%s: p99 from the fourth second on %.1f us\n", what, (double)errors[300 + settled * 99 / 100] / 1e3);
    }
    qsort(errors, (size_t)tally->samples, sizeof *errors, compare);
    printf("%s: %d samples, |error| p50 %.1f us, p99 %.1f us, most %.1f us; %d outside of the bound\n", what,
           tally->samples, (double)errors[tally->samples / 2] / 1e3, (double)errors[tally->samples * 99 / 100] / 1e3,
           (double)tally->worst / 1e3, tally->outside);
    if (tally->outside * 1000 > tally->samples)
        FAIL("%s: %d of %d samples outside of error_ns", what, tally->outside, tally->samples);
}

/* offset_ns is the same as the conversions say: receiver timeline minus local clock. */
static void check_offset(const ptpbmca_session *session)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        ptpbmca_clock_offset offset;
        int64_t local_ns;
        uint64_t receiver_ns;
        GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
        GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_OK);
        GIVES(ptpbmca_receiver_time(session, local_ns, &receiver_ns), PTPBMCA_OK);
        if (magnitude((int64_t)(receiver_ns - (uint64_t)local_ns) - offset.offset_ns) < best)
            best = magnitude((int64_t)(receiver_ns - (uint64_t)local_ns) - offset.offset_ns);
    }
    /* A new snapshot in between may move it by the error of either; five in a row cannot. */
    if (best > 50000)
        FAIL("offset_ns and receiver_time differ by %" PRId64 " ns", best);
}

/* There and back: to one nanosecond, unless a new snapshot came in between, five times in a row. */
static void check_inverse(const ptpbmca_session *session)
{
    const int64_t away[] = {0, 1, -1, 999999937, -5000000011, 60000000007, -600000000013};
    for (size_t k = 0; k < sizeof away / sizeof away[0]; k++) {
        int64_t best = INT64_MAX;
        for (int i = 0; i < 5 && best > 1; i++) {
            int64_t local_ns, back;
            uint64_t receiver_ns;
            GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_OK);
            local_ns += away[k];
            GIVES(ptpbmca_receiver_time(session, local_ns, &receiver_ns), PTPBMCA_OK);
            GIVES(ptpbmca_local_time(session, receiver_ns, &back), PTPBMCA_OK);
            if (magnitude(back - local_ns) < best)
                best = magnitude(back - local_ns);
        }
        if (best > 1)
            FAIL("local_time(receiver_time(x)) is off by %" PRId64 " ns, %" PRId64 " ns from now", best, away[k]);
    }
}

static void check_anchor(const ptpbmca_session *session, uint64_t timeline_id)
{
    int same = 0;
    for (int i = 0; i < 5; i++) {
        ptpbmca_anchor_time anchor;
        int64_t local_ns;
        uint64_t receiver_ns;
        ARM(anchor);
        GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_OK);
        local_ns += i * 123456789;
        GIVES(ptpbmca_anchor(session, local_ns, &anchor), PTPBMCA_OK);
        GIVES(ptpbmca_receiver_time(session, local_ns, &receiver_ns), PTPBMCA_OK);
        same += receiver_ns == anchor.receiver_ns;
        if (anchor.seconds * 1000000000 + (uint64_t)((u128)anchor.fraction * 1000000000 >> 64) != anchor.receiver_ns)
            FAIL("%" PRIu64 " s + %" PRIu64 " / 2^64 is not %" PRIu64 " ns", anchor.seconds, anchor.fraction,
                 anchor.receiver_ns);
        CHECK(anchor.timeline_id == timeline_id && anchor.epoch == 0);
        CHECK(anchor.reserved32 == 0 && anchor.reserved[0] == 0 && anchor.reserved[1] == 0);
    }
    CHECK(same > 0);
}

static void check_snapshot(const ptpbmca_session *session, uint64_t identity)
{
    ptpbmca_clock_offset offset;
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    CHECK(offset.sync_state == PTPBMCA_SYNC_LOCKED && offset.synchronized == 1);
    CHECK(offset.role == PTPBMCA_FOLLOWING && offset.epoch == 0);
    CHECK(offset.grandmaster_id == identity && offset.receiver_clock_id == identity);
    CHECK(offset.local_clock_id != 0 && offset.local_clock_id != identity);
    CHECK(offset.age_ns < 1000000000);
    for (size_t i = 0; i < sizeof offset.reserved / sizeof offset.reserved[0]; i++)
        CHECK(offset.reserved[i] == 0);
}

/* When the clock was first called synchronised, and how many Sync/Follow_Up pairs that took. */
static int64_t locked_at;
static uint64_t locked_after;

static void on_event(void *user_data, ptpbmca_session *session, ptpbmca_event event, const ptpbmca_clock_offset *now)
{
    ptpbmca_session_status status;
    (void)user_data;
    (void)now;
    if (event == PTPBMCA_EVENT_SYNCHRONIZED && !locked_at && ptpbmca_status(session, &status) == PTPBMCA_OK) {
        locked_at = raw_monotonic();
        locked_after = status.pairs;
    }
}

int main(int argc, char **argv)
{
    const char *const options[] = {"--address",    "127.0.21.2", "--event-port", "22319",  "--general-port", "22320",
                                   "--peer",       LOCAL,        "--skew-ppm",   "37.5",   "--correction-ms", "0.5-110",
                                   "--clock-id", "14147de854980008", NULL};
    const uint64_t identity = 0x14147de854980008;
    int seconds = argc > 2 ? atoi(argv[2]) : 21, total;
    struct receiver receiver;
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *wall, *audio;
    ptpbmca_session_status status;
    ptpbmca_error error;
    struct tally tallies[3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
    int64_t *errors[3], start;
    CHECK(argc > 1);
    receiver = receiver_start(argv[1], options);
    config.ready_timeout_ms = 5000;
    config.on_event = on_event;
    if (ptpbmca_start("127.0.21.2", &config, &wall, &error) != PTPBMCA_OK)
        FAIL("%s", error.message);
    config.local_clock = PTPBMCA_CLOCK_MONOTONIC;
    config.on_event = NULL;
    GIVES(ptpbmca_start("127.0.21.2", &config, &audio, NULL), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(wall, 15000), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(audio, 15000), PTPBMCA_OK);

    /* Within half a second of the first pair: of the pairs 125 ms apart, the fifth would be too late. */
    CHECK(locked_after >= 1 && locked_after <= 4);
    printf("locked after %" PRIu64 " pairs, %.0f ms after the first\n", locked_after,
           (double)(locked_at - receiver_event(&receiver, "first_sync")) / 1e6);

    total = seconds * 100;
    for (int i = 0; i < 3; i++)
        CHECK((errors[i] = malloc((size_t)total * sizeof **errors)) != NULL);
    start = raw_monotonic();
    for (int i = 0; i < total; i++) {
        int64_t next = start + (int64_t)(i + 1) * 10000000, left;
        count(&tallies[0], compare_now(wall, &receiver), errors[0]);
        count(&tallies[1], compare_conversion(wall, &receiver), errors[1]);
        count(&tallies[2], compare_conversion(audio, &receiver), errors[2]);
        if (i % 50 == 0) {
            const ptpbmca_session *session = i % 100 ? wall : audio;
            check_snapshot(session, identity);
            check_offset(session);
            check_inverse(session);
            check_anchor(session, identity);
        }
        left = next - raw_monotonic();
        if (left > 0)
            pause_ms((int)(left / 1000000));
    }
    judge(&tallies[0], errors[0], "receiver_now");
    judge(&tallies[1], errors[1], "receiver_time, wall clock");
    judge(&tallies[2], errors[2], "receiver_time, audio clock");

    /* The local clocks are the ones that were asked for. */
    for (int i = 0; i < 2; i++) {
        clockid_t clock = i ? CLOCK_MONOTONIC : CLOCK_REALTIME;
        int64_t before = raw_clock(clock), local_ns, after;
        GIVES(ptpbmca_local_now(i ? audio : wall, &local_ns), PTPBMCA_OK);
        after = raw_clock(clock);
        CHECK(before <= local_ns && local_ns <= after);
    }
    GIVES(ptpbmca_status(wall, &status), PTPBMCA_OK);
    CHECK(status.announced == 1 && status.announced_priority1 == 248);
    CHECK(status.announced_grandmaster_id == identity && status.announced_steps_removed == 0);
    CHECK(status.event_port == PORT && status.general_port == PORT + 1 && !status.ephemeral_ports);
    CHECK(status.received.sync > 0 && status.received.follow_up > 0 && status.received.announce > 0);
    CHECK(status.pairs > 0 && status.sent.delay_req > 0 && status.delay_resp_used > 0);
    CHECK(status.clock.path_delay_ns > 0 && status.clock.path_delay_ns < 50000000);
    CHECK(status.steps == 0 && status.send_errors == 0 && status.advice[0]);
    CHECK(status.reserved[0] == 0 && status.reserved8[0] == 0);
    printf("skew %+.3f ppm of +37.5; path delay %.1f us; bound %.1f us; kernel stamps %u %u\n", status.clock.skew_ppm,
           (double)status.clock.path_delay_ns / 1e3, (double)status.clock.error_ns / 1e3, status.kernel_receive_stamps,
           status.kernel_send_stamps);
    if (seconds >= 20)
        CHECK(status.clock.skew_ppm > 32.5 && status.clock.skew_ppm < 42.5);
    stop(wall);
    check_snapshot(audio, identity);
    stop(audio);
    receiver_end(&receiver);
    for (int i = 0; i < 3; i++)
        free(errors[i]);
    printf("longest stop %.1f ms\n", (double)longest_stop_ns / 1e6);
    return 0;
}
