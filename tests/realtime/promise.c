/*
 * promise: holds the calls that the header marks realtime-safe to their word. They are made by threads that no system
 * call is allowed to, under a filter which kills the program at the first one, with every allocation counted; each
 * result is checked. The parent process watches, and says which call it was. Binds 127.0.23.x.
 *
 *     promise calls                      their names
 *     promise first CALL                 the call is the first act of a new thread, in a program that never made it before
 *     promise busy RECEIVER SECONDS      while the worker publishes as often as packets can make it
 *     promise frozen RECEIVER TIMES      while the worker stands still: so many times, it is held at each instruction of a
 *                                        publication until a reader has made every call
 *
 * Built with RTSAN defined and linked to a library that has that sanitizer in it, the sanitizer watches instead.
 */
#define _GNU_SOURCE
#include "../c/receiver.h"
#include "calls.h"
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>

#define LOCAL "127.0.23.1"
#define SUBJECTS_PORT 22619
enum { READERS = 2, SUBJECTS = 7 };

/* So long may a reader take for one round of calls: a bound on life, not on speed. */
#define PATIENCE_NS INT64_C(10000000000)

/* Instructions at which the worker is held, from the first that writes to the library's memory on: more than publishing
   to two sessions takes. */
enum { STEPS = 600 };

/* What the watcher and the program it watches know of each other. */
static struct shared {
    /* The call that is made now, by any reader; the worker's thread. */
    atomic_int call, worker;
    /* Rounds of calls by each reader; changes of the line that readers saw. */
    atomic_long rounds[READERS], changes;
    /* Which freeze readers are asked to work in, 0: none is; and the last in which they have. */
    atomic_long asked, answered;
    /* Whether the library's memory is to be, and is, closed to writers. */
    atomic_int close, closed;
    /* Readers are at work; they are to end. */
    atomic_bool ready, end, failed, skipped;
    char said[512];
} *shared;

static struct subject subjects[SUBJECTS];
static int subject_count;

/* Tells the watcher. No reader may go on after it, nor leave. */
static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(shared->said, sizeof shared->said, format, arguments);
    va_end(arguments);
    atomic_store(&shared->failed, 1);
    for (;;)
        ;
}

#ifdef RTSAN
static long allocations(void) { return 0; }
static void forbid_system_calls(void) {}
#else
long allocations(void);

/* From here on the one system call of this thread is its end. */
static void forbid_system_calls(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
        snprintf(shared->said, sizeof shared->said, "no system call filter here: %s", strerror(errno));
        atomic_store(&shared->skipped, 1);
        for (;;)
            pause_ms(1000);
    }
}
#endif

/* The end of a thread that may not even free its stack; who joins it does. */
static void leave(void)
{
#ifndef RTSAN
    syscall(SYS_exit, 0);
#endif
}

static void hold(const struct call *call, const struct subject *subject, int output)
{
    ptpbmca_result want = expected(call, subject, output), got;
    long before;
    atomic_store(&shared->call, (int)(call - calls));
    before = allocations();
    got = call->make(subject->session, output);
    if (allocations() != before)
        fail("%s allocates or frees: %ld times, on %s", call->name, allocations() - before, subject->name);
    if (got != want)
        fail("%s gives %s, not %s, on %s", call->name, ptpbmca_result_name(got), ptpbmca_result_name(want), subject->name);
}

/* Every call on every session. */
static void hold_all(void)
{
    for (int subject = 0; subject < subject_count; subject++)
        for (int call = 0; call < CALLS; call++)
            hold(&calls[call], &subjects[subject], 1);
    for (int call = 0; call < CALLS; call++)
        hold(&calls[call], &subjects[0], 0);
}

/* Counts the changes of the line between two rounds, where there was nothing else between them. */
static void watch_the_line(int following)
{
    static _Thread_local uint64_t last;
    uint64_t now;
    ptpbmca_receiver_time(subjects[0].session, local_then, &now);
    if (now != last && following)
        atomic_fetch_add(&shared->changes, 1);
    last = now;
}

/* A thread's first allocation enters the kernel: it is past that, so that an allocation is told from a system call. */
static void allocate_once(void)
{
    void *volatile memory = malloc(1);
    free(memory);
}

static void *read_all_the_time(void *number)
{
    allocate_once();
    forbid_system_calls();
    while (!atomic_load(&shared->end)) {
        hold_all();
        watch_the_line(1);
        atomic_fetch_add(&shared->rounds[(uintptr_t)number], 1);
    }
    leave();
    return NULL;
}

