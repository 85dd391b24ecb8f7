/*
 * callbacks: what comes in which order on which thread, what may be called from one, and that none comes too late.
 * Binds 127.0.18.x.
 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define LOCAL "127.0.18.1"
#define PORT 21519

static pid_t thread_id(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* What one session's callback saw. */
enum { KEPT = 16 };
struct seen {
    unsigned char guard[8];
    atomic_int count;
    ptpbmca_event events[KEPT];
    ptpbmca_clock_offset now[KEPT];
    ptpbmca_session *session;
    pid_t thread;
    atomic_int stopped;
};

static void every_call(ptpbmca_session *session, const ptpbmca_clock_offset *now)
{
    ptpbmca_clock_offset offset;
    ptpbmca_anchor_time anchor;
    ptpbmca_session_status status;
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *another;
    ptpbmca_error error;
    uint64_t receiver_ns;
    int64_t local_ns;
    ptpbmca_result conversion = now->synchronized ? PTPBMCA_OK : PTPBMCA_ERR_NOT_SYNCHRONIZED;
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    /* Readers see what the callback is told of. */
    CHECK(offset.sync_state == now->sync_state && offset.role == now->role && offset.epoch == now->epoch);
    GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_OK);
    GIVES(ptpbmca_receiver_time(session, local_ns, &receiver_ns), conversion);
    GIVES(ptpbmca_receiver_now(session, &receiver_ns), conversion);
    GIVES(ptpbmca_local_time(session, receiver_ns, &local_ns), conversion);
    GIVES(ptpbmca_anchor(session, local_ns, &anchor), conversion);
    GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
    CHECK(status.clock.sync_state == now->sync_state && status.event_port == PORT);
    GIVES(ptpbmca_stop(session), PTPBMCA_ERR_WOULD_DEADLOCK);
    GIVES(ptpbmca_await_sync(session, 1), PTPBMCA_ERR_WOULD_DEADLOCK);
    ARM(another), ARM(error);
    GIVES(ptpbmca_start("127.0.18.3", &config, &another, &error), PTPBMCA_ERR_WOULD_DEADLOCK);
    UNTOUCHED(another);
    CHECK(error.result == PTPBMCA_ERR_WOULD_DEADLOCK && strlen(error.message) > 10);
    GIVES(ptpbmca_config_init(&config, sizeof config), PTPBMCA_OK);
}

static void on_event(void *user_data, ptpbmca_session *session, ptpbmca_event event, const ptpbmca_clock_offset *now)
{
    struct seen *seen = user_data;
    int at = atomic_load(&seen->count);
    CHECK(!memcmp(seen->guard, "user dat", 8));
    CHECK(!atomic_load(&seen->stopped));
    if (at == 0) {
        seen->session = session;
        seen->thread = thread_id();
    }
    CHECK(session == seen->session && session != NULL);
    CHECK(thread_id() == seen->thread);
    if (event == PTPBMCA_EVENT_STOPPED)
        atomic_store(&seen->stopped, 1);
    every_call(session, now);
    if (at < KEPT) {
        seen->events[at] = event;
        seen->now[at] = *now;
    }
    atomic_store(&seen->count, at + 1);
}

static int saw(const struct seen *seen, ptpbmca_event event)
{
    int times = 0;
    for (int i = 0; i < atomic_load(&seen->count) && i < KEPT; i++)
        times += seen->events[i] == event;
    return times;
}

/* Nobody answers: the session listens, then leads. */
static void events(ptpbmca_role_policy role)
{
    static struct seen seen;
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session, *second;
    static struct seen seen_too;
    memset(&seen, 0, sizeof seen);
    memset(&seen_too, 0, sizeof seen_too);
    memcpy(seen.guard, "user dat", 8);
    memcpy(seen_too.guard, "user dat", 8);
    config.role = role;
    config.announce_timeout_ms = 300;
    config.on_event = on_event;
    config.user_data = &seen;
    GIVES(ptpbmca_start("127.0.18.2", &config, &session, NULL), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(session, 10000), PTPBMCA_OK);
    EVENTUALLY(atomic_load(&seen.count) >= 2, 5);
    CHECK(seen.session == session && seen.thread != thread_id());
    CHECK(seen.events[0] == PTPBMCA_EVENT_ROLE_CHANGED && seen.now[0].role == PTPBMCA_LEADING);
    CHECK(seen.events[1] == PTPBMCA_EVENT_SYNCHRONIZED && seen.now[1].synchronized == 1);
    CHECK(seen.now[1].grandmaster_id == seen.now[1].local_clock_id && seen.now[1].epoch == 0);
    /* A second session with the same receiver is told how things stand, on the same thread. */
    config.user_data = &seen_too;
    GIVES(ptpbmca_start("127.0.18.2", &config, &second, NULL), PTPBMCA_OK);
    EVENTUALLY(saw(&seen_too, PTPBMCA_EVENT_SYNCHRONIZED) == 1, 5);
    CHECK(seen_too.thread == seen.thread && seen_too.session == second && second != session);
    stop(session);
    CHECK(atomic_load(&seen.stopped));
    CHECK(!atomic_load(&seen_too.stopped));
    {
        int count = atomic_load(&seen.count);
        CHECK(count == 3 && seen.events[2] == PTPBMCA_EVENT_STOPPED);
        pause_ms(50);
        CHECK(atomic_load(&seen.count) == count);
    }
    stop(second);
    CHECK(saw(&seen_too, PTPBMCA_EVENT_STOPPED) == 1);
}

