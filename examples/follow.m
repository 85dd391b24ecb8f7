/*
 * follow: shows what time it is on a receiver, once a second. In Objective-C; see follow.c for all options.
 *
 *     follow RECEIVER [LOCAL_ADDRESS EVENT_PORT GENERAL_PORT [SECONDS]]
 */
#import "PTPReceiverClock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    ptpbmca_config config;
    ptpbmca_error error;
    PTPReceiverClock *clock;
    ptpbmca_result result;
    long seconds = argc > 5 ? atol(argv[5]) : 0, shown;

    if (argc < 2 || argc == 3 || argc == 4) {
        fprintf(stderr, "usage: %s RECEIVER [LOCAL_ADDRESS EVENT_PORT GENERAL_PORT [SECONDS]]\n", argv[0]);
        return 2;
    }
    ptpbmca_config_init(&config, sizeof config);
    if (argc > 4) {
        config.local_address = argv[2];
        config.event_port = (uint16_t)atoi(argv[3]);
        config.general_port = (uint16_t)atoi(argv[4]);
    }
    clock = [PTPReceiverClock clockWithReceiver:argv[1] config:&config error:&error];
    if (!clock) {
        fprintf(stderr, "%s: %s\n", ptpbmca_result_name(error.result), error.message);
        return 1;
    }
    result = [clock syncWithin:5];
    if (result != PTPBMCA_OK)
        fprintf(stderr, "%s: %s\n", ptpbmca_result_name(result), ptpbmca_result_message(result));
    for (shown = 0; seconds == 0 || shown < seconds; shown++) {
        ptpbmca_clock_offset offset = [clock offset];
        printf("receiver %20" PRIu64 " ns  offset %20" PRId64 " ns  bound %6.1f us  epoch %" PRIu32 "\n",
               [clock receiverNow], offset.offset_ns, offset.synchronized ? (double)offset.error_ns / 1e3 : 0.0,
               offset.epoch);
        fflush(stdout);
        sleep(1);
    }
    return [clock close] != PTPBMCA_OK;
}
