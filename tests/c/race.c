/*
 * race: readers, waiters and stoppers on handles that other threads start and stop a thousand times. Whoever is late
 * gets NO_SESSION, nothing else; each session is stopped by exactly one of those who try. Binds 127.0.17.x.
 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>

enum { STARTERS = 2, READERS = 3, WAITERS = 2 };

/* The last session of each starter and local clock: half of them, at least, are stopped, and others have their slots. */
static _Atomic(ptpbmca_session *) handles[STARTERS][2];
static atomic_bool done;
static atomic_int stopped_by_starter, stopped_by_partner, woken, synchronized;
static atomic_long reads, reads_of_none;
static pthread_barrier_t ready[STARTERS], over[STARTERS];
static int rounds = 500;

/* Whether a result is one that a reader may get. */
static void read_result(ptpbmca_result result, const char *call)
{
    atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
    if (result == PTPBMCA_ERR_NO_SESSION)
        atomic_fetch_add_explicit(&reads_of_none, 1, memory_order_relaxed);
    else if (result != PTPBMCA_OK && result != PTPBMCA_ERR_NOT_SYNCHRONIZED)
        FAIL("%s gives %s", call, ptpbmca_result_name(result));
}
#define READ(call) read_result(call, #call)

static void *reader(void *argument)
{
    unsigned turn = (unsigned)(uintptr_t)argument;
    while (!atomic_load(&done)) {
        ptpbmca_clock clock = turn / STARTERS % 2;
        const ptpbmca_session *session = atomic_load(&handles[turn++ % STARTERS][clock]);
        ptpbmca_clock_offset offset;
        ptpbmca_anchor_time anchor;
        ptpbmca_session_status status;
        uint64_t receiver_ns;
        int64_t local_ns;
        ptpbmca_result result;
        if (!session)
            continue;
        ARM(offset);
        result = ptpbmca_offset(session, &offset);
        READ(result);
        if (result == PTPBMCA_OK) {
            CHECK(offset.synchronized <= 1 && offset.sync_state <= PTPBMCA_SYNC_LEADING && offset.role <= 2);
            /* Another session's words would show: these never follow anybody. */
            CHECK(offset.sync_state == PTPBMCA_SYNC_SILENT || offset.sync_state == PTPBMCA_SYNC_LEADING);
            CHECK(offset.synchronized == (offset.sync_state == PTPBMCA_SYNC_LEADING));
            CHECK(offset.synchronized == (offset.error_ns != UINT64_MAX));
        } else {
            UNTOUCHED(offset);
        }
        READ(ptpbmca_receiver_time(session, 1789012345678901234, &receiver_ns));
        READ(ptpbmca_receiver_now(session, &receiver_ns));
        READ(ptpbmca_local_time(session, 1789012345678901234, &local_ns));
        READ(ptpbmca_anchor(session, 1789012345678901234, &anchor));
        result = ptpbmca_local_now(session, &local_ns);
        READ(result);
        /* The wall clock counts from 1970, the other one from the start of this host. */
        if (result == PTPBMCA_OK && (local_ns > 1000000000000000000) != (clock == PTPBMCA_CLOCK_REALTIME))
            FAIL("another session's local clock");
        ARM(status);
        result = ptpbmca_status(session, &status);
        READ(result);
        if (result == PTPBMCA_OK)
            CHECK(status.advice && strlen(status.advice) > 0);
        else
            UNTOUCHED(status);
        /* Readers are to race with the others, not to starve them. */
        if (turn % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void *waiter(void *argument)
{
    unsigned turn = (unsigned)(uintptr_t)argument;
    while (!atomic_load(&done)) {
        const ptpbmca_session *session = atomic_load(&handles[turn % STARTERS][turn / STARTERS % 2]);
        int64_t before = raw_monotonic();
        ptpbmca_result result;
        turn++;
        if (!session)
            continue;
        result = ptpbmca_await_sync(session, 60000);
        if (result == PTPBMCA_ERR_NO_SESSION)
            atomic_fetch_add(&woken, 1);
        else if (result == PTPBMCA_OK)
            atomic_fetch_add(&synchronized, 1);
        else
            FAIL("await_sync gives %s after %" PRId64 " ms", ptpbmca_result_name(result),
                 (raw_monotonic() - before) / 1000000);
    }
    return NULL;
}

/* By turns one clock for two rounds, then the other one. */
static ptpbmca_clock clock_of(int round)
{
    return round / 2 % 2 ? PTPBMCA_CLOCK_MONOTONIC : PTPBMCA_CLOCK_REALTIME;
}

static void count_stop(ptpbmca_session *session, atomic_int *stops)
{
    int64_t before = raw_monotonic();
    ptpbmca_result result = ptpbmca_stop(session);
    if (result == PTPBMCA_OK)
        atomic_fetch_add(stops, 1);
    else if (result != PTPBMCA_ERR_NO_SESSION)
        FAIL("stop gives %s", ptpbmca_result_name(result));
    if (raw_monotonic() - before > 2000000000)
        FAIL("stop took more than 2 s");
}

static void *starter(void *argument)
{
    int number = (int)(uintptr_t)argument;
    char receiver[32];
    /* Two pairs of sockets, so that the sessions of one starter end with their sockets while others go on. */
    ptpbmca_config config = loopback("127.0.17.1", 21419 + 10 * number);
    snprintf(receiver, sizeof receiver, "127.0.17.%d", 10 + number);
    for (int round = 0; round < rounds; round++) {
        ptpbmca_session *session;
        ptpbmca_error error;
        /* By turns one that leads at once and one that waits for a receiver that is not there. */
        config.role = round % 2 ? PTPBMCA_ROLE_LEAD : PTPBMCA_ROLE_FOLLOW;
        config.local_clock = clock_of(round);
        if (ptpbmca_start(receiver, &config, &session, &error) != PTPBMCA_OK)
            FAIL("round %d: %s", round, error.message);
        atomic_store(&handles[number][clock_of(round)], session);
        if (round % 8 == 0)
            pause_ms(1);
        else
            sched_yield();
        pthread_barrier_wait(&ready[number]);
        count_stop(session, &stopped_by_starter);
        pthread_barrier_wait(&over[number]);
    }
    return NULL;
}

static void *partner(void *argument)
{
    int number = (int)(uintptr_t)argument;
    for (int round = 0; round < rounds; round++) {
        pthread_barrier_wait(&ready[number]);
        count_stop(atomic_load(&handles[number][clock_of(round)]), &stopped_by_partner);
        pthread_barrier_wait(&over[number]);
        if (atomic_load(&stopped_by_starter) + atomic_load(&stopped_by_partner) < round + 1)
            FAIL("after round %d neither of two had stopped the session", round);
    }
    return NULL;
}

/* await_sync ends with the session, at once, and says so. */
static void *await_until_stopped(void *session)
{
    GIVES(ptpbmca_await_sync(session, 60000), PTPBMCA_ERR_NO_SESSION);
    atomic_fetch_add(&woken, 1);
    return NULL;
}

static void stop_wakes_waiters(void)
{
    ptpbmca_config config = loopback("127.0.17.1", 21439);
    for (int round = 0; round < 10; round++) {
        ptpbmca_session *session;
        pthread_t waiting[3];
        config.role = PTPBMCA_ROLE_FOLLOW;
        GIVES(ptpbmca_start("127.0.17.20", &config, &session, NULL), PTPBMCA_OK);
        for (int i = 0; i < 3; i++)
            pthread_create(&waiting[i], NULL, await_until_stopped, session);
        pause_ms(20);
        CHECK(atomic_load(&woken) == 3 * round);
        stop(session);
        EVENTUALLY(atomic_load(&woken) == 3 * (round + 1), 2);
        for (int i = 0; i < 3; i++)
            pthread_join(waiting[i], NULL);
    }
    atomic_store(&woken, 0);
}

int main(int argc, char **argv)
{
    pthread_t starters[STARTERS], partners[STARTERS], readers[READERS], waiters[WAITERS];
    if (argc > 1 && !strcmp(argv[1], "slow"))
        rounds = 50;
    stop_wakes_waiters();
    for (int i = 0; i < STARTERS; i++) {
        pthread_barrier_init(&ready[i], NULL, 2);
        pthread_barrier_init(&over[i], NULL, 2);
        pthread_create(&starters[i], NULL, starter, (void *)(uintptr_t)i);
        pthread_create(&partners[i], NULL, partner, (void *)(uintptr_t)i);
    }
    for (int i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, reader, (void *)(uintptr_t)i);
    for (int i = 0; i < WAITERS; i++)
        pthread_create(&waiters[i], NULL, waiter, (void *)(uintptr_t)i);
    for (int i = 0; i < STARTERS; i++) {
        pthread_join(starters[i], NULL);
        pthread_join(partners[i], NULL);
    }
    atomic_store(&done, 1);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    for (int i = 0; i < WAITERS; i++)
        pthread_join(waiters[i], NULL);
    if (atomic_load(&stopped_by_starter) + atomic_load(&stopped_by_partner) != STARTERS * rounds)
        FAIL("%d sessions, stopped %d times", STARTERS * rounds,
             atomic_load(&stopped_by_starter) + atomic_load(&stopped_by_partner));
    CHECK(atomic_load(&woken) > 0 && atomic_load(&synchronized) > 0);
    CHECK(atomic_load(&reads_of_none) > 0 && atomic_load(&reads_of_none) < atomic_load(&reads));
    printf("%d sessions, %d stopped by the other thread; %ld reads, %ld of them too late; %d waiters woken by a stop\n",
           STARTERS * rounds, atomic_load(&stopped_by_partner), atomic_load(&reads), atomic_load(&reads_of_none),
           atomic_load(&woken));
    return 0;
}