/* A flag that is put down after stop tells a callback that came later. */
struct flag {
    atomic_int alive, calls;
};

static void on_flagged_event(void *user_data, ptpbmca_session *session, ptpbmca_event event,
                             const ptpbmca_clock_offset *now)
{
    struct flag *flag = user_data;
    (void)session, (void)event, (void)now;
    if (atomic_load(&flag->alive) != 1)
        FAIL("a callback after stop returned");
    atomic_fetch_add(&flag->calls, 1);
    for (int i = 0; i < 50; i++)
        sched_yield();
    if (atomic_load(&flag->alive) != 1)
        FAIL("stop returned while a callback was running");
}

static int hammer_rounds = 300;

static void *hammer(void *argument)
{
    int number = (int)(uintptr_t)argument, calls = 0;
    char receiver[32];
    ptpbmca_config config = loopback(LOCAL, PORT + 10);
    snprintf(receiver, sizeof receiver, "127.0.18.%d", 20 + number);
    config.on_event = on_flagged_event;
    config.announce_timeout_ms = 1;
    struct flag *retired[64] = {NULL};
    for (int round = 0; round < hammer_rounds; round++) {
        struct flag *flag = malloc(sizeof *flag);
        ptpbmca_session *session;
        atomic_init(&flag->alive, 1);
        atomic_init(&flag->calls, 0);
        config.user_data = flag;
        config.role = round % 2 ? PTPBMCA_ROLE_LEAD : PTPBMCA_ROLE_AUTO;
        GIVES(ptpbmca_start(receiver, &config, &session, NULL), PTPBMCA_OK);
        if (round % 3 == 0)
            pause_ms(1);
        GIVES(ptpbmca_stop(session), PTPBMCA_OK);
        atomic_store(&flag->alive, 0);
        calls += atomic_load(&flag->calls);
        CHECK(atomic_load(&flag->calls) >= 1);
        /* Freed late: the next one must not come to lie where a callback still looks for the last. */
        free(retired[round % 64]);
        retired[round % 64] = flag;
    }
    for (int i = 0; i < 64; i++)
        free(retired[i]);
    return (void *)(uintptr_t)calls;
}

static void none_after_stop(void)
{
    pthread_t threads[3];
    long calls = 0;
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, hammer, (void *)(uintptr_t)i);
    for (int i = 0; i < 3; i++) {
        void *mine;
        pthread_join(threads[i], &mine);
        calls += (long)(uintptr_t)mine;
    }
    printf("%d sessions, %ld callbacks, none late\n", 3 * hammer_rounds, calls);
}

/* The log. */
struct log {
    atomic_int alive, lines, by_level[8], in_set;
    char last[512];
    /* So long in the callback that it is likely to be replaced meanwhile. */
    int dawdles;
};

static void on_log(void *user_data, ptpbmca_log_level level, const char *message)
{
    struct log *log = user_data;
    if (atomic_load(&log->alive) != 1)
        FAIL("a log callback that was replaced is called: %s", message);
    CHECK(level >= PTPBMCA_LOG_ERROR && level <= PTPBMCA_LOG_TRACE);
    CHECK(message && strlen(message) > 0 && strlen(message) < 2000);
    snprintf(log->last, sizeof log->last, "%s", message);
    atomic_fetch_add(&log->by_level[level], 1);
    GIVES(ptpbmca_set_log_callback(NULL, NULL, PTPBMCA_LOG_OFF), PTPBMCA_ERR_WOULD_DEADLOCK);
    GIVES(ptpbmca_set_log_callback(on_log, log, PTPBMCA_LOG_TRACE), PTPBMCA_ERR_WOULD_DEADLOCK);
    if (log->dawdles)
        pause_ms(1);
    if (atomic_load(&log->alive) != 1)
        FAIL("set_log_callback returned while the former callback was running");
    atomic_fetch_add(&log->lines, 1);
}

