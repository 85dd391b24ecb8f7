/*
 * abi: what programs outside were compiled against. Compiles in every C and C++ that the header promises, and only as long
 * as every constant has its number, every field its type's size and its place, every function its signature.
 */
#include <ptpbmca.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* An assertion in C99, C11 and C++ alike: an array cannot have -1 elements. */
#define HOLDS(name, condition) typedef char holds_##name[(condition) ? 1 : -1]
#define IS(constant, number) typedef char is_##constant[(constant) == (number) ? 1 : -1]
/* Offsets as 64-bit systems have them; a pointer is the only type here whose size differs elsewhere. */
#define SIZE(type, size) HOLDS(type, sizeof(void *) != 8 || sizeof(type) == (size))
#define FIELD(type, field, offset, size)                                                                               \
    HOLDS(type##_##field,                                                                                              \
          sizeof(void *) != 8 || (offsetof(type, field) == (offset) && sizeof(((type *)0)->field) == (size)))

IS(PTPBMCA_OK, 0);
IS(PTPBMCA_ERR_INVALID_ARGUMENT, -1);
IS(PTPBMCA_ERR_INVALID_ADDRESS, -2);
IS(PTPBMCA_ERR_PERMISSION, -3);
IS(PTPBMCA_ERR_ADDRESS_IN_USE, -4);
IS(PTPBMCA_ERR_NETWORK, -5);
IS(PTPBMCA_ERR_NO_SESSION, -6);
IS(PTPBMCA_ERR_NOT_SYNCHRONIZED, -7);
IS(PTPBMCA_ERR_TIMEOUT, -8);
IS(PTPBMCA_ERR_WOULD_DEADLOCK, -9);
IS(PTPBMCA_ERR_LIMIT, -10);
IS(PTPBMCA_ERR_INTERNAL, -11);
IS(PTPBMCA_CLOCK_REALTIME, 0);
IS(PTPBMCA_CLOCK_MONOTONIC, 1);
IS(PTPBMCA_ROLE_AUTO, 0);
IS(PTPBMCA_ROLE_FOLLOW, 1);
IS(PTPBMCA_ROLE_LEAD, 2);
IS(PTPBMCA_LISTENING, 0);
IS(PTPBMCA_FOLLOWING, 1);
IS(PTPBMCA_LEADING, 2);
IS(PTPBMCA_SYNC_SILENT, 0);
IS(PTPBMCA_SYNC_ANNOUNCED, 1);
IS(PTPBMCA_SYNC_ACQUIRING, 2);
IS(PTPBMCA_SYNC_LOCKED, 3);
IS(PTPBMCA_SYNC_HOLDOVER, 4);
IS(PTPBMCA_SYNC_LEADING, 5);
IS(PTPBMCA_LOG_OFF, 0);
IS(PTPBMCA_LOG_ERROR, 1);
IS(PTPBMCA_LOG_WARN, 2);
IS(PTPBMCA_LOG_INFO, 3);
IS(PTPBMCA_LOG_DEBUG, 4);
IS(PTPBMCA_LOG_TRACE, 5);
IS(PTPBMCA_EVENT_SYNCHRONIZED, 1);
IS(PTPBMCA_EVENT_LOST, 2);
IS(PTPBMCA_EVENT_EPOCH_CHANGED, 3);
IS(PTPBMCA_EVENT_ROLE_CHANGED, 4);
IS(PTPBMCA_EVENT_GRANDMASTER_CHANGED, 5);
IS(PTPBMCA_EVENT_STOPPED, 6);

SIZE(ptpbmca_clock_offset, 112);
FIELD(ptpbmca_clock_offset, offset_ns, 0, 8);
FIELD(ptpbmca_clock_offset, error_ns, 8, 8);
FIELD(ptpbmca_clock_offset, path_delay_ns, 16, 8);
FIELD(ptpbmca_clock_offset, skew_ppm, 24, 8);
FIELD(ptpbmca_clock_offset, grandmaster_id, 32, 8);
FIELD(ptpbmca_clock_offset, receiver_clock_id, 40, 8);
FIELD(ptpbmca_clock_offset, local_clock_id, 48, 8);
FIELD(ptpbmca_clock_offset, age_ns, 56, 8);
FIELD(ptpbmca_clock_offset, epoch, 64, 4);
FIELD(ptpbmca_clock_offset, role, 68, 4);
FIELD(ptpbmca_clock_offset, sync_state, 72, 4);
FIELD(ptpbmca_clock_offset, synchronized, 76, 4);
FIELD(ptpbmca_clock_offset, reserved, 80, 32);

