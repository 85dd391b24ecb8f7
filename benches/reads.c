/*
 * reads RECEIVER LOCAL EVENT_PORT GENERAL_PORT: what asking the time costs, beside clock_gettime in the same run, while
 * the worker follows a receiver and writes. Medians over rounds in which every call has its turn, so that a busy machine
 * slows all of them alike.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <ptpbmca.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 401, CALLS = 20000, KINDS = 7 };

static ptpbmca_session *session;
static int64_t local_ns;
static volatile uint64_t sink;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void run_clock(void) { sink = now_ns(); }
static void run_receiver_now(void) { uint64_t t; ptpbmca_receiver_now(session, &t); sink = t; }
static void run_receiver_time(void) { uint64_t t; ptpbmca_receiver_time(session, local_ns++, &t); sink = t; }
static void run_local_time(void) { int64_t t; ptpbmca_local_time(session, (uint64_t)local_ns++, &t); sink = (uint64_t)t; }
static void run_anchor(void) { ptpbmca_anchor_time t; ptpbmca_anchor(session, local_ns++, &t); sink = t.fraction; }
static void run_offset(void) { ptpbmca_clock_offset t; ptpbmca_offset(session, &t); sink = t.error_ns; }
static void run_local_now(void) { int64_t t; ptpbmca_local_now(session, &t); sink = (uint64_t)t; }

static const struct { const char *name; void (*run)(void); double limit; } kinds[KINDS] = {
    {"clock_gettime", run_clock, 0},
    {"ptpbmca_receiver_now", run_receiver_now, 1.5},
    {"ptpbmca_receiver_time", run_receiver_time, 0.6},
    {"ptpbmca_local_time", run_local_time, 0},
    {"ptpbmca_anchor", run_anchor, 0},
    {"ptpbmca_offset", run_offset, 0},
    {"ptpbmca_local_now", run_local_now, 0},
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double spent[KINDS][ROUNDS], ratio[KINDS][ROUNDS];
    ptpbmca_config config;
    ptpbmca_error error;
    ptpbmca_session_status status;
    int kind, round, call, missed = 0;

    if (argc != 5)
        return 2;
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
    ptpbmca_local_now(session, &local_ns);

    for (round = 0; round < ROUNDS; round++) {
        for (kind = 0; kind < KINDS; kind++) {
            uint64_t start = now_ns();
            for (call = 0; call < CALLS; call++)
                kinds[kind].run();
            spent[kind][round] = (double)(now_ns() - start) / CALLS;
            ratio[kind][round] = spent[kind][round] / spent[0][round];
        }
    }
    ptpbmca_status(session, &status);
    printf("%-22s %10s %10s %8s\n", "call", "median ns", "of clock", "limit");
    for (kind = 0; kind < KINDS; kind++) {
        qsort(spent[kind], ROUNDS, sizeof(double), compare);
        qsort(ratio[kind], ROUNDS, sizeof(double), compare);
        printf("%-22s %10.1f %10.2f", kinds[kind].name, spent[kind][ROUNDS / 2], ratio[kind][ROUNDS / 2]);
        if (kinds[kind].limit > 0) {
            int kept = ratio[kind][ROUNDS / 2] <= kinds[kind].limit;
            printf(" %8.2f %s", kinds[kind].limit, kept ? "kept" : "MISSED");
            missed += !kept;
        }
        printf("\n");
    }
    printf("the worker took %" PRIu64 " pairs meanwhile; state %" PRIu32 ", kernel stamps %" PRIu32 "/%" PRIu32 "\n",
           status.pairs, status.clock.sync_state, status.kernel_receive_stamps, status.kernel_send_stamps);
    ptpbmca_stop(session);
    return missed != 0;
}
