/*
 * wallstep: the wall clock is set, or the host sleeps, while sessions follow and lead. The program puts its own clocks
 * between the library and the kernel; nothing is done to the machine's. Binds 127.0.24.x.
 *
 *     wallstep RECEIVER
 */
#define _GNU_SOURCE
#include "check.h"
#include "receiver.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#define LOCAL "127.0.24.1"
#define PORT 22619

static const int64_t hour = (int64_t)3600 * 1000000000;
static const int64_t second = 1000000000;

/* ---- The clocks the library sees ---- */

/* Added to the wall clock. */
static _Atomic int64_t wall_step;
/* What the monotonic clock has missed in suspends, and the one that is going on: from when (raw) and how long. */
static _Atomic int64_t missed, suspended_from, suspended_for;
/* Where the kernel would tell of a setting of the wall clock, and whether it does. */
static atomic_int setting_watch = -1;

static int64_t monotonic_of(int64_t raw)
{
    int64_t from = atomic_load(&suspended_from), length = atomic_load(&suspended_for), into = 0;
    if (length > 0 && raw > from)
        into = raw - from < length ? raw - from : length;
    return raw - atomic_load(&missed) - into;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int64_t now;
    if (syscall(SYS_clock_gettime, clock, time) != 0)
        return -1;
    now = (int64_t)time->tv_sec * second + time->tv_nsec;
    if (clock == CLOCK_REALTIME)
        now += atomic_load(&wall_step);
    else if (clock == CLOCK_MONOTONIC)
        now = monotonic_of(now);
    else
        return 0;
    time->tv_sec = now / second;
    time->tv_nsec = now % second;
    return 0;
}

/* Stamps of packets are the wall clock's. */
ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t length = syscall(SYS_recvmsg, fd, message, flags);
    if (length < 0 || !message->msg_control)
        return length;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == SOL_SOCKET && (part->cmsg_type == SO_TIMESTAMPING || part->cmsg_type == SO_TIMESTAMPNS)) {
            struct timespec stamp;
            int64_t at;
            memcpy(&stamp, CMSG_DATA(part), sizeof stamp);
            at = (int64_t)stamp.tv_sec * second + stamp.tv_nsec;
            if (at == 0)
                continue;
            at += atomic_load(&wall_step);
            stamp.tv_sec = at / second;
            stamp.tv_nsec = at % second;
            memcpy(CMSG_DATA(part), &stamp, sizeof stamp);
        }
    return length;
}

/* A timer of the wall clock is only for being cancelled by a setting: an eventfd does, which this program can write to.
   Timers of the monotonic clock count in the one that the library sees. */
int timerfd_create(int clock, int flags)
{
    if (clock == CLOCK_REALTIME) {
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        atomic_store(&setting_watch, fd);
        return fd;
    }
    return (int)syscall(SYS_timerfd_create, clock, flags);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *setting, struct itimerspec *old)
{
    struct itimerspec raw = *setting;
    if (fd == atomic_load(&setting_watch))
        return 0;
    if (flags & TFD_TIMER_ABSTIME) {
        int64_t at = (int64_t)raw.it_value.tv_sec * second + raw.it_value.tv_nsec;
        if (at != 0)
            at += raw_monotonic() - monotonic_of(raw_monotonic());
        raw.it_value.tv_sec = at / second;
        raw.it_value.tv_nsec = at % second;
    }
    return (int)syscall(SYS_timerfd_settime, fd, flags, &raw, old);
}

static void step_wall(int64_t by, int tell)
{
    uint64_t one = 1;
    atomic_fetch_add(&wall_step, by);
    if (tell)
        CHECK(write(atomic_load(&setting_watch), &one, sizeof one) == sizeof one);
}