SIZE(ptpbmca_anchor_time, 56);
FIELD(ptpbmca_anchor_time, receiver_ns, 0, 8);
FIELD(ptpbmca_anchor_time, seconds, 8, 8);
FIELD(ptpbmca_anchor_time, fraction, 16, 8);
FIELD(ptpbmca_anchor_time, timeline_id, 24, 8);
FIELD(ptpbmca_anchor_time, epoch, 32, 4);
FIELD(ptpbmca_anchor_time, reserved32, 36, 4);
FIELD(ptpbmca_anchor_time, reserved, 40, 16);

SIZE(ptpbmca_config, 88);
FIELD(ptpbmca_config, struct_size, 0, 4);
FIELD(ptpbmca_config, role, 4, 4);
FIELD(ptpbmca_config, local_clock, 8, 4);
FIELD(ptpbmca_config, priority1, 12, 1);
FIELD(ptpbmca_config, priority2, 13, 1);
FIELD(ptpbmca_config, clock_class, 14, 1);
FIELD(ptpbmca_config, domain, 15, 1);
FIELD(ptpbmca_config, major_sdo_id, 16, 1);
FIELD(ptpbmca_config, clock_id, 24, 8);
FIELD(ptpbmca_config, local_address, 32, 8);
FIELD(ptpbmca_config, event_port, 40, 2);
FIELD(ptpbmca_config, general_port, 42, 2);
FIELD(ptpbmca_config, allow_ephemeral_ports, 44, 4);
FIELD(ptpbmca_config, event_socket, 48, 8);
FIELD(ptpbmca_config, general_socket, 56, 8);
FIELD(ptpbmca_config, announce_timeout_ms, 64, 4);
FIELD(ptpbmca_config, ready_timeout_ms, 68, 4);
FIELD(ptpbmca_config, on_event, 72, 8);
FIELD(ptpbmca_config, user_data, 80, 8);

SIZE(ptpbmca_error, 296);
FIELD(ptpbmca_error, result, 0, 4);
FIELD(ptpbmca_error, os_error, 4, 4);
FIELD(ptpbmca_error, message, 8, 256);
FIELD(ptpbmca_error, reserved, 264, 32);

SIZE(ptpbmca_message_counts, 72);
FIELD(ptpbmca_message_counts, sync, 0, 8);
FIELD(ptpbmca_message_counts, follow_up, 8, 8);
FIELD(ptpbmca_message_counts, delay_req, 16, 8);
FIELD(ptpbmca_message_counts, delay_resp, 24, 8);
FIELD(ptpbmca_message_counts, announce, 32, 8);
FIELD(ptpbmca_message_counts, signaling, 40, 8);
FIELD(ptpbmca_message_counts, pdelay_req, 48, 8);
FIELD(ptpbmca_message_counts, pdelay_resp, 56, 8);
FIELD(ptpbmca_message_counts, pdelay_resp_follow_up, 64, 8);

SIZE(ptpbmca_refusal_counts, 128);
FIELD(ptpbmca_refusal_counts, wrong_source, 0, 8);
FIELD(ptpbmca_refusal_counts, wrong_identity, 8, 8);
FIELD(ptpbmca_refusal_counts, own_echo, 16, 8);
FIELD(ptpbmca_refusal_counts, wrong_domain, 24, 8);
FIELD(ptpbmca_refusal_counts, wrong_version, 32, 8);
FIELD(ptpbmca_refusal_counts, too_short, 40, 8);
FIELD(ptpbmca_refusal_counts, wrong_length, 48, 8);
FIELD(ptpbmca_refusal_counts, unknown_type, 56, 8);
FIELD(ptpbmca_refusal_counts, malformed_tlv, 64, 8);
FIELD(ptpbmca_refusal_counts, unmatched, 72, 8);
FIELD(ptpbmca_refusal_counts, duplicate, 80, 8);
FIELD(ptpbmca_refusal_counts, bad_timestamp, 88, 8);
FIELD(ptpbmca_refusal_counts, announce_loop, 96, 8);
FIELD(ptpbmca_refusal_counts, unrequested, 104, 8);
FIELD(ptpbmca_refusal_counts, implausible, 112, 8);
FIELD(ptpbmca_refusal_counts, outlier, 120, 8);

