/*
 * unload: a host that is not linked to the library loads it, starts a session, and closes the library while the session
 * runs. The worker goes on in memory that stays mapped. Binds 127.0.20.x.
 *
 *     unload LIBRARY
 */
#define _GNU_SOURCE
#include "check.h"
#include <dlfcn.h>
#include <pthread.h>

static ptpbmca_result (*config_init)(ptpbmca_config *, uint32_t);
static ptpbmca_result (*start)(const char *, const ptpbmca_config *, ptpbmca_session **, ptpbmca_error *);
static ptpbmca_result (*snapshot)(const ptpbmca_session *, ptpbmca_clock_offset *);
static ptpbmca_result (*end)(ptpbmca_session *);

/* On a thread of its own, which ends: what the library keeps for a thread must not be what keeps it mapped. */
static void *load_start_close(void *argument)
{
    const char *path = argument;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ptpbmca_session *session;
    ptpbmca_config config;
    if (!library)
        FAIL("dlopen: %s", dlerror());
    /* The detour C needs to make a function of a void*. */
    *(void **)&config_init = dlsym(library, "ptpbmca_config_init");
    *(void **)&start = dlsym(library, "ptpbmca_start");
    *(void **)&snapshot = dlsym(library, "ptpbmca_offset");
    *(void **)&end = dlsym(library, "ptpbmca_stop");
    CHECK(config_init && start && snapshot && end);
    CHECK(config_init(&config, sizeof config) == PTPBMCA_OK);
    config.local_address = "127.0.20.1";
    config.event_port = 21719;
    config.general_port = 21720;
    config.role = PTPBMCA_ROLE_LEAD;
    CHECK(start("127.0.20.2", &config, &session, NULL) == PTPBMCA_OK);
    CHECK(dlclose(library) == 0);
    return session;
}

/* Loaded again while a session of the first time runs: it is the same library, which knows that session. */
static void loaded_again(const char *path, ptpbmca_session *session)
{
    ptpbmca_result (*again)(const ptpbmca_session *, ptpbmca_clock_offset *);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ptpbmca_clock_offset offset;
    if (!library)
        FAIL("dlopen again: %s", dlerror());
    *(void **)&again = dlsym(library, "ptpbmca_offset");
    CHECK(again && again == snapshot);
    CHECK(again(session, &offset) == PTPBMCA_OK && offset.synchronized);
    CHECK(dlclose(library) == 0);
    CHECK(snapshot(session, &offset) == PTPBMCA_OK);
}

static void *stop_it(void *session)
{
    CHECK(end(session) == PTPBMCA_OK);
    return NULL;
}

static void *on_thread(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, work, argument) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    for (int round = 0; round < 4; round++) {
        ptpbmca_clock_offset before, after;
        ptpbmca_session *session = on_thread(load_start_close, argv[1]);
        CHECK(snapshot(session, &before) == PTPBMCA_OK && before.synchronized);
        /* The worker is busy meanwhile: it sends its opening. And the session is still there. */
        pause_ms(400);
        CHECK(snapshot(session, &after) == PTPBMCA_OK && after.synchronized && after.epoch == before.epoch);
        loaded_again(argv[1], session);
        /* The last one is still running when main returns. */
        if (round == 3)
            break;
        on_thread(stop_it, session);
        /* With no thread of its own left and nobody who has it open, the library is still there for late calls: twice,
           since the first dlclose was put off by the thread that ran then. */
        for (int i = 0; i < 2; i++) {
            void *library = dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD);
            if (!library)
                FAIL("after a dlclose the library is gone");
            CHECK(dlclose(library) == 0);
        }
    }
    return 0;
}
