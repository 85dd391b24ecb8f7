/*
 * unload: a host that is not linked to the library loads it, starts a session, and closes the library while the session
 * runs. The worker goes on in memory that stays mapped. Binds 127.0.20.x.
 *
 *     unload LIBRARY
 */
#define _GNU_SOURCE
#include "check.h"
#include <dlfcn.h>

static ptpbmca_result (*config_init)(ptpbmca_config *, uint32_t);
static ptpbmca_result (*start)(const char *, const ptpbmca_config *, ptpbmca_session **, ptpbmca_error *);
static ptpbmca_result (*snapshot)(const ptpbmca_session *, ptpbmca_clock_offset *);
static ptpbmca_result (*end)(ptpbmca_session *);

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    for (int round = 0; round < 4; round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        ptpbmca_session *session;
        ptpbmca_config config;
        ptpbmca_clock_offset before, after;
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
        CHECK(snapshot(session, &before) == PTPBMCA_OK && before.synchronized);
        CHECK(dlclose(library) == 0);
        /* The worker is busy meanwhile: it sends its opening. And the session is still there. */
        pause_ms(400);
        CHECK(snapshot(session, &after) == PTPBMCA_OK && after.synchronized && after.epoch == before.epoch);
        /* The last one is still running when main returns. */
        if (round < 3)
            CHECK(end(session) == PTPBMCA_OK);
    }
    return 0;
}