/* Stops this process, and the receiver's first, for a while in which the monotonic clock stands still. */
static void suspend_host(int64_t length, pid_t receiver)
{
    int seconds = (int)(length / second);
    pid_t sleeper = fork(), self = getppid();
    CHECK(sleeper >= 0);
    if (sleeper == 0) {
        self = getppid();
        if (receiver)
            kill(receiver, SIGSTOP);
        pause_ms(50);
        kill(self, SIGSTOP);
        pause_ms(seconds * 1000 + 100);
        kill(self, SIGCONT);
        if (receiver)
            kill(receiver, SIGCONT);
        _exit(0);
    }
    (void)self;
    pause_ms(20);
    /* The kernel stops every thread at 50 ms, give or take; the clock stands still from there on. */
    atomic_store(&suspended_from, raw_monotonic() + 30000000);
    atomic_store(&suspended_for, length);
    while (waitpid(sleeper, NULL, 0) < 0 && errno == EINTR) {
    }
    atomic_fetch_add(&missed, length);
    atomic_store(&suspended_for, 0);
}

/* ---- Following ---- */

static ptpbmca_clock_offset offset_of(const ptpbmca_session *session)
{
    ptpbmca_clock_offset offset;
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    return offset;
}

static ptpbmca_session *synchronized(const char *receiver, ptpbmca_role_policy role, ptpbmca_clock clock)
{
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session;
    config.role = role;
    config.local_clock = clock;
    session = started(receiver, &config);
    GIVES(ptpbmca_await_sync(session, 15000), PTPBMCA_OK);
    return session;
}

/* Whether all ways to convert agree with the truth. */
static int is_right(const ptpbmca_session *session, struct receiver *receiver)
{
    int64_t local_ns;
    ptpbmca_clock_offset offset;
    struct sample by_offset;
    int64_t before = raw_monotonic(), after;
    GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_OK);
    after = raw_monotonic();
    offset = offset_of(session);
    by_offset.ok = offset.synchronized;
    by_offset.bound_ns = offset.error_ns + 1000;
    by_offset.unsure_ns = (after - before) / 2 + 1;
    by_offset.error_ns = local_ns + offset.offset_ns - (int64_t)truth_at(receiver, before + (after - before) / 2);
    return within(by_offset) && within(compare_now(session, receiver)) && within(compare_conversion(session, receiver));
}

/* Waits until it is right, then sees that it stays so; `steady`, if any, is right at every moment. The contract says one
   second; a loaded machine may say three. */
static void becomes_right(const ptpbmca_session *session, const ptpbmca_session *steady, struct receiver *receiver,
                          const char *what)
{
    int64_t start = raw_monotonic();
    int wrong = 0, unsteady = 0;
    while (!is_right(session, receiver)) {
        unsteady += steady && !is_right(steady, receiver);
        if (raw_monotonic() - start > 3 * second) {
            struct sample sample = compare_conversion(session, receiver);
            FAIL("%s: 3 s later off by %" PRId64 " ns, the bound is %" PRIu64, what, sample.error_ns, sample.bound_ns);
        }
        pause_ms(2);
    }
    printf("%s: right after %.0f ms\n", what, (double)(raw_monotonic() - start) / 1e6);
    pause_ms(300);
    for (int i = 0; i < 50; i++) {
        wrong += !is_right(session, receiver);
        unsteady += steady && !is_right(steady, receiver);
        pause_ms(10);
    }
    if (unsteady > 1)
        FAIL("%s: the session in the other clock noticed it in %d samples", what, unsteady);
    if (wrong > 1)
        FAIL("%s: wrong again in %d of 50 samples", what, wrong);
}

