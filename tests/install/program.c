/*
 * program: what somebody outside of the source tree writes: a session that leads, on loopback and high ports. Prints
 * LEADING and the library's version. Also valid C++.
 */
#include <ptpbmca.h>
#include <stdio.h>
#if defined(__cplusplus) && defined(WITH_HPP)
#include <ptpbmca.hpp>
#endif

int main(void)
{
    ptpbmca_config config;
    ptpbmca_session *session;
    ptpbmca_error error;
    ptpbmca_clock_offset now;
    ptpbmca_result result = ptpbmca_config_init(&config, sizeof config);
    if (result != PTPBMCA_OK) {
        printf("config: %s\n", ptpbmca_result_name(result));
        return 1;
    }
    config.role = PTPBMCA_ROLE_LEAD;
    config.local_address = "127.0.41.1";
    config.event_port = 22841;
    config.general_port = 22842;
    if (ptpbmca_start("127.0.41.3", &config, &session, &error) != PTPBMCA_OK) {
        printf("start: %s\n", error.message);
        return 1;
    }
    result = ptpbmca_await_sync(session, 5000);
    if (result == PTPBMCA_OK)
        result = ptpbmca_offset(session, &now);
    if (result != PTPBMCA_OK || now.role != PTPBMCA_LEADING) {
        printf("not leading: %s\n", ptpbmca_result_name(result));
        return 1;
    }
    printf("LEADING %s\n", ptpbmca_version());
    return ptpbmca_stop(session) != PTPBMCA_OK;
}
