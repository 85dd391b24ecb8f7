/*
 * probe: follows or leads one receiver through the library, and measures it against the truth.
 *
 *     probe RECEIVER [options]                    exit code 0: it ran and kept every limit given
 *
 *     --role auto|follow|lead  --local ADDRESS  --sdo N  --domain N  --priority1 N  --clock realtime|monotonic
 *     --wait S      for synchronisation (10)      --settle S  before the first sample (5)
 *     --seconds S   of samples (10; SIGTERM ends them early)      --rate HZ  samples a second (40)
 *     --truth FILE  what a simulated receiver says of its clock; without it the receiver tells this kernel's
 *                   CLOCK_REALTIME, or that and 37 s
 *     --trace FILE  every sample: MONOTONIC_NS,ERROR_NS,BOUND_NS,STATE,ROLE,EPOCH,AGE_NS
 *     --log         the library's log on standard error
 *     --bound-as UID   bind both ports, then become this user, and hand the sockets over
 *   limits
 *     --p99-us X    99 % of |error|           --coverage PERCENT  samples with |error| within error_ns
 *     --two-way     Delay_Resp are used, and there is a path delay     --stamps  the kernel stamps arrivals and sends
 *     --state NAME  at the end                --refused NAME  start fails with this result; its message is printed
 *     --least-pairs N  --most-pairs N         Sync pairs completed in the whole session
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <netinet/in.h>
#include <ptpbmca.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
/* TAI - UTC: what a clock on the PTP timescale is ahead of CLOCK_REALTIME. */
#define UTC_OFFSET (37 * SECOND)
/* A sample is taken again while reading the clocks around it took longer: this much is what a preemption adds. */
#define NARROW 2000
#define TRIES 50
#define MOST_SAMPLES 100000

static volatile sig_atomic_t stopped;
static const char *const states[] = {"SILENT", "ANNOUNCED", "ACQUIRING", "LOCKED", "HOLDOVER", "LEADING"};
static const char *const roles[] = {"LISTENING", "FOLLOWING", "LEADING"};

struct options {
    const char *receiver, *truth, *trace, *state, *refused;
    double wait, settle, seconds, rate, p99_us, coverage;
    int two_way, stamps;
    long bound_as, least_pairs, most_pairs;
    ptpbmca_config config;
};

struct sample {
    int64_t at, error;
    /* The truth was read within this many nanoseconds. */
    uint64_t within;
    uint64_t bound;
    ptpbmca_clock_offset clock;
};

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void on_log(void *user_data, ptpbmca_log_level level, const char *message)
{
    (void)user_data;
    fprintf(stderr, "log %" PRIu32 ": %s\n", level, message);
}

static const char *name_of(const char *const *names, size_t count, uint32_t value)
{
    return value < count ? names[value] : "?";
}
#define NAME(names, value) name_of(names, sizeof names / sizeof names[0], value)

static int64_t now_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

static void nap(double seconds)
{
    struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&pause, NULL);
}

/* How a simulated receiver's clock runs, by the last line of its file; read once: nothing steps it here. */
static struct {
    int64_t from, skew_ppb;
    uint64_t reads;
} simulated;

static int read_truth(const char *file)
{
    char line[256];
    FILE *truth = fopen(file, "r");
    if (!truth)
        return 0;
    while (fgets(line, sizeof line, truth))
        sscanf(line, "truth %" SCNd64 " %" SCNu64 " %" SCNd64, &simulated.from, &simulated.reads, &simulated.skew_ppb);
    fclose(truth);
    return simulated.reads != 0;
}