static void *read_in_freezes(void *nothing)
{
    long last = 0;
    allocate_once();
    forbid_system_calls();
    while (!atomic_load(&shared->end)) {
        long asked = atomic_load(&shared->asked);
        if (asked == last)
            continue;
        hold_all();
        watch_the_line(asked % STEPS != 1);
        atomic_store(&shared->answered, last = asked);
    }
    leave();
    return nothing;
}

static void *read_once(void *call)
{
    forbid_system_calls();
    hold(call, &subjects[0], 1);
    leave();
    return NULL;
}

static const ptpbmca_session *begin(const char *receiver, ptpbmca_role_policy role, ptpbmca_clock clock, int port)
{
    ptpbmca_session *session;
    ptpbmca_error error;
    ptpbmca_config config = loopback(LOCAL, port);
    config.role = role;
    config.local_clock = clock;
    if (ptpbmca_start(receiver, &config, &session, &error) != PTPBMCA_OK)
        FAIL("%s", error.message);
    if (role != PTPBMCA_ROLE_FOLLOW || strcmp(receiver, "127.0.23.9"))
        GIVES(ptpbmca_await_sync(session, 10000), PTPBMCA_OK);
    return session;
}

static void add(const char *name, const ptpbmca_session *session, ptpbmca_result converts, ptpbmca_result reads)
{
    subjects[subject_count++] = (struct subject){name, session, converts, reads};
}

/* A session of each state that a session can be in, and three of none. */
static struct receiver begin_all(const char *program, const char *sync_interval_ms, int leading)
{
    const char *const options[] = {"--address", "127.0.23.2", "--event-port", "22619", "--general-port", "22620",
                                          "--peer", LOCAL, "--standalone", "--sync-interval-ms", sync_interval_ms, NULL};
    const int silent = PTPBMCA_ERR_NOT_SYNCHRONIZED, none = PTPBMCA_ERR_NO_SESSION;
    struct receiver receiver = receiver_start(program, options);
    const ptpbmca_session *stopped;
    int port = SUBJECTS_PORT;
    add("a session that follows", begin("127.0.23.2", PTPBMCA_ROLE_FOLLOW, PTPBMCA_CLOCK_REALTIME, port), 0, 0);
    add("one that shares it", begin("127.0.23.2", PTPBMCA_ROLE_FOLLOW, PTPBMCA_CLOCK_MONOTONIC, port), 0, 0);
    if (leading)
        add("one that leads", begin("127.0.23.8", PTPBMCA_ROLE_LEAD, PTPBMCA_CLOCK_REALTIME, port), 0, 0);
    add("one that hears nothing", begin("127.0.23.9", PTPBMCA_ROLE_FOLLOW, PTPBMCA_CLOCK_REALTIME, port), silent, 0);
    stopped = begin("127.0.23.7", PTPBMCA_ROLE_LEAD, PTPBMCA_CLOCK_REALTIME, port);
    stop((ptpbmca_session *)(uintptr_t)stopped);
    add("one that was stopped", stopped, none, none);
    add("one that never was", (const ptpbmca_session *)(uintptr_t)0x7fff12345678, none, none);
    add("NULL", NULL, none, none);
    GIVES(ptpbmca_local_now(subjects[0].session, &local_then), PTPBMCA_OK);
    GIVES(ptpbmca_receiver_time(subjects[0].session, local_then, &receiver_then), PTPBMCA_OK);
    return receiver;
}

static void end_all(void)
{
    for (int subject = 0; subject < subject_count; subject++)
        if (subjects[subject].reads == PTPBMCA_OK)
            stop((ptpbmca_session *)(uintptr_t)subjects[subject].session);
}

/* The thread of this process that is named so. */
static int thread_named(const char *wanted)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    int found = 0;
    CHECK(tasks != NULL);
    while (!found && (task = readdir(tasks))) {
        char path[300], name[32] = "";
        FILE *file;
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        file = fopen(path, "r");
        if (file && fgets(name, sizeof name, file) && !strncmp(name, wanted, strlen(wanted)) &&
            name[strlen(wanted)] == '\n')
            found = atoi(task->d_name);
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return found;
}

