/*
 * descriptors: a host that runs out of descriptors, and one that closes those of the library, or has other files under
 * their numbers. Binds 127.0.50.x.
 *
 *     descriptors RECEIVER [PART...]
 */
#define _GNU_SOURCE
#include "faults.h"
#include "receiver.h"
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define LOCAL "127.0.50.1"
#define PORT 25019

static const char *program;
/* The receiver beside ports that a part has for itself. */
static struct receiver beside(int port)
{
    char event[12], general[12];
    const char *const options[] = {"--address", "127.0.50.2", "--event-port", event, "--general-port", general, NULL};
    snprintf(event, sizeof event, "%d", port);
    snprintf(general, sizeof general, "%d", port + 1);
    return receiver_start(program, options);
}

/* --- No descriptors left ------------------------------------------------------------------------------------------- */

/* Leaves `free` descriptors: what is below the limit is in use but for so many. */
static void leave(int free)
{
    struct rlimit limit;
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(next >= 0);
    close(next);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = (rlim_t)(next + free);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void leave_many(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 1024 ? limit.rlim_max : 1024;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* Start with 0, 1, 2 ... descriptors left: each refusal is whole, and what was enough once is enough with one more. */
static void walked(const char *what, const char *receiver, const ptpbmca_config *config)
{
    enum { PLENTY = 40 };
    int enough = -1, fds = count_fds(), threads = count_threads();
    for (int left = 0; left <= PLENTY; left++) {
        ptpbmca_session *session;
        ptpbmca_error error;
        ptpbmca_result result;
        ARM(session), ARM(error);
        leave(left);
        result = ptpbmca_start(receiver, config, &session, &error);
        if (result == PTPBMCA_OK) {
            ptpbmca_session_status status;
            if (enough < 0)
                enough = left;
            GIVES(ptpbmca_status(session, &status), PTPBMCA_OK);
            stop(session);
        } else {
            UNTOUCHED(session);
            if (result != PTPBMCA_ERR_NETWORK || error.result != result || error.os_error != EMFILE)
                FAIL("%s, %d left: %s, system's error %d: %s", what, left, ptpbmca_result_name(result), error.os_error,
                     error.message);
            if (!strstr(error.message, "Raise the limit of open files"))
                FAIL("%s, %d left: the message names no remedy: %s", what, left, error.message);
            if (enough >= 0)
                FAIL("%s: %d descriptors were enough, %d are not", what, enough, left);
        }
        leave_many();
        if (count_fds() != fds || count_threads() != threads)
            FAIL("%s, %d left: %d descriptors and %d threads before, %d and %d after", what, left, fds, threads,
                 count_fds(), count_threads());
    }
    CHECK(enough > 0);
    printf("%s: refused cleanly with 0 to %d descriptors left, starts with %d\n", what, enough - 1, enough);
}

static void refused(void)
{
    ptpbmca_config config = loopback(LOCAL, PORT);
    ptpbmca_session *session;
    walked("local_address", "127.0.50.9", &config);
    config.local_address = NULL;
    config.event_port = PORT + 2, config.general_port = PORT + 3;
    walked("wildcard", "127.0.50.9", &config);
    config.local_address = "::1";
    if (ptpbmca_start("::1", &config, &session, NULL) == PTPBMCA_OK) {
        stop(session);
        walked("local_address of IPv6", "::1", &config);
    }
}

/* A session that runs needs no descriptor more: it keeps its lock, others are refused, and it stops. */
static void running_out(void)
{
    ptpbmca_config config = loopback(LOCAL, PORT + 10), other = loopback("127.0.50.3", PORT + 10);
    struct receiver receiver = beside(PORT + 10);
    ptpbmca_session *session, *second;
    ptpbmca_session_status before, after;
    ptpbmca_error error;
    int fds = count_fds();
    GIVES(ptpbmca_start("127.0.50.2", &config, &session, NULL), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(session, 20000), PTPBMCA_OK);
    GIVES(ptpbmca_status(session, &before), PTPBMCA_OK);
    leave(0);
    /* On the sockets there are: no descriptor is needed for another receiver, nor to wait and to wake. */
    GIVES(ptpbmca_start("127.0.50.8", &config, &second, &error), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(second, 1), PTPBMCA_ERR_TIMEOUT);
    stop(second);
    GIVES(ptpbmca_start("127.0.50.9", &other, &second, &error), PTPBMCA_ERR_NETWORK);
    CHECK(error.os_error == EMFILE && strstr(error.message, "Raise the limit of open files"));
    EVENTUALLY(ptpbmca_status(session, &after) == PTPBMCA_OK && after.received.sync > before.received.sync + 8, 20);
    CHECK(after.clock.sync_state == PTPBMCA_SYNC_LOCKED && after.clock.epoch == before.clock.epoch);
    stop(session);
    leave_many();
    GIVES(ptpbmca_start("127.0.50.2", &config, &session, NULL), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(session, 20000), PTPBMCA_OK);
    stop(session);
    CHECK(count_fds() == fds);
    receiver_end(&receiver);
    printf("running session: keeps its lock with no descriptor left\n");
}

/* --- The library's descriptors are the host's mistake ------------------------------------------------------------- */

enum { MOST = 64 };

/* What a host finds under numbers that were the library's: somebody else's files, of several kinds. */
struct stranger {
    int number, other_end;
    struct stat file;
};

enum way { CLOSED, TAKEN_BY_PIPE, TAKEN_BY_FILE, TAKEN_BY_SOCKET, TAKEN_BY_STREAM, WAYS };
static const char *const way_names[WAYS] = {"closed", "a pipe's now", "a file's now", "a datagram socket's now",
                                            "a stream's now"};

/* A stream of the internet kind: one that would send whatever it is given, whatever address goes with it. */
static void connected(int *ends)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(listener, (struct sockaddr *)&at, length) == 0 && listen(listener, 1) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&at, &length) == 0);
    ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(ends[1], (struct sockaddr *)&at, length) == 0);
    ends[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(ends[0] >= 0);
    close(listener);
}