/* receiver_now against the truth, which is read before and after it; the narrowest of some tries. */
static int take(const ptpbmca_session *session, int with_truth, struct sample *sample)
{
    clockid_t clock = with_truth ? CLOCK_MONOTONIC : CLOCK_REALTIME;
    int64_t best = INT64_MAX;
    int i;
    memset(sample, 0, sizeof *sample);
    for (i = 0; i < TRIES && best > NARROW; i++) {
        ptpbmca_clock_offset offset;
        uint64_t reads;
        int64_t before, after, middle, error;
        if (ptpbmca_offset(session, &offset) != PTPBMCA_OK)
            return 0;
        before = now_of(clock);
        if (ptpbmca_receiver_now(session, &reads) == PTPBMCA_ERR_NO_SESSION)
            return 0;
        after = now_of(clock);
        if (after - before >= best)
            continue;
        best = after - before;
        middle = before + best / 2;
        if (with_truth) {
            int64_t passed = middle - simulated.from;
            error = (int64_t)(reads - simulated.reads) - passed - (int64_t)((double)passed * (double)simulated.skew_ppb * 1e-9);
        } else {
            error = (int64_t)reads - middle;
            error -= (error + (error < 0 ? -1 : 1) * UTC_OFFSET / 2) / UTC_OFFSET * UTC_OFFSET;
        }
        sample->at = now_of(CLOCK_MONOTONIC);
        sample->error = error;
        sample->within = (uint64_t)best / 2 + 1;
        sample->bound = offset.error_ns;
        sample->clock = offset;
    }
    return best < INT64_MAX;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double part(const double *sorted, size_t count, double share)
{
    size_t at = (size_t)((double)count * share);
    return count ? sorted[at < count ? at : count - 1] : 0;
}

static void tell(const char *name, uint64_t of)
{
    if (of)
        printf(" %s %" PRIu64, name, of);
}

static void counts(const char *title, const ptpbmca_message_counts *of)
{
    printf(" %s:", title);
    tell("Sync", of->sync);
    tell("Follow_Up", of->follow_up);
    tell("Announce", of->announce);
    tell("Delay_Req", of->delay_req);
    tell("Delay_Resp", of->delay_resp);
    tell("Signaling", of->signaling);
    printf(";");
}

static void refusals(const ptpbmca_refusal_counts *of)
{
    const struct {
        const char *name;
        uint64_t count;
    } all[] = {{"wrong_source", of->wrong_source},   {"wrong_identity", of->wrong_identity},
               {"own_echo", of->own_echo},           {"wrong_domain", of->wrong_domain},
               {"wrong_version", of->wrong_version}, {"too_short", of->too_short},
               {"wrong_length", of->wrong_length},   {"unknown_type", of->unknown_type},
               {"malformed_tlv", of->malformed_tlv}, {"unmatched", of->unmatched},
               {"duplicate", of->duplicate},         {"bad_timestamp", of->bad_timestamp},
               {"announce_loop", of->announce_loop}, {"unrequested", of->unrequested},
               {"implausible", of->implausible},     {"outlier", of->outlier}};
    size_t i;
    printf(" refused:");
    for (i = 0; i < sizeof all / sizeof all[0]; i++)
        tell(all[i].name, all[i].count);
    printf(";");
}

static int bound_socket(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        perror("bind");
        exit(2);
    }
    return fd;
}

static void usage(const char *why)
{
    fprintf(stderr, "probe: %s; see the head of probe.c\n", why);
    exit(2);
}

static uint32_t one_of(const char *text, const char *const *names, uint32_t count)
{
    uint32_t i;
    for (i = 0; i < count; i++)
        if (!strcmp(text, names[i]))
            return i;
    usage(text);
    return 0;
}