static void following(const char *program)
{
    const char *const options[] = {"--address", "127.0.24.2", "--event-port", "22619", "--general-port", "22620",
                                   "--peer",    LOCAL,        "--skew-ppm",   "25",    NULL};
    const int64_t steps[] = {hour, -2 * hour, 3000000, -3000000, hour};
    struct receiver receiver = receiver_start(program, options);
    ptpbmca_session *wall = synchronized("127.0.24.2", PTPBMCA_ROLE_AUTO, PTPBMCA_CLOCK_REALTIME);
    ptpbmca_session *audio = synchronized("127.0.24.2", PTPBMCA_ROLE_AUTO, PTPBMCA_CLOCK_MONOTONIC);
    char what[80];
    becomes_right(wall, NULL, &receiver, "before any step");
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        ptpbmca_clock_offset wall_before = offset_of(wall), audio_before = offset_of(audio), after;
        snprintf(what, sizeof what, "following, wall clock %+.3f s%s", (double)steps[i] / 1e9, i % 2 ? ", told" : "");
        step_wall(steps[i], i % 2);
        becomes_right(wall, audio, &receiver, what);
        after = offset_of(wall);
        if (after.epoch != wall_before.epoch + 1)
            FAIL("%s: epoch %u after %u", what, after.epoch, wall_before.epoch);
        CHECK(after.sync_state == PTPBMCA_SYNC_LOCKED && after.grandmaster_id == wall_before.grandmaster_id);
        CHECK(wall_before.offset_ns - after.offset_ns > steps[i] - 1000000);
        CHECK(wall_before.offset_ns - after.offset_ns < steps[i] + 1000000);
        after = offset_of(audio);
        CHECK(after.epoch == audio_before.epoch && after.sync_state == PTPBMCA_SYNC_LOCKED);
        CHECK(after.offset_ns - audio_before.offset_ns < 1000000 && after.offset_ns - audio_before.offset_ns > -1000000);
    }
    {
        ptpbmca_clock_offset wall_before = offset_of(wall), audio_before = offset_of(audio), after;
        suspend_host(3 * second, receiver.pid);
        becomes_right(audio, NULL, &receiver, "following, suspended 3 s, MONOTONIC");
        becomes_right(wall, NULL, &receiver, "following, suspended 3 s, REALTIME");
        after = offset_of(audio);
        if (after.epoch != audio_before.epoch + 1)
            FAIL("after a suspend the MONOTONIC session's epoch is %u after %u", after.epoch, audio_before.epoch);
        CHECK(after.offset_ns - audio_before.offset_ns > 2990000000 && after.offset_ns - audio_before.offset_ns < 3010000000);
        after = offset_of(wall);
        if (after.epoch != wall_before.epoch + 1)
            FAIL("after a suspend the REALTIME session's epoch is %u after %u", after.epoch, wall_before.epoch);
    }
    stop(wall);
    stop(audio);
    receiver_end(&receiver);
}

/* In holdover nothing comes that would wake the worker, but the kernel tells of the setting. */
static void holding_over(const char *program)
{
    const char *const options[] = {"--address",    "127.0.24.3", "--event-port",  "22619", "--general-port", "22620",
                                   "--silence-at", "3",          "--silence-for", "60",    NULL};
    struct receiver receiver = receiver_start(program, options);
    ptpbmca_session *wall = synchronized("127.0.24.3", PTPBMCA_ROLE_AUTO, PTPBMCA_CLOCK_REALTIME);
    uint32_t epoch;
    EVENTUALLY(offset_of(wall).sync_state == PTPBMCA_SYNC_HOLDOVER, 20);
    pause_ms(200);
    epoch = offset_of(wall).epoch;
    step_wall(hour, 1);
    becomes_right(wall, NULL, &receiver, "in holdover, wall clock +3600 s, told");
    CHECK(offset_of(wall).epoch == epoch + 1 && offset_of(wall).sync_state == PTPBMCA_SYNC_HOLDOVER);
    stop(wall);
    receiver_end(&receiver);
}

/* ---- Leading ---- */

/* The served time in the next Follow_Up on the wire, minus the machine's own wall clock. */
static int64_t served_minus_wall(int fd)
{
    int64_t until = raw_monotonic() + 5 * second;
    unsigned char bytes[256];
    while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) >= 0) {
        /* What came before is not the next one. */
    }
    while (raw_monotonic() < until) {
        ssize_t length = recv(fd, bytes, sizeof bytes, 0);
        uint64_t seconds = 0, nanos = 0;
        if (length < 44 || (bytes[0] & 0xf) != 8)
            continue;
        for (int i = 34; i < 40; i++)
            seconds = seconds << 8 | bytes[i];
        for (int i = 40; i < 44; i++)
            nanos = nanos << 8 | bytes[i];
        return (int64_t)(seconds * 1000000000 + nanos) - raw_clock(CLOCK_REALTIME);
    }
    FAIL("no Follow_Up is sent while leading");
}

static int wiretap(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT + 1)};
    struct timeval patience = {1, 0};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    inet_pton(AF_INET, "127.0.24.9", &at.sin_addr);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    return fd;
}

