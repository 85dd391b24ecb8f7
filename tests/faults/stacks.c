/*
 * stacks: the library called from threads with the smallest stack there is, and how much of a stack each call takes. Binds
 * 127.0.54.x.
 */
#define _GNU_SOURCE
#include "faults.h"
#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>

#define LOCAL "127.0.54.1"
#define PORT 25519

enum call { NOTHING, OFFSET, RECEIVER_TIME, RECEIVER_NOW, LOCAL_TIME, ANCHOR, LOCAL_NOW, STATUS, AWAIT, START, REFUSED, STOP, CALLS };
static const char *const names[CALLS] = {"nothing",     "offset",    "receiver_time", "receiver_now", "local_time",
                                         "anchor",      "local_now", "status",        "await_sync",   "start",
                                         "a bad start", "stop"};

struct task {
    enum call call;
    ptpbmca_session *session;
};

/* Outputs that are not on the stack that is measured. */
static ptpbmca_clock_offset offset;
static ptpbmca_anchor_time anchor;
static ptpbmca_session_status status;
static ptpbmca_error error;
static ptpbmca_config config;

static void *make(void *argument)
{
    struct task *task = argument;
    static uint64_t receiver_ns;
    static int64_t local_ns;
    ptpbmca_result result = PTPBMCA_OK;
    switch (task->call) {
    case OFFSET: result = ptpbmca_offset(task->session, &offset); break;
    case RECEIVER_TIME: result = ptpbmca_receiver_time(task->session, 1, &receiver_ns); break;
    case RECEIVER_NOW: result = ptpbmca_receiver_now(task->session, &receiver_ns); break;
    case LOCAL_TIME: result = ptpbmca_local_time(task->session, 1, &local_ns); break;
    case ANCHOR: result = ptpbmca_anchor(task->session, 1, &anchor); break;
    case LOCAL_NOW: result = ptpbmca_local_now(task->session, &local_ns); break;
    case STATUS: result = ptpbmca_status(task->session, &status); break;
    case AWAIT: result = ptpbmca_await_sync(task->session, 1000); break;
    case START: result = ptpbmca_start("127.0.54.2", &config, &task->session, &error); break;
    case REFUSED:
        config.local_address = "192.0.2.1";
        CHECK(ptpbmca_start("127.0.54.2", &config, &task->session, &error) == PTPBMCA_ERR_NETWORK);
        config.local_address = LOCAL;
        break;
    case STOP: result = ptpbmca_stop(task->session); break;
    default: break;
    }
    CHECK(result == PTPBMCA_OK);
    return NULL;
}

/* Makes a call on a thread with a stack of so many bytes, below which nothing is mapped, and tells how many of them were
   used. */
static size_t on_stack_of(size_t size, struct task *task)
{
    enum { PAINT = 0x5c };
    size_t guard = (size_t)sysconf(_SC_PAGESIZE), untouched = 0;
    unsigned char *memory = mmap(NULL, size + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(memory != MAP_FAILED && mprotect(memory, guard, PROT_NONE) == 0);
    memset(memory + guard, PAINT, size);
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstack(&attributes, memory + guard, size) == 0);
    CHECK(pthread_create(&thread, &attributes, make, task) == 0 && pthread_join(thread, NULL) == 0);
    while (untouched < size && memory[guard + untouched] == PAINT)
        untouched++;
    CHECK(munmap(memory, size + guard) == 0);
    return size - untouched;
}

int main(void)
{
    /* What the library needs of a realtime thread's stack at most, in bytes, and of any thread's: documented. */
    const size_t realtime_most = 2048, any_most = 16384;
    size_t smallest = (size_t)sysconf(_SC_THREAD_STACK_MIN), base, need[CALLS] = {0};
    struct task task = {NOTHING, NULL};
    static const enum call order[] = {NOTHING, REFUSED, START, AWAIT, OFFSET, RECEIVER_TIME, RECEIVER_NOW, LOCAL_TIME,
                                      ANCHOR, LOCAL_NOW, STATUS, STOP};
    config = loopback(LOCAL, PORT);
    config.role = PTPBMCA_ROLE_LEAD;
    config.ready_timeout_ms = 1000;
    if (smallest < 16384)
        smallest = 16384;
    /* Once with room, to know; the realtime ones then on the smallest stack that the system makes. */
    base = on_stack_of(262144, &task);
    for (size_t i = 1; i < sizeof order / sizeof order[0]; i++) {
        size_t used;
        task.call = order[i];
        used = on_stack_of(262144, &task);
        need[order[i]] = used > base ? used - base : 0;
    }
    for (size_t i = 1; i < sizeof order / sizeof order[0]; i++)
        printf("%s: %zu bytes\n", names[order[i]], need[order[i]]);
    for (enum call call = OFFSET; call <= LOCAL_NOW; call++)
        if (need[call] > realtime_most)
            FAIL("%s takes %zu bytes of stack", names[call], need[call]);
    for (enum call call = STATUS; call < CALLS; call++)
        if (need[call] > any_most)
            FAIL("%s takes %zu bytes of stack", names[call], need[call]);
    printf("on stacks of %zu bytes, of which an empty thread takes %zu:", smallest, base);
    for (size_t i = 1; i < sizeof order / sizeof order[0]; i++) {
        task.call = order[i];
        if (base + need[order[i]] + 1024 > smallest) {
            printf(" (%s does not fit)", names[order[i]]);
            make(&task);
            continue;
        }
        on_stack_of(smallest, &task);
    }
    printf(" all well\n");
    return 0;
}