static struct options read_options(int argc, char **argv)
{
    static const char *const policies[] = {"auto", "follow", "lead"};
    static const char *const clocks[] = {"realtime", "monotonic"};
    struct options o = {.wait = 10, .settle = 5, .seconds = 10, .rate = 40, .p99_us = -1, .coverage = -1, .bound_as = -1,
                        .least_pairs = -1, .most_pairs = -1};
    int i;
    ptpbmca_config_init(&o.config, sizeof o.config);
    for (i = 1; i < argc; i++) {
        const char *name = argv[i], *value;
        if (!strcmp(name, "--two-way")) { o.two_way = 1; continue; }
        if (!strcmp(name, "--stamps")) { o.stamps = 1; continue; }
        if (!strcmp(name, "--log")) { ptpbmca_set_log_callback(on_log, NULL, PTPBMCA_LOG_DEBUG); continue; }
        if (name[0] != '-') { o.receiver = name; continue; }
        if (i + 1 == argc)
            usage(name);
        value = argv[++i];
        if (!strcmp(name, "--role")) o.config.role = one_of(value, policies, 3);
        else if (!strcmp(name, "--clock")) o.config.local_clock = one_of(value, clocks, 2);
        else if (!strcmp(name, "--local")) o.config.local_address = value;
        else if (!strcmp(name, "--sdo")) o.config.major_sdo_id = (uint8_t)atoi(value);
        else if (!strcmp(name, "--domain")) o.config.domain = (uint8_t)atoi(value);
        else if (!strcmp(name, "--priority1")) o.config.priority1 = (uint8_t)atoi(value);
        else if (!strcmp(name, "--wait")) o.wait = atof(value);
        else if (!strcmp(name, "--settle")) o.settle = atof(value);
        else if (!strcmp(name, "--seconds")) o.seconds = atof(value);
        else if (!strcmp(name, "--rate")) o.rate = atof(value);
        else if (!strcmp(name, "--truth")) o.truth = value;
        else if (!strcmp(name, "--trace")) o.trace = value;
        else if (!strcmp(name, "--bound-as")) o.bound_as = atol(value);
        else if (!strcmp(name, "--p99-us")) o.p99_us = atof(value);
        else if (!strcmp(name, "--coverage")) o.coverage = atof(value);
        else if (!strcmp(name, "--state")) o.state = value;
        else if (!strcmp(name, "--refused")) o.refused = value;
        else if (!strcmp(name, "--least-pairs")) o.least_pairs = atol(value);
        else if (!strcmp(name, "--most-pairs")) o.most_pairs = atol(value);
        else usage(name);
    }
    if (!o.receiver || o.rate <= 0)
        usage("no RECEIVER");
    return o;
}

/* Samples until the time is over; returns how many are in `errors` and `bounds`, in microseconds. */
static size_t measure(const struct options *o, const ptpbmca_session *session, FILE *trace, double *errors, double *bounds,
                      size_t *inside, double *mean)
{
    int64_t end = now_of(CLOCK_MONOTONIC) + (int64_t)(o->seconds * 1e9);
    size_t count = 0;
    while (!stopped && now_of(CLOCK_MONOTONIC) < end && count < MOST_SAMPLES) {
        struct sample s;
        uint64_t size;
        if (!take(session, o->truth != NULL, &s))
            break;
        size = (uint64_t)(s.error < 0 ? -s.error : s.error);
        if (trace)
            fprintf(trace, "%" PRId64 ",%" PRId64 ",%" PRIu64 ",%s,%s,%" PRIu32 ",%" PRIu64 "\n", s.at, s.error, s.bound,
                    NAME(states, s.clock.sync_state), NAME(roles, s.clock.role), s.clock.epoch, s.clock.age_ns);
        if (s.clock.synchronized) {
            errors[count] = (double)size / 1e3;
            bounds[count] = (double)s.bound / 1e3;
            *inside += size <= s.within || size - s.within <= s.bound;
            *mean += (double)s.error / 1e3;
            count++;
        }
        nap(1 / o->rate);
    }
    *mean = count ? *mean / (double)count : 0;
    return count;
}

static int failed;

static void limit(int kept, const char *what)
{
    if (kept)
        return;
    printf(" LIMIT MISSED: %s;", what);
    failed = 1;
}