/* A wait in vain (warn), another one (info), a change of role (info), convergence (debug). */
static void make_lines(void)
{
    ptpbmca_config config = loopback(LOCAL, PORT + 20);
    ptpbmca_session *session;
    config.role = PTPBMCA_ROLE_FOLLOW;
    GIVES(ptpbmca_start("127.0.18.30", &config, &session, NULL), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(session, 1), PTPBMCA_ERR_TIMEOUT);
    GIVES(ptpbmca_stop(session), PTPBMCA_OK);
    config.role = PTPBMCA_ROLE_AUTO;
    config.announce_timeout_ms = 50;
    GIVES(ptpbmca_start("127.0.18.30", &config, &session, NULL), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(session, 10000), PTPBMCA_OK);
    GIVES(ptpbmca_stop(session), PTPBMCA_OK);
}

static void fresh(struct log *log)
{
    memset((void *)log, 0, sizeof *log);
    atomic_store(&log->alive, 1);
}

static void logging(void)
{
    static struct log log, other;
    int lines;
    fresh(&log), fresh(&other);
    GIVES(ptpbmca_set_log_callback(on_log, &log, PTPBMCA_LOG_DEBUG), PTPBMCA_OK);
    make_lines();
    CHECK(atomic_load(&log.by_level[PTPBMCA_LOG_WARN]) >= 1);
    CHECK(atomic_load(&log.by_level[PTPBMCA_LOG_INFO]) >= 2);
    CHECK(atomic_load(&log.by_level[PTPBMCA_LOG_DEBUG]) >= 1);
    CHECK(atomic_load(&log.by_level[PTPBMCA_LOG_TRACE]) == 0);

    /* Replaced: the former one gets nothing more, and the new one no more than it asked for. */
    GIVES(ptpbmca_set_log_callback(on_log, &other, PTPBMCA_LOG_WARN), PTPBMCA_OK);
    atomic_store(&log.alive, 0);
    lines = atomic_load(&log.lines);
    make_lines();
    CHECK(atomic_load(&log.lines) == lines);
    CHECK(atomic_load(&other.by_level[PTPBMCA_LOG_WARN]) >= 1);
    if (!strstr(other.last, "audio may not play"))
        FAIL("the warning of a wait in vain reads: %s", other.last);
    CHECK(atomic_load(&other.by_level[PTPBMCA_LOG_INFO]) == 0 && atomic_load(&other.by_level[PTPBMCA_LOG_DEBUG]) == 0);

    /* A wrong level changes nothing. */
    lines = atomic_load(&other.lines);
    GIVES(ptpbmca_set_log_callback(on_log, &log, 77), PTPBMCA_ERR_INVALID_ARGUMENT);
    make_lines();
    CHECK(atomic_load(&other.lines) > lines);

    /* Unset, in both ways: silence. */
    GIVES(ptpbmca_set_log_callback(NULL, NULL, PTPBMCA_LOG_TRACE), PTPBMCA_OK);
    atomic_store(&other.alive, 0);
    make_lines();
    fresh(&other);
    GIVES(ptpbmca_set_log_callback(on_log, &other, PTPBMCA_LOG_OFF), PTPBMCA_OK);
    make_lines();
    CHECK(atomic_load(&other.lines) == 0);
}

static atomic_bool over;

static void *log_maker(void *argument)
{
    (void)argument;
    while (!atomic_load(&over))
        make_lines();
    return NULL;
}