static void make(struct stranger *stranger, enum way way)
{
    int ends[2] = {-1, -1};
    switch (way) {
    case TAKEN_BY_PIPE: CHECK(pipe2(ends, O_CLOEXEC) == 0); break;
    case TAKEN_BY_FILE:
        ends[1] = open(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        break;
    case TAKEN_BY_SOCKET: CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0); break;
    case TAKEN_BY_STREAM: connected(ends); break;
    default: return;
    }
    CHECK(ends[1] >= 0);
    stranger->other_end = ends[0];
    stranger->number = ends[1];
    CHECK(fstat(ends[1], &stranger->file) == 0);
}

/* All at once: a library that notices the first loss closes what is still its own, and has to be given no time for that
   between our look at a number and the stranger's arrival there. In one step each: there is no moment without a file. */
static void lose(struct stranger *strangers, const int *numbers, int count, enum way way)
{
    for (int i = 0; i < count; i++)
        make(&strangers[i], way);
    for (int i = count - 1; i >= 0; i--)
        if (way == CLOSED)
            close(numbers[i]);
        else if (dup3(strangers[i].number, numbers[i], O_CLOEXEC) != numbers[i])
            FAIL("dup3 onto %d: %s", numbers[i], strerror(errno));
    for (int i = 0; i < count && way != CLOSED; i++) {
        close(strangers[i].number);
        strangers[i].number = numbers[i];
    }
}

/* The stranger is still there, and nothing was written to it or taken from it. */
static void untouched(const struct stranger *stranger, enum way way, const char *what)
{
    struct stat now;
    int waiting = 0;
    if (way == CLOSED)
        return;
    if (fstat(stranger->number, &now) != 0 || now.st_ino != stranger->file.st_ino || now.st_dev != stranger->file.st_dev)
        FAIL("%s: the library closed a descriptor that is the host's", what);
    if (now.st_size != 0)
        FAIL("%s: the library wrote %ld bytes to a file of the host's", what, (long)now.st_size);
    if (stranger->other_end >= 0) {
        CHECK(ioctl(stranger->other_end, FIONREAD, &waiting) == 0);
        if (waiting != 0)
            FAIL("%s: the library wrote %d bytes to a %s of the host's", what, waiting, way == TAKEN_BY_PIPE ? "pipe" : "socket");
        close(stranger->other_end);
    }
    close(stranger->number);
}

static atomic_int stopped_with, waited;

/* Who waits learns that it is in vain. */
static void *wait_for_it(void *session)
{
    atomic_store(&waited, ptpbmca_await_sync(session, 600000));
    return NULL;
}

static void *stop_it(void *session)
{
    atomic_store(&stopped_with, ptpbmca_stop(session));
    return NULL;
}

/* One of the library's descriptors is lost, or all of them are, while a session follows its receiver or waits for one that
   is silent. */
