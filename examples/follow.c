/*
 * follow: shows what time it is on a receiver, once a second, until Ctrl-C.
 *
 *     follow RECEIVER [--local ADDRESS] [--ports EVENT GENERAL] [--seconds N] [--every MS] [--truth FILE]
 *
 * --truth names a file in which a simulated receiver says what its clock really reads; the table then has a column with
 * the error.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <ptpbmca.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static const char *state_name(ptpbmca_sync_state state)
{
    static const char *const names[] = {"SILENT", "ANNOUNCED", "ACQUIRING", "LOCKED", "HOLDOVER", "LEADING"};
    return state < sizeof names / sizeof names[0] ? names[state] : "?";
}

static const char *role_name(ptpbmca_role role)
{
    static const char *const names[] = {"LISTENING", "FOLLOWING", "LEADING"};
    return role < sizeof names / sizeof names[0] ? names[role] : "?";
}

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What the simulated receiver's clock reads at a monotonic time, by the last line of its file. 0: it says nothing. */
static uint64_t truth_at(const char *file, int64_t at)
{
    char line[256];
    int64_t from = 0, skew_ppb = 0;
    uint64_t reads = 0;
    FILE *truth = fopen(file, "r");
    if (!truth)
        return 0;
    while (fgets(line, sizeof line, truth))
        sscanf(line, "truth %" SCNd64 " %" SCNu64 " %" SCNd64, &from, &reads, &skew_ppb);
    fclose(truth);
    if (reads == 0)
        return 0;
    return reads + (uint64_t)(at - from) + (uint64_t)((double)(at - from) * (double)skew_ppb * 1e-9);
}

static void show(const ptpbmca_session *session, const char *truth)
{
    ptpbmca_clock_offset now;
    uint64_t receiver_ns;
    if (ptpbmca_offset(session, &now) != PTPBMCA_OK)
        return;
    printf("%-9s  %-9s  %20" PRId64 "  %+9.3f", state_name(now.sync_state), role_name(now.role), now.offset_ns,
           now.skew_ppm);
    if (!now.synchronized) {
        ptpbmca_session_status status;
        if (ptpbmca_status(session, &status) == PTPBMCA_OK)
            printf("  %s", status.advice);
    } else {
        printf("  %9.1f  %9.1f  %7.0f  %5" PRIu32, (double)now.error_ns / 1e3, (double)now.path_delay_ns / 1e3,
               now.age_ns == UINT64_MAX ? 0.0 : (double)now.age_ns / 1e6, now.epoch);
        if (truth) {
            int64_t before = monotonic_ns();
            if (ptpbmca_receiver_now(session, &receiver_ns) == PTPBMCA_OK) {
                int64_t after = monotonic_ns();
                uint64_t really = truth_at(truth, before + (after - before) / 2);
                if (really)
                    printf("  %+9.1f", (double)(int64_t)(receiver_ns - really) / 1e3);
            }
        }
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    ptpbmca_config config;
    ptpbmca_session *session;
    ptpbmca_error error;
    ptpbmca_result result;
    const char *receiver = NULL, *truth = NULL;
    double seconds = 0;
    long every_ms = 1000;
    int i;

    ptpbmca_config_init(&config, sizeof config);
    for (i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--local") && i + 1 < argc)
            config.local_address = argv[++i];
        else if (!strcmp(argv[i], "--ports") && i + 2 < argc) {
            config.event_port = (uint16_t)atoi(argv[++i]);
            config.general_port = (uint16_t)atoi(argv[++i]);
        } else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
            seconds = atof(argv[++i]);
        else if (!strcmp(argv[i], "--every") && i + 1 < argc)
            every_ms = atol(argv[++i]);
        else if (!strcmp(argv[i], "--truth") && i + 1 < argc)
            truth = argv[++i];
        else if (argv[i][0] != '-' && !receiver)
            receiver = argv[i];
        else
            receiver = "";
    }
    if (!receiver || !*receiver || every_ms < 1) {
        fprintf(stderr,
                "usage: %s RECEIVER [--local ADDRESS] [--ports EVENT GENERAL] [--seconds N] [--every MS] [--truth FILE]\n",
                argv[0]);
        return 2;
    }

    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    result = ptpbmca_start(receiver, &config, &session, &error);
    if (result != PTPBMCA_OK) {
        fprintf(stderr, "%s: %s\n", ptpbmca_result_name(result), error.message);
        return 1;
    }
    result = ptpbmca_await_sync(session, 5000);
    if (result != PTPBMCA_OK)
        fprintf(stderr, "%s: %s\n", ptpbmca_result_name(result), ptpbmca_result_message(result));

    printf("%-9s  %-9s  %20s  %9s  %9s  %9s  %7s  %5s%s\n", "state", "role", "offset ns", "skew ppm", "bound us",
           "path us", "age ms", "epoch", truth ? "   error us" : "");
    int64_t end = monotonic_ns() + (int64_t)(seconds * 1e9);
    while (!stopped) {
        struct timespec pause = {every_ms / 1000, every_ms % 1000 * 1000000};
        show(session, truth);
        if (seconds > 0 && monotonic_ns() >= end)
            break;
        nanosleep(&pause, NULL);
    }
    result = ptpbmca_stop(session);
    if (result != PTPBMCA_OK) {
        fprintf(stderr, "%s: %s\n", ptpbmca_result_name(result), ptpbmca_result_message(result));
        return 1;
    }
    return 0;
}
