/*
 * realtime RECEIVER LOCAL EVENT_PORT GENERAL_PORT NAME [fifo]: how long each realtime-safe call takes at most, beside
 * clock_gettime in the same run, while the worker follows a receiver that sends a thousand Syncs a second. Prints a
 * table in Markdown under the title NAME.
 *
 * The thread lives like one of audio: it sleeps a millisecond, then makes every call in turn, a few hundred times, each
 * timed by itself with the processor's counter. What timing nothing takes in the median is taken off; what else nothing
 * takes is the machine's doing. With fifo it has a realtime
 * priority and its memory locked.
 */
#define _GNU_SOURCE
#include "../tests/realtime/calls.h"
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Wakings, rounds of calls in each, and calls. */
enum { PERIODS = 4000, ROUNDS = 200, SAMPLES = PERIODS * ROUNDS, KINDS = CALLS + 2 };

static uint32_t spent[KINDS][SAMPLES];
/* The most that each took in wakings in which the thread was not made to wait for the processor. */
static uint32_t undisturbed[KINDS];
static volatile int sink;

/* Ticks of a counter that user code may read, in order with what is around it; where there is none, nanoseconds. */
static uint64_t ticks(void)
{
#if defined(__x86_64__)
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
    uint64_t count;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r"(count) : : "memory");
    return count;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

/* How often this thread was made to leave the processor. */
static long preemptions(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static ptpbmca_result make_nothing(const ptpbmca_session *session, int output)
{
    (void)session;
    return output;
}

static ptpbmca_result make_clock(const ptpbmca_session *session, int output)
{
    struct timespec now;
    (void)session;
    return clock_gettime(CLOCK_MONOTONIC, &now) + output;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    made_call *kinds[KINDS] = {make_nothing, make_clock};
    const char *names[KINDS] = {"nothing", "clock_gettime"};
    ptpbmca_config config;
    ptpbmca_session *session;
    ptpbmca_error error;
    ptpbmca_session_status status;
    int64_t begun;
    int undisturbed_periods = 0;
    double load = 0;
    uint64_t first;
    double tick;

    if (argc < 6)
        return 2;
    for (int i = 0; i < CALLS; i++)
        kinds[i + 2] = calls[i].make, names[i + 2] = calls[i].name;
    ptpbmca_config_init(&config, sizeof config);
    config.local_address = argv[2];
    config.event_port = (uint16_t)atoi(argv[3]);
    config.general_port = (uint16_t)atoi(argv[4]);
    if (ptpbmca_start(argv[1], &config, &session, &error) != PTPBMCA_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    if (ptpbmca_await_sync(session, 5000) != PTPBMCA_OK)
        return 1;
    ptpbmca_local_now(session, &local_then);
    ptpbmca_receiver_time(session, local_then, &receiver_then);
    memset(spent, 1, sizeof spent);
    if (argc > 6) {
        const struct sched_param priority = {50};
        if (sched_setscheduler(0, SCHED_FIFO, &priority) != 0 || mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
            printf("%s: no realtime priority or locked memory here\n", argv[5]);
            ptpbmca_stop(session);
            return EXIT_SKIP;
        }
    }

    getloadavg(&load, 1);
    begun = raw_monotonic();
    first = ticks();
    for (int period = 0, sample = 0; period < PERIODS; period++) {
        long preempted;
        uint32_t most[KINDS] = {0};
        pause_ms(1);
        preempted = preemptions();
        for (int round = 0; round < ROUNDS; round++, sample++)
            for (int kind = 0; kind < KINDS; kind++) {
                uint64_t before = ticks(), took;
                sink = kinds[kind](session, 1);
                took = ticks() - before;
                spent[kind][sample] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
                most[kind] = spent[kind][sample] > most[kind] ? spent[kind][sample] : most[kind];
            }
        for (int kind = 0; kind < KINDS && preempted == preemptions(); kind++)
            undisturbed[kind] = most[kind] > undisturbed[kind] ? most[kind] : undisturbed[kind];
        undisturbed_periods += preempted == preemptions();
    }
    tick = (double)(raw_monotonic() - begun) / (double)(ticks() - first);
    ptpbmca_status(session, &status);

    for (int kind = 0; kind < KINDS; kind++)
        qsort(spent[kind], SAMPLES, sizeof spent[kind][0], compare);
    printf("### %s\n\n%d calls of each in %d wakings, %d of them without a preemption; the worker took %" PRIu64
           " pairs; load average %.1f.\n\n", argv[5], SAMPLES, PERIODS, undisturbed_periods, status.pairs, load);
    printf("| call | median ns | of clock | p99 ns | of clock | worst us | of clock | worst without preemption us | of clock |\n"
           "|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    for (int kind = 0; kind < KINDS; kind++) {
        const uint32_t empty = spent[0][SAMPLES / 2], *mine = spent[kind], *clock = spent[1];
        const uint32_t columns[][2] = {{mine[SAMPLES / 2], clock[SAMPLES / 2]},
                                       {mine[SAMPLES / 100 * 99], clock[SAMPLES / 100 * 99]},
                                       {mine[SAMPLES - 1], clock[SAMPLES - 1]},
                                       {undisturbed[kind], undisturbed[1]}};
        printf("| `%s` |", names[kind]);
        for (int i = 0; i < 4; i++) {
            double took = columns[i][0] > empty ? (columns[i][0] - empty) * tick : 0;
            printf(i < 2 ? " %.0f |" : " %.1f |", i < 2 ? took : took / 1000);
            printf(" %.2f |", took / ((columns[i][1] - empty) * tick));
        }
        printf("\n");
    }
    printf("\n");
    ptpbmca_stop(session);
    return 0;
}