static int host_first(const char *name)
{
    const struct call *call = NULL;
    pthread_t thread;
    for (int i = 0; i < CALLS; i++)
        if (!strcmp(calls[i].name, name))
            call = &calls[i];
    CHECK(call != NULL);
    /* Started without await_sync and the like: nothing has read this session before. */
    add("a session that leads", begin("127.0.23.8", PTPBMCA_ROLE_LEAD, PTPBMCA_CLOCK_REALTIME, SUBJECTS_PORT), 0, 0);
    atomic_store(&shared->ready, 1);
    CHECK(pthread_create(&thread, NULL, read_once, (void *)(uintptr_t)call) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}

static int host_busy(const char *program, int seconds)
{
    /* More often, and the worker takes several packets at a time, and publishes once for all of them. */
    struct receiver receiver = begin_all(program, "1", 1);
    ptpbmca_session_status before, after;
    pthread_t threads[READERS];
    long rounds = 0;
    GIVES(ptpbmca_status(subjects[0].session, &before), PTPBMCA_OK);
    for (int i = 0; i < READERS; i++)
        CHECK(pthread_create(&threads[i], NULL, read_all_the_time, (void *)(uintptr_t)i) == 0);
    atomic_store(&shared->ready, 1);
    for (int64_t until = raw_monotonic() + seconds * INT64_C(1000000000); raw_monotonic() < until;)
        pause_ms(10);
    atomic_store(&shared->end, 1);
    for (int i = 0; i < READERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        rounds += atomic_load(&shared->rounds[i]);
    }
    GIVES(ptpbmca_status(subjects[0].session, &after), PTPBMCA_OK);
    printf("%d calls held, %ld rounds on %d sessions; meanwhile %" PRIu64 " pairs, %" PRIu64 " exchanges, %ld changes of the line seen\n",
           CALLS, rounds, subject_count, after.pairs - before.pairs, after.delay_resp_used - before.delay_resp_used,
           atomic_load(&shared->changes));
    CHECK(rounds > 100 && after.pairs > before.pairs + 100 && after.delay_resp_used > before.delay_resp_used);
    end_all();
    receiver_end(&receiver);
    return 0;
}

/* The library's variables: its mapping that is writable, and the one without a name after it. */
static void find_variables(uintptr_t *from, uintptr_t *to)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    CHECK(maps != NULL);
    *to = 0;
    while (fgets(line, sizeof line, maps)) {
        uintptr_t begin, end;
        char mode[8];
        CHECK(sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &begin, &end, mode) == 3);
        if (strcmp(mode, "rw-p"))
            continue;
        if (strstr(line, "libptpbmca"))
            *from = begin, *to = end;
        else if (*to == begin && !strchr(line, '/') && !strchr(line, '['))
            *to = end;
    }
    fclose(maps);
    CHECK(*to != 0);
}