/* Callbacks come and go, each with memory of its own, while lines are written. */
static void log_replaced_while_used(void)
{
    /* Freed late: the next one must not come to lie where a callback still looks for the last. */
    enum { WAITING = 256 };
    static struct log *retired[WAITING];
    pthread_t maker;
    long lines = 0;
    int turn = 0;
    int64_t end = raw_monotonic() + 1500000000;
    pthread_create(&maker, NULL, log_maker, NULL);
    while (raw_monotonic() < end) {
        struct log *log = malloc(sizeof *log);
        fresh(log);
        log->dawdles = 1;
        GIVES(ptpbmca_set_log_callback(on_log, log, PTPBMCA_LOG_TRACE), PTPBMCA_OK);
        if (raw_monotonic() % 4 == 0)
            pause_ms(1);
        GIVES(ptpbmca_set_log_callback(NULL, NULL, PTPBMCA_LOG_OFF), PTPBMCA_OK);
        atomic_store(&log->alive, 0);
        lines += atomic_load(&log->lines);
        free(retired[turn % WAITING]);
        retired[turn++ % WAITING] = log;
    }
    atomic_store(&over, 1);
    pthread_join(maker, NULL);
    for (int i = 0; i < WAITING; i++)
        free(retired[i]);
    CHECK(lines > 0);
}

/* Every call on another session, from a callback: those that would wait for the callback itself say so. */
struct about {
    ptpbmca_session *other;
    atomic_int events, lines;
};

static void calls_on_another(ptpbmca_session *other)
{
    ptpbmca_clock_offset offset;
    ptpbmca_session_status status;
    ptpbmca_config config = loopback(LOCAL, PORT + 30);
    ptpbmca_session *started;
    uint64_t receiver_ns;
    int64_t local_ns;
    GIVES(ptpbmca_offset(other, &offset), PTPBMCA_OK);
    GIVES(ptpbmca_local_now(other, &local_ns), PTPBMCA_OK);
    GIVES(ptpbmca_receiver_time(other, local_ns, &receiver_ns), PTPBMCA_ERR_NOT_SYNCHRONIZED);
    GIVES(ptpbmca_receiver_now(other, &receiver_ns), PTPBMCA_ERR_NOT_SYNCHRONIZED);
    GIVES(ptpbmca_local_time(other, receiver_ns, &local_ns), PTPBMCA_ERR_NOT_SYNCHRONIZED);
    GIVES(ptpbmca_status(other, &status), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(other, 600000), PTPBMCA_ERR_WOULD_DEADLOCK);
    GIVES(ptpbmca_stop(other), PTPBMCA_ERR_WOULD_DEADLOCK);
    GIVES(ptpbmca_stop(NULL), PTPBMCA_OK);
    GIVES(ptpbmca_start("127.0.18.40", &config, &started, NULL), PTPBMCA_ERR_WOULD_DEADLOCK);
    /* Still there: nothing of this has ended it. */
    GIVES(ptpbmca_offset(other, &offset), PTPBMCA_OK);
    CHECK(strlen(ptpbmca_result_message(PTPBMCA_ERR_WOULD_DEADLOCK)) > 10 && strlen(ptpbmca_version()) > 0);
}

static void on_log_about(void *user_data, ptpbmca_log_level level, const char *message)
{
    struct about *about = user_data;
    (void)level, (void)message;
    /* The lines of starting it come before it is known. */
    if (about->other)
        calls_on_another(about->other);
    GIVES(ptpbmca_set_log_callback(NULL, NULL, PTPBMCA_LOG_OFF), PTPBMCA_ERR_WOULD_DEADLOCK);
    atomic_fetch_add(&about->lines, 1);
}

static void on_event_about(void *user_data, ptpbmca_session *session, ptpbmca_event event,
                           const ptpbmca_clock_offset *now)
{
    struct about *about = user_data;
    (void)session, (void)now;
    calls_on_another(about->other);
    /* The log may be turned off and on again from here. */
    if (event == PTPBMCA_EVENT_STOPPED) {
        GIVES(ptpbmca_set_log_callback(NULL, NULL, PTPBMCA_LOG_OFF), PTPBMCA_OK);
        GIVES(ptpbmca_set_log_callback(on_log_about, about, PTPBMCA_LOG_TRACE), PTPBMCA_OK);
    }
    atomic_fetch_add(&about->events, 1);
}

static void calls_from_callbacks(void)
{
    static struct about about;
    ptpbmca_config config = loopback(LOCAL, PORT + 30);
    ptpbmca_session *session, *other;
    config.role = PTPBMCA_ROLE_FOLLOW;
    GIVES(ptpbmca_start("127.0.18.41", &config, &other, NULL), PTPBMCA_OK);
    about.other = other;
    GIVES(ptpbmca_set_log_callback(on_log_about, &about, PTPBMCA_LOG_TRACE), PTPBMCA_OK);
    config.role = PTPBMCA_ROLE_AUTO;
    config.announce_timeout_ms = 50;
    config.on_event = on_event_about;
    config.user_data = &about;
    GIVES(ptpbmca_start("127.0.18.42", &config, &session, NULL), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(session, 10000), PTPBMCA_OK);
    EVENTUALLY(atomic_load(&about.events) >= 2 && atomic_load(&about.lines) >= 2, 5);
    stop(session);
    CHECK(atomic_load(&about.events) >= 3);
    GIVES(ptpbmca_set_log_callback(NULL, NULL, PTPBMCA_LOG_OFF), PTPBMCA_OK);
    stop(other);
}

