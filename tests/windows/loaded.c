/*
 * loaded: a host that loads the library, uses it and lets go of it: its code stays, since the worker may still run. An
 * unused library goes.
 */
#include <windows.h>

#include <ptpbmca.h>
#include <stdio.h>

typedef ptpbmca_result (*start_function)(const char *, const ptpbmca_config *, ptpbmca_session **, ptpbmca_error *);
typedef ptpbmca_result (*stop_function)(ptpbmca_session *);
typedef ptpbmca_result (*init_function)(ptpbmca_config *, uint32_t);

static int fail(const char *what)
{
    printf("not so: %s\n", what);
    return 1;
}

int main(void)
{
    HMODULE library = LoadLibraryA("ptpbmca.dll");
    ptpbmca_config config;
    ptpbmca_session *session;
    init_function init;
    start_function start;
    stop_function stop;
    if (!library)
        return fail("the library loads");
    FreeLibrary(library);
    if (GetModuleHandleA("ptpbmca.dll"))
        return fail("an unused library goes");
    library = LoadLibraryA("ptpbmca.dll");
    if (!library)
        return fail("the library loads again");
    init = (init_function)GetProcAddress(library, "ptpbmca_config_init");
    start = (start_function)GetProcAddress(library, "ptpbmca_start");
    stop = (stop_function)GetProcAddress(library, "ptpbmca_stop");
    if (!init || !start || !stop || init(&config, sizeof config) != PTPBMCA_OK)
        return fail("the library has its functions");
    config.local_address = "127.0.26.1";
    config.event_port = 26319;
    config.general_port = 26320;
    config.ready_timeout_ms = 0;
    if (start("127.0.26.2", &config, &session, NULL) != PTPBMCA_OK)
        return fail("a session starts");
    FreeLibrary(library);
    Sleep(500);
    if (!GetModuleHandleA("ptpbmca.dll"))
        return fail("a library in use stays");
    if (stop(session) != PTPBMCA_OK)
        return fail("the session stops");
    return 0;
}