static int host_frozen(const char *program)
{
    /* None that leads: three seconds without its worker, and it says so. One that follows says so after a minute. */
    struct receiver receiver = begin_all(program, "125", 0);
    pthread_t thread;
    uintptr_t from = 0, to;
    find_variables(&from, &to);
    atomic_store(&shared->worker, thread_named("ptpbmca"));
    CHECK(pthread_create(&thread, NULL, read_in_freezes, NULL) == 0);
    atomic_store(&shared->ready, 1);
    while (!atomic_load(&shared->end)) {
        int close = atomic_load(&shared->close);
        if (close == atomic_load(&shared->closed)) {
            sched_yield();
            continue;
        }
        CHECK(mprotect((void *)from, to - from, close ? PROT_READ : PROT_READ | PROT_WRITE) == 0);
        atomic_store(&shared->closed, close);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    end_all();
    receiver_end(&receiver);
    return 0;
}

/* --- The watcher ------------------------------------------------------------------------------------------------------ */

static pid_t host;
/* The worker, while it is held. */
static pid_t traced;

/* Whether the host is well; says what it died of, or complained of, else. */
static void look_after_host(int64_t deadline)
{
    int status, over = raw_monotonic() > deadline;
    const char *call = calls[atomic_load(&shared->call)].name;
    if (atomic_load(&shared->failed) || atomic_load(&shared->skipped) || over) {
        kill(host, SIGKILL);
        if (over)
            FAIL("%s does not return: it waits", call);
        printf("%s\n", shared->said);
        fflush(stdout);
        _exit(atomic_load(&shared->failed) ? 1 : EXIT_SKIP);
    }
    /* A program that died is not seen to be dead before its thread that was traced has been waited for. */
    if (traced && waitpid(traced, &status, __WALL | WNOHANG) == traced)
        traced = WIFSTOPPED(status) ? traced : 0;
    if (waitpid(host, &status, WNOHANG) != host)
        return;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        FAIL("%s makes a system call: killed", call);
    if (WIFSIGNALED(status))
        FAIL("killed by signal %d, in or after %s", WTERMSIG(status), call);
    exit(WEXITSTATUS(status));
}

static void await(atomic_int *what, int value)
{
    int64_t deadline = raw_monotonic() + PATIENCE_NS;
    while (atomic_load(what) != value) {
        look_after_host(deadline);
        sched_yield();
    }
}

/* Waits for the worker to stop, and says of which signal. It may have to get a packet first. */
static int await_stop(pid_t worker)
{
    int status;
    int64_t deadline = raw_monotonic() + PATIENCE_NS;
    while (waitpid(worker, &status, __WALL | WNOHANG) != worker) {
        look_after_host(deadline);
        sched_yield();
    }
    if (!WIFSTOPPED(status))
        look_after_host(0);
    return WSTOPSIG(status);
}

/* Lets the worker run up to a write to the library's variables, which are closed to it. */
static void run_to_publication(pid_t worker)
{
    atomic_store(&shared->close, 1);
    await(&shared->closed, 1);
    /* The signal of a write to closed memory is kept from it: it is to try again. */
    do
        CHECK(ptrace(PTRACE_CONT, worker, NULL, NULL) == 0);
    while (await_stop(worker) != SIGSEGV);
    atomic_store(&shared->close, 0);
    await(&shared->closed, 0);
}

/* Goes through a publication, and holds the worker at each instruction until a reader has made all its calls. */
static void step_through(pid_t worker, int hold)
{
    static long freezes;
    for (int step = 0; step < STEPS; step++) {
        int64_t deadline = raw_monotonic() + PATIENCE_NS;
        if (hold)
            atomic_store(&shared->asked, ++freezes);
        traced = worker;
        while (atomic_load(&shared->answered) != freezes)
            look_after_host(deadline);
        traced = 0;
        CHECK(ptrace(PTRACE_SINGLESTEP, worker, NULL, NULL) == 0);
        await_stop(worker);
    }
}

static void freeze(int times)
{
    pid_t worker = atomic_load(&shared->worker);
    CHECK(worker > 0);
    if (ptrace(PTRACE_SEIZE, worker, NULL, NULL) != 0 || ptrace(PTRACE_INTERRUPT, worker, NULL, NULL) != 0) {
        kill(host, SIGKILL);
        printf("threads cannot be traced here: %s\n", strerror(errno));
        fflush(stdout);
        _exit(EXIT_SKIP);
    }
    await_stop(worker);
    for (int time = 0; time < times || (atomic_load(&shared->changes) == 0 && time < 5 * times); time++) {
        /* What came while it was held is old news: a Sync whose Follow_Up waits in another socket. */
        CHECK(ptrace(PTRACE_CONT, worker, NULL, NULL) == 0);
        pause_ms(200);
        CHECK(ptrace(PTRACE_INTERRUPT, worker, NULL, NULL) == 0);
        await_stop(worker);
        run_to_publication(worker);
        /* By turns what a Sync brings, and its Follow_Up right after it, which moves the line. */
        if (time % 2) {
            step_through(worker, 0);
            run_to_publication(worker);
        }
        step_through(worker, 1);
    }
    ptrace(PTRACE_DETACH, worker, NULL, NULL);
    atomic_store(&shared->end, 1);
    printf("the worker was held at %ld instructions, with %d calls on %d sessions made at each; %ld new lines in that time\n",
           atomic_load(&shared->asked), CALLS, SUBJECTS - 1, atomic_load(&shared->changes));
    fflush(stdout);
    CHECK(atomic_load(&shared->changes) > 0);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int amount = argc > 3 ? atoi(argv[3]) : 0;
    const struct rlimit no_core = {0, 0};
    if (!strcmp(mode, "calls")) {
        for (int i = 0; i < CALLS; i++)
            puts(calls[i].name);
        return 0;
    }
    CHECK(argc > 2);
    setrlimit(RLIMIT_CORE, &no_core);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    host = fork();
    CHECK(host >= 0);
    if (host == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(!strcmp(mode, "first")    ? host_first(argv[2])
             : !strcmp(mode, "busy")   ? host_busy(argv[2], amount)
             : !strcmp(mode, "frozen") ? host_frozen(argv[2])
                                       : 2);
    }
    while (!atomic_load(&shared->ready)) {
        look_after_host(INT64_MAX);
        pause_ms(1);
    }
    if (!strcmp(mode, "frozen"))
        freeze(amount);
    for (int64_t deadline = raw_monotonic() + amount * INT64_C(1000000000) + PATIENCE_NS;; pause_ms(1))
        look_after_host(deadline);
}