SIZE(ptpbmca_session_status, 536);
FIELD(ptpbmca_session_status, clock, 0, 112);
FIELD(ptpbmca_session_status, event_port, 112, 2);
FIELD(ptpbmca_session_status, general_port, 114, 2);
FIELD(ptpbmca_session_status, ephemeral_ports, 116, 4);
FIELD(ptpbmca_session_status, kernel_receive_stamps, 120, 4);
FIELD(ptpbmca_session_status, kernel_send_stamps, 124, 4);
FIELD(ptpbmca_session_status, announced, 128, 4);
FIELD(ptpbmca_session_status, announced_priority1, 132, 1);
FIELD(ptpbmca_session_status, announced_priority2, 133, 1);
FIELD(ptpbmca_session_status, announced_clock_class, 134, 1);
FIELD(ptpbmca_session_status, announced_clock_accuracy, 135, 1);
FIELD(ptpbmca_session_status, announced_variance, 136, 2);
FIELD(ptpbmca_session_status, announced_steps_removed, 138, 2);
FIELD(ptpbmca_session_status, announced_time_source, 140, 1);
FIELD(ptpbmca_session_status, reserved8, 141, 3);
FIELD(ptpbmca_session_status, announced_grandmaster_id, 144, 8);
FIELD(ptpbmca_session_status, received, 152, 72);
FIELD(ptpbmca_session_status, sent, 224, 72);
FIELD(ptpbmca_session_status, refused, 296, 128);
FIELD(ptpbmca_session_status, pairs, 424, 8);
FIELD(ptpbmca_session_status, delay_req_answered, 432, 8);
FIELD(ptpbmca_session_status, delay_resp_used, 440, 8);
FIELD(ptpbmca_session_status, steps, 448, 8);
FIELD(ptpbmca_session_status, send_errors, 456, 8);
FIELD(ptpbmca_session_status, advice, 464, 8);
FIELD(ptpbmca_session_status, refused_flood, 472, 8);
FIELD(ptpbmca_session_status, kernel_drops, 480, 8);
FIELD(ptpbmca_session_status, reserved, 488, 48);

SIZE(ptpbmca_result, 4);
SIZE(ptpbmca_clock, 4);
SIZE(ptpbmca_role_policy, 4);
SIZE(ptpbmca_role, 4);
SIZE(ptpbmca_sync_state, 4);
SIZE(ptpbmca_log_level, 4);
SIZE(ptpbmca_event, 4);

/* Fields again, by type: a struct_size that turned signed keeps its size and its place. */
static ptpbmca_config config = {sizeof(ptpbmca_config), PTPBMCA_ROLE_AUTO, PTPBMCA_CLOCK_REALTIME, 0, 0, 0, 0, 1, 0, NULL,
                                319, 320, 0, -1, -1, 3000, 5000, NULL, NULL};

static void types(void)
{
    uint32_t *u32;
    uint64_t *u64;
    int64_t *i64;
    uint16_t *u16;
    uint8_t *u8;
    double *real;
    const char **text;
    char *characters;
    ptpbmca_clock_offset offset;
    ptpbmca_anchor_time anchor;
    ptpbmca_error error;
    ptpbmca_session_status status;

    u32 = &config.struct_size, u32 = &config.role, u32 = &config.local_clock, u32 = &config.allow_ephemeral_ports;
    u32 = &config.announce_timeout_ms, u32 = &config.ready_timeout_ms;
    u8 = &config.priority1, u8 = &config.priority2, u8 = &config.clock_class, u8 = &config.domain;
    u8 = &config.major_sdo_id;
    u64 = &config.clock_id, text = &config.local_address, u16 = &config.event_port, u16 = &config.general_port;
    i64 = &config.event_socket, i64 = &config.general_socket;
    i64 = &offset.offset_ns, u64 = &offset.error_ns, u64 = &offset.path_delay_ns, real = &offset.skew_ppm;
    u64 = &offset.grandmaster_id, u64 = &offset.receiver_clock_id, u64 = &offset.local_clock_id, u64 = &offset.age_ns;
    u32 = &offset.epoch, u32 = &offset.role, u32 = &offset.sync_state, u32 = &offset.synchronized;
    u64 = &anchor.receiver_ns, u64 = &anchor.seconds, u64 = &anchor.fraction, u64 = &anchor.timeline_id;
    u32 = &anchor.epoch;
    characters = error.message, text = &status.advice;
    {
        int32_t *i32 = &error.result;
        i32 = &error.os_error;
        (void)i32;
    }
    (void)u32, (void)u64, (void)i64, (void)u16, (void)u8, (void)real, (void)text, (void)characters;
}