/* A callback that does not return for a long time: readers go on, and who waits waits no longer than was asked for. */
struct held {
    atomic_int in, let_go, stopped;
    ptpbmca_session *session;
};

static void on_event_held(void *user_data, ptpbmca_session *session, ptpbmca_event event,
                          const ptpbmca_clock_offset *now)
{
    struct held *held = user_data;
    (void)session, (void)now;
    if (event != PTPBMCA_EVENT_ROLE_CHANGED)
        return;
    atomic_store(&held->in, 1);
    for (int i = 0; i < 1000 && !atomic_load(&held->let_go); i++)
        pause_ms(5);
    atomic_store(&held->in, 2);
}

static void *stop_held(void *argument)
{
    struct held *held = argument;
    GIVES(ptpbmca_stop(held->session), PTPBMCA_OK);
    atomic_store(&held->stopped, 1);
    return NULL;
}

static void held_up(void)
{
    static struct held held;
    ptpbmca_config config = loopback(LOCAL, PORT + 40);
    ptpbmca_session *holding, *leading;
    ptpbmca_clock_offset offset;
    pthread_t stopper;
    uint64_t last_ns = 0, receiver_ns;
    config.role = PTPBMCA_ROLE_LEAD;
    GIVES(ptpbmca_start("127.0.18.50", &config, &leading, NULL), PTPBMCA_OK);
    config.role = PTPBMCA_ROLE_FOLLOW;
    GIVES(ptpbmca_start("127.0.18.51", &config, &held.session, NULL), PTPBMCA_OK);
    config.role = PTPBMCA_ROLE_AUTO;
    config.announce_timeout_ms = 100;
    config.on_event = on_event_held;
    config.user_data = &held;
    GIVES(ptpbmca_start("127.0.18.52", &config, &holding, NULL), PTPBMCA_OK);
    EVENTUALLY(atomic_load(&held.in) == 1, 10);
    GIVES(ptpbmca_await_sync(held.session, 20), PTPBMCA_ERR_TIMEOUT);
    if (atomic_load(&held.in) != 1)
        FAIL("a wait of 20 ms lasted until the callback returned");
    for (int i = 0; i < 50; i++) {
        GIVES(ptpbmca_receiver_now(leading, &receiver_ns), PTPBMCA_OK);
        CHECK(receiver_ns > last_ns);
        last_ns = receiver_ns;
        GIVES(ptpbmca_offset(held.session, &offset), PTPBMCA_OK);
        pause_ms(1);
    }
    /* Stop waits for the callback, whosever it is: none may run after it. */
    pthread_create(&stopper, NULL, stop_held, &held);
    pause_ms(50);
    CHECK(!atomic_load(&held.stopped));
    atomic_store(&held.let_go, 1);
    pthread_join(stopper, NULL);
    CHECK(atomic_load(&held.in) == 2);
    GIVES(ptpbmca_await_sync(holding, 10000), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(leading, 10000), PTPBMCA_OK);
    stop(holding);
    stop(leading);
}

/* In a child whose output is looked at: the library prints nothing by itself. */
static void silent_until_asked(void)
{
    int ends[2], status;
    char text[4096];
    size_t used = 0;
    ssize_t more;
    pid_t child;
    CHECK(pipe(ends) == 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO), dup2(ends[1], STDERR_FILENO);
        close(ends[0]), close(ends[1]);
        make_lines();
        fflush(stdout);
        _exit(0);
    }
    close(ends[1]);
    while (used < sizeof text - 1 && (more = read(ends[0], text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)more;
    text[used] = 0;
    close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child);
    if (used > 0 || status != 0)
        FAIL("without a log callback, status %d and printed: %s", status, text);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "slow"))
        hammer_rounds = 30;
    silent_until_asked();
    events(PTPBMCA_ROLE_AUTO);
    events(PTPBMCA_ROLE_LEAD);
    calls_from_callbacks();
    held_up();
    none_after_stop();
    logging();
    log_replaced_while_used();
    printf("longest stop %.1f ms\n", (double)longest_stop_ns / 1e6);
    return 0;
}
