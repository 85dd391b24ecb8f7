/*
 * restart: what a session says and is worth while its receiver falls silent, speaks again, restarts with another time,
 * and passes on another clock. Binds 127.0.23.x.
 *
 *     restart RECEIVER
 */
#define _GNU_SOURCE
#include "check.h"
#include "receiver.h"
#include <stdatomic.h>

#define LOCAL "127.0.23.1"
#define PORT 22519

static atomic_int events[8];
static _Atomic uint32_t told_epoch;

static void on_event(void *user_data, ptpbmca_session *session, ptpbmca_event event, const ptpbmca_clock_offset *now)
{
    (void)user_data, (void)session;
    atomic_fetch_add(&events[event], 1);
    if (event == PTPBMCA_EVENT_EPOCH_CHANGED)
        atomic_store(&told_epoch, now->epoch);
}

static ptpbmca_clock_offset offset_of(const ptpbmca_session *session)
{
    ptpbmca_clock_offset offset;
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    return offset;
}

static void is_right(const ptpbmca_session *session, struct receiver *receiver, const char *when)
{
    struct sample sample = compare_now(session, receiver);
    if (!within(sample))
        FAIL("%s: off by %" PRId64 " ns, the bound is %" PRIu64, when, sample.error_ns, sample.bound_ns);
}

static ptpbmca_session *followed(const char *address)
{
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session = NULL;
    ptpbmca_error error;
    config.on_event = on_event;
    for (int i = 0; i < 8; i++)
        atomic_store(&events[i], 0);
    if (ptpbmca_start(address, &config, &session, &error) != PTPBMCA_OK)
        FAIL("%s", error.message);
    GIVES(ptpbmca_await_sync(session, 15000), PTPBMCA_OK);
    return session;
}

static void silence(const char *program)
{
    const char *const options[] = {"--address",    "127.0.23.2",   "--event-port",  "22519", "--general-port", "22520",
                                   "--silence-at", "5",            "--silence-for", "4",     "--skew-ppm",     "-20", NULL};
    struct receiver receiver = receiver_start(program, options);
    ptpbmca_session *session = followed("127.0.23.2");
    ptpbmca_clock_offset offset;
    uint64_t bound = 0;
    int samples = 0;
    int64_t silent_until;
    EVENTUALLY(offset_of(session).sync_state == PTPBMCA_SYNC_HOLDOVER, 15);
    CHECK(receiver_event(&receiver, "silent") > 0);
    silent_until = receiver_event(&receiver, "silent") + (int64_t)4000000000;
    /* It goes on counting, and says that it knows less and less. */
    while ((offset = offset_of(session)).sync_state == PTPBMCA_SYNC_HOLDOVER) {
        CHECK(offset.synchronized == 1 && offset.role == PTPBMCA_FOLLOWING && offset.epoch == 0);
        CHECK(offset.age_ns >= 1000000000 && offset.age_ns < 60000000000);
        if (offset.error_ns < bound && raw_monotonic() < silent_until)
            FAIL("in holdover, %.3f s after the last Sync, the bound shrinks from %" PRIu64 " to %" PRIu64 " ns",
                 (double)offset.age_ns / 1e9, bound, offset.error_ns);
        bound = offset.error_ns;
        is_right(session, &receiver, "in holdover");
        samples++;
        pause_ms(50);
        if (samples > 400)
            FAIL("holdover does not end though the receiver speaks again");
    }
    CHECK(samples > 10);
    EVENTUALLY(offset_of(session).sync_state == PTPBMCA_SYNC_LOCKED, 10);
    pause_ms(500);
    is_right(session, &receiver, "after the silence");
    CHECK(offset_of(session).epoch == 0 && atomic_load(&events[PTPBMCA_EVENT_EPOCH_CHANGED]) == 0);
    CHECK(atomic_load(&events[PTPBMCA_EVENT_LOST]) == 0);
    stop(session);
    CHECK(atomic_load(&events[PTPBMCA_EVENT_STOPPED]) == 1);
    receiver_end(&receiver);
    printf("silence: %d samples in holdover, bound at last %.1f us\n", samples, (double)bound / 1e3);
}

static void restart(const char *program)
{
    const char *const options[] = {"--address",    "127.0.23.3", "--event-port",     "22519", "--general-port", "22520",
                                   "--restart-at", "5",          "--restart-uptime", "3",     "--skew-ppm",     "40",  NULL};
    struct receiver receiver = receiver_start(program, options);
    ptpbmca_session *session = followed("127.0.23.3");
    ptpbmca_clock_offset before = offset_of(session), after;
    ptpbmca_anchor_time anchor;
    int64_t local_ns;
    CHECK(before.epoch == 0);
    EVENTUALLY(offset_of(session).epoch != 0, 20);
    CHECK(receiver_event(&receiver, "restart") > 0);
    GIVES(ptpbmca_await_sync(session, 15000), PTPBMCA_OK);
    EVENTUALLY(offset_of(session).sync_state == PTPBMCA_SYNC_LOCKED, 10);
    pause_ms(1000);
    after = offset_of(session);
    CHECK(after.epoch == 1 && atomic_load(&told_epoch) == 1);
    CHECK(atomic_load(&events[PTPBMCA_EVENT_EPOCH_CHANGED]) == 1);
    CHECK(after.grandmaster_id == before.grandmaster_id);
    is_right(session, &receiver, "after the restart");
    /* Two days of uptime against some seconds. */
    CHECK(before.offset_ns - after.offset_ns > (int64_t)127000 * 1000000000);
    GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_OK);
    GIVES(ptpbmca_anchor(session, local_ns, &anchor), PTPBMCA_OK);
    CHECK(anchor.epoch == 1 && anchor.seconds < 100);
    stop(session);
    receiver_end(&receiver);
}

static void grandmaster(const char *program)
{
    const char *const options[] = {"--address", "127.0.23.4",       "--event-port",    "22519",
                                   "--general-port", "22520",       "--grandmaster-at", "4",
                                   "--grandmaster-id", "0a0b0c0d0e0f0008", NULL};
    struct receiver receiver = receiver_start(program, options);
    ptpbmca_session *session = followed("127.0.23.4");
    CHECK(offset_of(session).grandmaster_id == identity_of(127, 0, 23, 4));
    EVENTUALLY(offset_of(session).grandmaster_id == 0x0a0b0c0d0e0f0008, 20);
    GIVES(ptpbmca_await_sync(session, 15000), PTPBMCA_OK);
    EVENTUALLY(offset_of(session).sync_state == PTPBMCA_SYNC_LOCKED, 10);
    pause_ms(1000);
    CHECK(offset_of(session).epoch == 1);
    CHECK(offset_of(session).receiver_clock_id == identity_of(127, 0, 23, 4));
    CHECK(atomic_load(&events[PTPBMCA_EVENT_GRANDMASTER_CHANGED]) == 1);
    is_right(session, &receiver, "under another grandmaster");
    stop(session);
    receiver_end(&receiver);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    silence(argv[1]);
    restart(argv[1]);
    grandmaster(argv[1]);
    printf("longest stop %.1f ms\n", (double)longest_stop_ns / 1e6);
    return 0;
}