int main(int argc, char **argv)
{
    static double errors[MOST_SAMPLES], bounds[MOST_SAMPLES];
    struct options o = read_options(argc, argv);
    ptpbmca_session *session = NULL;
    ptpbmca_session_status status;
    ptpbmca_error error;
    ptpbmca_result result;
    FILE *trace = NULL;
    size_t count, inside = 0;
    double mean = 0, covered;
    int64_t began, locked;

    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    if (o.bound_as >= 0) {
        o.config.event_socket = bound_socket(o.config.event_port);
        o.config.general_socket = bound_socket(o.config.general_port);
        if (setgid((gid_t)o.bound_as) != 0 || setuid((uid_t)o.bound_as) != 0)
            usage("cannot become another user");
    }
    if (o.trace && !(trace = fopen(o.trace, "w")))
        usage(o.trace);
    began = now_of(CLOCK_MONOTONIC);
    result = ptpbmca_start(o.receiver, &o.config, &session, &error);
    if (result != PTPBMCA_OK) {
        printf("%s: %s\n", ptpbmca_result_name(result), error.message);
        return o.refused && !strcmp(o.refused, ptpbmca_result_name(result)) ? 0 : 1;
    }
    if (o.refused) {
        printf("started; %s was expected\n", o.refused);
        return 1;
    }
    result = ptpbmca_await_sync(session, (uint32_t)(o.wait * 1e3));
    if (result != PTPBMCA_OK) {
        const char *advice = ptpbmca_status(session, &status) == PTPBMCA_OK ? status.advice : "";
        printf("%s; advice: %s", ptpbmca_result_name(result), advice);
        counts("received", &status.received);
        counts("sent", &status.sent);
        refusals(&status.refused);
        printf("\n");
        ptpbmca_stop(session);
        return 1;
    }
    locked = now_of(CLOCK_MONOTONIC);
    fprintf(stderr, "synchronised\n");
    if (o.truth && !read_truth(o.truth))
        usage("no truth");
    if (!stopped)
        nap(o.settle);
    count = measure(&o, session, trace, errors, bounds, &inside, &mean);
    if (trace)
        fclose(trace);
    if (ptpbmca_status(session, &status) != PTPBMCA_OK)
        usage("no status");

    qsort(errors, count, sizeof *errors, ascending);
    qsort(bounds, count, sizeof *bounds, ascending);
    covered = count ? 100.0 * (double)inside / (double)count : 0;
    printf("p50 %.1f p99 %.1f max %.1f us, mean %+.1f (n %zu); bound p50 %.1f max %.1f us, holds in %.2f %%;", part(errors, count, .5),
           part(errors, count, .99), part(errors, count, 1), mean, count, part(bounds, count, .5), part(bounds, count, 1),
           covered);
    printf(" skew %+.3f ppm, path %.1f us, epoch %" PRIu32 ", %s %s, synchronised after %.0f ms;", status.clock.skew_ppm,
           (double)status.clock.path_delay_ns / 1e3, status.clock.epoch, NAME(roles, status.clock.role),
           NAME(states, status.clock.sync_state), (double)(locked - began) / 1e6);
    printf(" kernel stamps: receive %s send %s;", status.kernel_receive_stamps ? "yes" : "no",
           status.kernel_send_stamps ? "yes" : "no");
    counts("received", &status.received);
    counts("sent", &status.sent);
    printf(" totals:");
    tell("pairs", status.pairs);
    tell("Delay_Resp used", status.delay_resp_used);
    tell("Delay_Req answered", status.delay_req_answered);
    tell("steps", status.steps);
    tell("send errors", status.send_errors);
    printf(";");
    refusals(&status.refused);

    limit(count > 0, "no sample was synchronised");
    limit(o.p99_us < 0 || part(errors, count, .99) <= o.p99_us, "p99");
    limit(o.coverage < 0 || covered >= o.coverage, "coverage");
    limit(!o.two_way || (status.delay_resp_used > 0 && status.clock.path_delay_ns > 0), "two-way");
    limit(!o.stamps || (status.kernel_receive_stamps && status.kernel_send_stamps), "kernel stamps");
    limit(!o.state || !strcmp(o.state, NAME(states, status.clock.sync_state)), "state");
    limit(o.least_pairs < 0 || status.pairs >= (uint64_t)o.least_pairs, "too few pairs");
    limit(o.most_pairs < 0 || status.pairs <= (uint64_t)o.most_pairs, "too many pairs");
    result = ptpbmca_stop(session);
    limit(result == PTPBMCA_OK, "stop");
    printf("\n");
    return failed;
}