static ptpbmca_event_callback on_event = NULL;
static ptpbmca_log_callback on_log = NULL;

/* Every function, by its signature. */
static const struct functions {
    ptpbmca_result (*config_init)(ptpbmca_config *, uint32_t);
    ptpbmca_result (*start)(const char *, const ptpbmca_config *, ptpbmca_session **, ptpbmca_error *);
    ptpbmca_result (*offset)(const ptpbmca_session *, ptpbmca_clock_offset *);
    ptpbmca_result (*receiver_time)(const ptpbmca_session *, int64_t, uint64_t *);
    ptpbmca_result (*receiver_now)(const ptpbmca_session *, uint64_t *);
    ptpbmca_result (*local_time)(const ptpbmca_session *, uint64_t, int64_t *);
    ptpbmca_result (*anchor)(const ptpbmca_session *, int64_t, ptpbmca_anchor_time *);
    ptpbmca_result (*local_now)(const ptpbmca_session *, int64_t *);
    ptpbmca_result (*await_sync)(const ptpbmca_session *, uint32_t);
    ptpbmca_result (*status)(const ptpbmca_session *, ptpbmca_session_status *);
    ptpbmca_result (*stop)(ptpbmca_session *);
    const char *(*result_name)(ptpbmca_result);
    const char *(*result_message)(ptpbmca_result);
    ptpbmca_result (*set_log_callback)(ptpbmca_log_callback, void *, ptpbmca_log_level);
    const char *(*version)(void);
} functions = {
    ptpbmca_config_init, ptpbmca_start,      ptpbmca_offset,      ptpbmca_receiver_time,  ptpbmca_receiver_now,
    ptpbmca_local_time,  ptpbmca_anchor,     ptpbmca_local_now,   ptpbmca_await_sync,     ptpbmca_status,
    ptpbmca_stop,        ptpbmca_result_name, ptpbmca_result_message, ptpbmca_set_log_callback, ptpbmca_version,
};

int main(void)
{
    ptpbmca_config mine;
    types();
    (void)on_event, (void)on_log;
    if (strcmp(functions.version(), "0.1.0") != 0) {
        printf("version is %s\n", functions.version());
        return 1;
    }
    /* The defaults, over a struct full of rubbish. */
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.major_sdo_id = 1;
    config.event_port = 319;
    config.general_port = 320;
    config.event_socket = -1;
    config.general_socket = -1;
    config.announce_timeout_ms = 3000;
    config.ready_timeout_ms = 5000;
    memset(&mine, 0xa5, sizeof mine);
    if (functions.config_init(&mine, sizeof mine) != PTPBMCA_OK) {
        printf("config_init refuses its own size\n");
        return 1;
    }
    if (mine.struct_size != config.struct_size || mine.role != config.role || mine.local_clock != config.local_clock ||
        mine.priority1 != 0 || mine.priority2 != 0 || mine.clock_class != 0 || mine.domain != 0 ||
        mine.major_sdo_id != config.major_sdo_id || mine.clock_id != 0 || mine.local_address != NULL ||
        mine.event_port != config.event_port || mine.general_port != config.general_port ||
        mine.allow_ephemeral_ports != 0 || mine.event_socket != config.event_socket ||
        mine.general_socket != config.general_socket || mine.announce_timeout_ms != config.announce_timeout_ms ||
        mine.ready_timeout_ms != config.ready_timeout_ms || mine.on_event != NULL || mine.user_data != NULL) {
        printf("a default is not what the contract says\n");
        return 1;
    }
    return 0;
}
