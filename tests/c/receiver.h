/* receiver.h: starts simulated receivers, and knows what their clocks really read. */
#ifndef PTPBMCA_TESTS_RECEIVER_H
#define PTPBMCA_TESTS_RECEIVER_H

#include "check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* A stretch of the receiver's clock, from a moment of CLOCK_MONOTONIC on. */
struct stretch {
    int64_t from_ns;
    uint64_t reads_ns;
    int64_t skew_ppb;
};

enum { STRETCHES = 64 };

struct receiver {
    pid_t pid;
    char truth[256];
    off_t known;
    int count;
    struct stretch stretches[STRETCHES];
};

/* Starts `program` with up to 30 options, NULL after the last; it ends with this process. */
static UNUSED struct receiver receiver_start(const char *program, const char *const *options)
{
    struct receiver receiver;
    const char *arguments[40] = {program, "--truth"};
    int used = 2, file;
    struct stat state;
    memset(&receiver, 0, sizeof receiver);
    receiver.known = -1;
    snprintf(receiver.truth, sizeof receiver.truth, "%s/truth-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : P_tmpdir);
    file = mkstemp(receiver.truth);
    CHECK(file >= 0);
    arguments[used++] = receiver.truth;
    while (*options && used < 39)
        arguments[used++] = *options++;
    receiver.pid = fork();
    CHECK(receiver.pid >= 0);
    if (receiver.pid == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(nowhere, STDOUT_FILENO);
        execv(program, (char *const *)(uintptr_t)arguments);
        _exit(99);
    }
    /* It tells the first truth once all is bound. */
    EVENTUALLY(fstat(file, &state) == 0 && (state.st_size > 0 || waitpid(receiver.pid, NULL, WNOHANG) != 0), 10);
    if (state.st_size == 0)
        FAIL("the simulated receiver does not start");
    close(file);
    return receiver;
}

static UNUSED void receiver_end(struct receiver *receiver)
{
    kill(receiver->pid, SIGTERM);
    waitpid(receiver->pid, NULL, 0);
    unlink(receiver->truth);
}

static UNUSED void receiver_read(struct receiver *receiver)
{
    struct stat state;
    char line[256];
    FILE *file;
    if (stat(receiver->truth, &state) != 0 || state.st_size == receiver->known)
        return;
    file = fopen(receiver->truth, "r");
    CHECK(file != NULL);
    receiver->count = 0;
    while (fgets(line, sizeof line, file)) {
        struct stretch next;
        if (receiver->count < STRETCHES && strchr(line, '\n') &&
            sscanf(line, "truth %" SCNd64 " %" SCNu64 " %" SCNd64, &next.from_ns, &next.reads_ns, &next.skew_ppb) == 3)
            receiver->stretches[receiver->count++] = next;
    }
    fclose(file);
    receiver->known = state.st_size;
}

/* When an event of this name was told, in CLOCK_MONOTONIC; 0: not yet. */
static UNUSED int64_t receiver_event(struct receiver *receiver, const char *name)
{
    char line[256], word[64];
    int64_t at = 0, told;
    FILE *file = fopen(receiver->truth, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        if (strchr(line, '\n') && sscanf(line, "event %63s %" SCNd64, word, &told) == 2 && !strcmp(word, name))
            at = told;
    fclose(file);
    return at;
}

/* What its clock reads when CLOCK_MONOTONIC reads `at_ns`. */
static UNUSED uint64_t truth_at(struct receiver *receiver, int64_t at_ns)
{
    const struct stretch *now;
    int64_t since;
    receiver_read(receiver);
    CHECK(receiver->count > 0);
    now = &receiver->stretches[0];
    for (int i = 1; i < receiver->count; i++)
        if (receiver->stretches[i].from_ns <= at_ns)
            now = &receiver->stretches[i];
    since = at_ns - now->from_ns;
    return now->reads_ns + (uint64_t)since + (uint64_t)(int64_t)((double)since * (double)now->skew_ppb * 1e-9);
}

/* One comparison with the truth: how far off, and how far off the comparison itself may be. */
struct sample {
    int64_t error_ns, unsure_ns;
    uint64_t bound_ns;
    int ok;
};

static UNUSED struct sample compare_now(const ptpbmca_session *session, struct receiver *receiver)
{
    struct sample sample = {0, 0, 0, 0};
    ptpbmca_clock_offset offset;
    uint64_t receiver_ns;
    int64_t before, after;
    receiver_read(receiver);
    before = raw_monotonic();
    sample.ok = ptpbmca_receiver_now(session, &receiver_ns) == PTPBMCA_OK;
    after = raw_monotonic();
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    sample.bound_ns = offset.error_ns;
    sample.unsure_ns = (after - before) / 2 + 1;
    sample.error_ns = (int64_t)(receiver_ns - truth_at(receiver, before + (after - before) / 2));
    return sample;
}

/* The same by receiver_time of the local clock: the way that reads the snapshot and nothing else. */
static UNUSED struct sample compare_conversion(const ptpbmca_session *session, struct receiver *receiver)
{
    struct sample sample = {0, 0, 0, 0};
    ptpbmca_clock_offset offset;
    uint64_t receiver_ns;
    int64_t before, after, local_ns;
    before = raw_monotonic();
    GIVES(ptpbmca_local_now(session, &local_ns), PTPBMCA_OK);
    after = raw_monotonic();
    sample.ok = ptpbmca_receiver_time(session, local_ns, &receiver_ns) == PTPBMCA_OK;
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_OK);
    sample.bound_ns = offset.error_ns;
    sample.unsure_ns = (after - before) / 2 + 1;
    sample.error_ns = (int64_t)(receiver_ns - truth_at(receiver, before + (after - before) / 2));
    return sample;
}

/* Whether the error lies within the session's own bound. */
static UNUSED int within(struct sample sample)
{
    uint64_t error = (uint64_t)(sample.error_ns < 0 ? -sample.error_ns : sample.error_ns);
    return sample.ok && (error <= (uint64_t)sample.unsure_ns || error - (uint64_t)sample.unsure_ns <= sample.bound_ns);
}

/* The identity a simulated receiver makes of its IPv4 address. */
static UNUSED uint64_t identity_of(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    return (uint64_t)0x0214 << 48 | (uint64_t)(a << 24 | b << 16 | c << 8 | d) << 16 | 8;
}

#endif