/* A comparison of two clocks read one after the other, preempted at worst. */
static int nearly(int64_t value, int64_t expected)
{
    return value - expected < 100000000 && value - expected > -100000000;
}

/* The served timeline as a session tells it, minus the machine's own wall clock. */
static int64_t told_minus_wall(const ptpbmca_session *session)
{
    uint64_t receiver_ns;
    GIVES(ptpbmca_receiver_now(session, &receiver_ns), PTPBMCA_OK);
    return (int64_t)receiver_ns - raw_clock(CLOCK_REALTIME);
}

static int conversion_is_right(const ptpbmca_session *session, int64_t served_minus_machine)
{
    int64_t local_ns;
    uint64_t receiver_ns;
    GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_OK);
    GIVES(ptpbmca_receiver_time(session, local_ns, &receiver_ns), PTPBMCA_OK);
    return nearly((int64_t)receiver_ns - raw_clock(CLOCK_REALTIME), served_minus_machine);
}

static void leading(void)
{
    const int64_t steps[] = {hour, -2 * hour, 300000000, hour - 300000000};
    int tap = wiretap();
    int64_t first, sum = 0, begun = atomic_load(&wall_step);
    ptpbmca_session *wall = synchronized("127.0.24.9", PTPBMCA_ROLE_LEAD, PTPBMCA_CLOCK_REALTIME);
    ptpbmca_session *audio = synchronized("127.0.24.9", PTPBMCA_ROLE_LEAD, PTPBMCA_CLOCK_MONOTONIC);
    /* It starts equal to the wall clock, the stepped one that the library sees. */
    CHECK(nearly(offset_of(wall).offset_ns, 0));
    first = told_minus_wall(wall);
    CHECK(nearly(first, begun));
    CHECK(nearly(served_minus_wall(tap), begun));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        ptpbmca_clock_offset wall_before = offset_of(wall), audio_before = offset_of(audio), after;
        int64_t start = raw_monotonic();
        step_wall(steps[i], 0);
        sum += steps[i];
        EVENTUALLY(conversion_is_right(wall, begun) && nearly(offset_of(wall).offset_ns, -sum), 3);
        printf("leading, wall clock %+.3f s: right after %.0f ms\n", (double)steps[i] / 1e9,
               (double)(raw_monotonic() - start) / 1e6);
        pause_ms(150);
        after = offset_of(wall);
        if (after.epoch != wall_before.epoch + 1)
            FAIL("leading, epoch %u after %u", after.epoch, wall_before.epoch);
        CHECK(after.sync_state == PTPBMCA_SYNC_LEADING);
        /* Neither the receivers nor the audio clock notice. */
        CHECK(nearly(told_minus_wall(wall), begun) && nearly(told_minus_wall(audio), begun));
        for (int k = 0; k < 3; k++)
            if (!nearly(served_minus_wall(tap), begun))
                FAIL("the served timeline stepped with the wall clock: %" PRId64 " ns off", served_minus_wall(tap) - begun);
        after = offset_of(audio);
        CHECK(after.epoch == audio_before.epoch && nearly(after.offset_ns, audio_before.offset_ns));
        CHECK(conversion_is_right(audio, begun));
    }
    {
        ptpbmca_clock_offset audio_before = offset_of(audio), after;
        suspend_host(2 * second, 0);
        EVENTUALLY(conversion_is_right(audio, begun) && conversion_is_right(wall, begun), 3);
        pause_ms(300);
        CHECK(nearly(told_minus_wall(wall), begun) && nearly(told_minus_wall(audio), begun));
        for (int k = 0; k < 20; k++)
            served_minus_wall(tap);
        CHECK(nearly(served_minus_wall(tap), begun));
        after = offset_of(audio);
        if (after.epoch != audio_before.epoch + 1)
            FAIL("leading, after a suspend the MONOTONIC session's epoch is %u after %u", after.epoch, audio_before.epoch);
        CHECK(nearly(after.offset_ns - audio_before.offset_ns, 2 * second));
    }
    stop(wall);
    stop(audio);
    close(tap);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    following(argv[1]);
    holding_over(argv[1]);
    leading();
    printf("longest stop %.1f ms\n", (double)longest_stop_ns / 1e6);
    return 0;
}