static void bereft(int port, int which, enum way way, int silent)
{
    ptpbmca_config config = loopback(LOCAL, port);
    ptpbmca_session *session;
    ptpbmca_clock_offset offset;
    ptpbmca_error error;
    struct stranger strangers[MOST];
    struct receiver receiver = beside(port);
    struct usage before, after;
    pthread_t stopper, waiter;
    char what[96];
    int had[MOST], has = list_fds(had, MOST), mine[MOST], opened, lost = 0, internal = 0;
    if (silent)
        config.role = PTPBMCA_ROLE_FOLLOW;
    GIVES(ptpbmca_start(silent ? "127.0.50.9" : "127.0.50.2", &config, &session, NULL), PTPBMCA_OK);
    GIVES(ptpbmca_await_sync(session, silent ? 1 : 20000), silent ? PTPBMCA_ERR_TIMEOUT : PTPBMCA_OK);
    if (silent && which <= 1) {
        atomic_store(&waited, 1);
        CHECK(pthread_create(&waiter, NULL, wait_for_it, session) == 0);
        pause_ms(50);
    }
    opened = new_fds(had, has, mine, MOST);
    if (which >= opened)
        exit(EXIT_SKIP);
    before = usage_now();
    lost = which < 0 ? opened : 1;
    lose(strangers, which < 0 ? mine : mine + which, lost, way);
    if (which < 0)
        snprintf(what, sizeof what, "%sall %d descriptors, %s", silent ? "silence, " : "", opened, way_names[way]);
    else
        snprintf(what, sizeof what, "%sdescriptor %d of %d, %s", silent ? "silence, " : "", which + 1, opened, way_names[way]);
    /* It goes on, or says that it does not; and idles meanwhile: all of this takes 2 ms of CPU and 60 waits. */
    for (int i = 0; i < 30; i++) {
        ptpbmca_result result = ptpbmca_offset(session, &offset);
        if (result != PTPBMCA_OK && result != PTPBMCA_ERR_INTERNAL)
            FAIL("%s: offset gives %s", what, ptpbmca_result_name(result));
        pause_ms(50);
    }
    after = usage_now();
    if (after.cpu_ns - before.cpu_ns > 20000000 || after.switches - before.switches > 500)
        FAIL("%s: spins: %" PRId64 " ms of CPU and %ld waits", what, (after.cpu_ns - before.cpu_ns) / 1000000,
             after.switches - before.switches);
    if (!silent)
        EVENTUALLY(ptpbmca_offset(session, &offset) == PTPBMCA_ERR_INTERNAL ||
                       (offset.sync_state == PTPBMCA_SYNC_LOCKED && offset.age_ns < 1000000000),
                   10);
    else if (which <= 1) {
        for (int i = 0; i < 500 && atomic_load(&waited) == 1; i++)
            pause_ms(10);
        if (atomic_load(&waited) == 1)
            FAIL("%s: the worker sleeps, and those who wait for it do", what);
        CHECK(atomic_load(&waited) == PTPBMCA_ERR_INTERNAL);
        GIVES(ptpbmca_offset(session, &offset), PTPBMCA_ERR_INTERNAL);
        pthread_join(waiter, NULL);
    }
    internal = ptpbmca_offset(session, &offset) == PTPBMCA_ERR_INTERNAL;
    atomic_store(&stopped_with, 1);
    CHECK(pthread_create(&stopper, NULL, stop_it, session) == 0);
    for (int i = 0; i < 1000 && atomic_load(&stopped_with) == 1; i++)
        pause_ms(5);
    if (atomic_load(&stopped_with) == 1)
        FAIL("%s: stop does not return: the worker sleeps", what);
    pthread_join(stopper, NULL);
    if (atomic_load(&stopped_with) != (internal ? PTPBMCA_ERR_INTERNAL : PTPBMCA_OK))
        FAIL("%s: stop gives %s", what, ptpbmca_result_name(atomic_load(&stopped_with)));
    GIVES(ptpbmca_offset(session, &offset), PTPBMCA_ERR_NO_SESSION);
    CHECK(count_threads() == 1);
    config.role = PTPBMCA_ROLE_AUTO;
    if (ptpbmca_start("127.0.50.2", &config, &session, &error) != PTPBMCA_OK)
        FAIL("%s: a new start: %s", what, error.message);
    GIVES(ptpbmca_await_sync(session, 20000), PTPBMCA_OK);
    CHECK(within(compare_now(session, &receiver)));
    stop(session);
    for (int i = 0; i < lost; i++)
        untouched(&strangers[i], way, what);
    receiver_end(&receiver);
    printf("%s: %s\n", what, internal ? "ERR_INTERNAL" : "goes on");
}

