/*
 * cycles: ten thousand starts and stops leave nothing behind: no descriptor, no thread, no memory. Binds 127.0.52.x.
 *
 *     cycles [NUMBER]
 */
#define _GNU_SOURCE
#include "faults.h"
#include <malloc.h>

#define LOCAL "127.0.52.1"
#define PORT 25319

static void on_event(void *user_data, ptpbmca_session *session, ptpbmca_event event, const ptpbmca_clock_offset *now)
{
    (void)session, (void)event, (void)now;
    ++*(long *)user_data;
}

static size_t resident(void)
{
    unsigned long all = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%lu %lu", &all, &pages) == 2);
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t heap(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* One start and stop, or one that is refused; of several kinds. */
static void cycle(int round, long *events)
{
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session, *second;
    config.on_event = on_event;
    config.user_data = events;
    switch (round % 5) {
    case 0: config.role = PTPBMCA_ROLE_LEAD; break;
    case 1: config.local_address = NULL; break;
    case 2: config.role = PTPBMCA_ROLE_FOLLOW; break;
    case 3: config.local_clock = PTPBMCA_CLOCK_MONOTONIC; break;
    default: config.local_address = "192.0.2.1"; break;
    }
    if (round % 5 == 4) {
        GIVES(ptpbmca_start("127.0.52.2", &config, &session, NULL), PTPBMCA_ERR_NETWORK);
        return;
    }
    GIVES(ptpbmca_start("127.0.52.2", &config, &session, NULL), PTPBMCA_OK);
    if (round % 7 == 0) {
        GIVES(ptpbmca_start("127.0.52.3,127.0.52.4", &config, &second, NULL), PTPBMCA_OK);
        if (round % 2)
            GIVES(ptpbmca_await_sync(second, 1), config.role == PTPBMCA_ROLE_LEAD ? PTPBMCA_OK : PTPBMCA_ERR_TIMEOUT);
        GIVES(ptpbmca_stop(second), PTPBMCA_OK);
    }
    GIVES(ptpbmca_stop(session), PTPBMCA_OK);
}

int main(int argc, char **argv)
{
    /* Pages that the allocator has touched once and may touch again are no leak; a kilobyte for each cycle is ten of these. */
    const size_t slack_resident = 1 << 20, slack_heap = 64 << 10;
    int rounds = argc > 1 ? atoi(argv[1]) : 10000, fds, threads;
    size_t resident_before, heap_before, resident_after, heap_after;
    long events = 0;
    CHECK(rounds >= 10);
    /* One arena: how many threads of an ended worker found one free says nothing about leaks. */
    mallopt(M_ARENA_MAX, 1);
    for (int round = 0; round < rounds / 10; round++)
        cycle(round, &events);
    fds = count_fds(), threads = count_threads();
    resident_before = resident(), heap_before = heap();
    for (int round = 0; round < rounds; round++) {
        cycle(round, &events);
        if (round % 500 == 0 && (count_fds() != fds || count_threads() != threads))
            FAIL("after %d cycles: leaks: %d descriptors after %d, %d threads after %d", round + 1, count_fds(), fds,
                 count_threads(), threads);
    }
    resident_after = resident(), heap_after = heap();
    if (count_fds() != fds || count_threads() != threads)
        FAIL("leaks: %d descriptors after %d, %d threads after %d", count_fds(), fds, count_threads(), threads);
    if (heap_after > heap_before + slack_heap || resident_after > resident_before + slack_resident)
        FAIL("leaks: %zu bytes allocated after %zu, %zu kB resident after %zu", heap_after, heap_before,
             resident_after / 1024, resident_before / 1024);
    CHECK(events > rounds / 2);
    printf("%d cycles: %d descriptors, %d thread, %zu bytes allocated after %zu, %zu kB resident after %zu\n", rounds, fds,
           threads, heap_after, heap_before, resident_after / 1024, resident_before / 1024);
    return 0;
}