/* Stopped at once, before anything could be noticed. */
static void bereft_and_stopped(int port, enum way way)
{
    ptpbmca_config config = loopback(LOCAL, port);
    ptpbmca_session *session;
    struct stranger strangers[MOST];
    pthread_t stopper;
    int had[MOST], has = list_fds(had, MOST), mine[MOST], opened;
    char what[96];
    snprintf(what, sizeof what, "stopped as soon as all are %s", way_names[way]);
    GIVES(ptpbmca_start("127.0.50.9", &config, &session, NULL), PTPBMCA_OK);
    opened = new_fds(had, has, mine, MOST);
    lose(strangers, mine, opened, way);
    atomic_store(&stopped_with, 1);
    CHECK(pthread_create(&stopper, NULL, stop_it, session) == 0);
    for (int i = 0; i < 1000 && atomic_load(&stopped_with) == 1; i++)
        pause_ms(5);
    if (atomic_load(&stopped_with) == 1)
        FAIL("%s: stop does not return: the worker sleeps", what);
    pthread_join(stopper, NULL);
    CHECK(atomic_load(&stopped_with) == PTPBMCA_OK || atomic_load(&stopped_with) == PTPBMCA_ERR_INTERNAL);
    CHECK(count_threads() == 1);
    GIVES(ptpbmca_start("127.0.50.9", &config, &session, NULL), PTPBMCA_OK);
    stop(session);
    for (int i = 0; i < opened; i++)
        untouched(&strangers[i], way, what);
    printf("%s: %s\n", what, ptpbmca_result_name(atomic_load(&stopped_with)));
}

/* Each case in a process of its own, some at a time: most of it is waiting. */
enum { AT_A_TIME = 8 };
static int running, cases;

static void one_ends(void)
{
    int status;
    CHECK(wait(&status) > 0);
    running--;
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != EXIT_SKIP))
        exit(1);
}

static void case_of(int which, enum way way, int silent, int at_once)
{
    int port = PORT + 20 + 2 * cases++;
    if (running == AT_A_TIME)
        one_ends();
    fflush(stdout);
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (at_once)
            bereft_and_stopped(port, way);
        else
            bereft(port, which, way, silent);
        fflush(stdout);
        exit(0);
    }
    running++;
}

static void lost(void)
{
    /* Poll, waker, two timers, routes, two sockets, two of groups. */
    enum { EACH = 9 };
    for (enum way way = CLOSED; way < WAYS; way++) {
        case_of(-1, way, 0, 0);
        case_of(-1, way, 1, 0);
        case_of(0, way, 0, 1);
    }
    for (int which = 0; which < EACH; which++) {
        case_of(which, CLOSED, 0, 0);
        case_of(which, TAKEN_BY_STREAM, 0, 0);
    }
    case_of(0, CLOSED, 1, 0);
    case_of(1, CLOSED, 1, 0);
    while (running)
        one_ends();
}

/* --- An interface that comes back while there is no descriptor to look at it by --------------------------------------- */

static int joined(const char *interface)
{
    char line[256], name[64] = "";
    int found = 0;
    FILE *groups = fopen("/proc/self/net/igmp", "r");
    CHECK(groups != NULL);
    while (fgets(line, sizeof line, groups)) {
        if (line[0] != '\t')
            sscanf(line, "%*d %63[^ \t:]", name);
        /* 224.0.1.129, as the kernel prints it on this machine's byte order. */
        if (!strcmp(name, interface) && (strstr(line, "810100E0") || strstr(line, "E0000181")))
            found = 1;
    }
    fclose(groups);
    return found;
}

static void command(const char *line)
{
    int status = system(line);
    if (status != 0)
        FAIL("%s: %d", line, status);
}

static void interface_amid(void)
{
    ptpbmca_config config = loopback(NULL, PORT);
    ptpbmca_session *session;
    if (unshare(CLONE_NEWNET) != 0 || system("ip link add seven type veth peer name eight 2>/dev/null") != 0) {
        printf("an interface that comes back: no network namespace or no ip here\n");
        return;
    }
    /* Without IPv6, whose routes come a second late and would have everything looked up once more. */
    command("echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/default/disable_ipv6; ip link set lo up; ip link set eight up; ip addr add 10.99.50.1/24 dev seven; ip link set seven up");
    GIVES(ptpbmca_start("10.99.50.2", &config, &session, NULL), PTPBMCA_OK);
    EVENTUALLY(joined("seven"), 5);
    leave(0);
    /* The shell has a table of descriptors of its own, but inherits the limit. */
    command("ulimit -n 512; ip link del seven; ip link add seven type veth peer name eight; ip link set eight up; "
            "ip addr add 10.99.50.1/24 dev seven; ip link set seven up");
    /* Long enough for the change to be noticed, and for nothing to be done about it. */
    pause_ms(1200);
    leave_many();
    CHECK(!joined("seven"));
    EVENTUALLY(joined("seven"), 5);
    stop(session);
    printf("an interface that comes back: its groups are joined once there are descriptors\n");
}

int main(int argc, char **argv)
{
    CHECK(argc >= 2);
    program = argv[1];
    if (argc == 2 || !strcmp(argv[2], "refused"))
        in_a_child(refused);
    if (argc == 2 || !strcmp(argv[2], "running"))
        in_a_child(running_out);
    if (argc == 2 || !strcmp(argv[2], "interface"))
        in_a_child(interface_amid);
    if (argc == 2 || !strcmp(argv[2], "lost"))
        in_a_child(lost);
    return 0;
}
