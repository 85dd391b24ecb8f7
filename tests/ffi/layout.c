/*
 * layout: what the C compiler makes of the header, for the bindings to compare theirs with. One line each:
 *
 *     constant NAME VALUE
 *     struct NAME SIZE
 *     field STRUCT NAME OFFSET SIZE KIND          KIND: i8 to u64, f64, text, pointer, callback, array, a struct's name
 *
 * A list that lacks a field is noticed: its bytes would be a hole, and holes that are no padding end this in failure.
 */
#include <ptpbmca.h>
#include <stddef.h>
#include <stdio.h>

static size_t reached;
static const char *within = "";
static int holes;

static void field(const char *name, size_t offset, size_t size, size_t alignment, const char *kind)
{
    if (offset < reached || offset - reached >= alignment) {
        fprintf(stderr, "%s has something before %s that is not listed here\n", within, name);
        holes = 1;
    }
    printf("field %s %s %zu %zu %s\n", within, name, offset, size, kind);
    reached = offset + size;
}

static void end(size_t size)
{
    if (size - reached >= 8) {
        fprintf(stderr, "%s has something at its end that is not listed here\n", within);
        holes = 1;
    }
    printf("struct %s %zu\n", within, size);
    reached = 0;
}

/* Arrays turn into pointers where they are looked at. */
#define KIND(x)                                                                                                        \
    _Generic((x), int8_t: "i8", uint8_t: "u8", int16_t: "i16", uint16_t: "u16", int32_t: "i32", uint32_t: "u32",       \
        int64_t: "i64", uint64_t: "u64", double: "f64", const char *: "text", void *: "pointer",                       \
        ptpbmca_event_callback: "callback", char *: "array", uint64_t *: "array", uint8_t *: "array",                  \
        ptpbmca_clock_offset: "clock_offset", ptpbmca_message_counts: "message_counts",                                \
        ptpbmca_refusal_counts: "refusal_counts")
#define F(name) field(#name, offsetof(T, name), sizeof t.name, _Alignof(__typeof__(t.name)), KIND(t.name));
#define BEGIN(type)                                                                                                    \
    {                                                                                                                  \
        typedef ptpbmca_##type T;                                                                                      \
        static T t;                                                                                                    \
        within = #type;
#define END                                                                                                            \
    end(sizeof t);                                                                                                     \
    }
#define C(name) printf("constant %s %lld\n", #name, (long long)(PTPBMCA_##name));

int main(void)
{
    C(OK) C(ERR_INVALID_ARGUMENT) C(ERR_INVALID_ADDRESS) C(ERR_PERMISSION) C(ERR_ADDRESS_IN_USE) C(ERR_NETWORK)
    C(ERR_NO_SESSION) C(ERR_NOT_SYNCHRONIZED) C(ERR_TIMEOUT) C(ERR_WOULD_DEADLOCK) C(ERR_LIMIT) C(ERR_INTERNAL)
    C(CLOCK_REALTIME) C(CLOCK_MONOTONIC) C(ROLE_AUTO) C(ROLE_FOLLOW) C(ROLE_LEAD) C(LISTENING) C(FOLLOWING) C(LEADING)
    C(SYNC_SILENT) C(SYNC_ANNOUNCED) C(SYNC_ACQUIRING) C(SYNC_LOCKED) C(SYNC_HOLDOVER) C(SYNC_LEADING)
    C(LOG_OFF) C(LOG_ERROR) C(LOG_WARN) C(LOG_INFO) C(LOG_DEBUG) C(LOG_TRACE)
    C(EVENT_SYNCHRONIZED) C(EVENT_LOST) C(EVENT_EPOCH_CHANGED) C(EVENT_ROLE_CHANGED) C(EVENT_GRANDMASTER_CHANGED)
    C(EVENT_STOPPED)

    BEGIN(clock_offset)
    F(offset_ns) F(error_ns) F(path_delay_ns) F(skew_ppm) F(grandmaster_id) F(receiver_clock_id) F(local_clock_id)
    F(age_ns) F(epoch) F(role) F(sync_state) F(synchronized) F(reserved)
    END
    BEGIN(anchor_time)
    F(receiver_ns) F(seconds) F(fraction) F(timeline_id) F(epoch) F(reserved32) F(reserved)
    END
    BEGIN(config)
    F(struct_size) F(role) F(local_clock) F(priority1) F(priority2) F(clock_class) F(domain) F(major_sdo_id) F(clock_id)
    F(local_address) F(event_port) F(general_port) F(allow_ephemeral_ports) F(event_socket) F(general_socket)
    F(announce_timeout_ms) F(ready_timeout_ms) F(on_event) F(user_data)
    END
    BEGIN(error)
    F(result) F(os_error) F(message) F(reserved)
    END
    BEGIN(message_counts)
    F(sync) F(follow_up) F(delay_req) F(delay_resp) F(announce) F(signaling) F(pdelay_req) F(pdelay_resp)
    F(pdelay_resp_follow_up)
    END
    BEGIN(refusal_counts)
    F(wrong_source) F(wrong_identity) F(own_echo) F(wrong_domain) F(wrong_version) F(too_short) F(wrong_length)
    F(unknown_type) F(malformed_tlv) F(unmatched) F(duplicate) F(bad_timestamp) F(announce_loop) F(unrequested)
    F(implausible) F(outlier)
    END
    BEGIN(session_status)
    F(clock) F(event_port) F(general_port) F(ephemeral_ports) F(kernel_receive_stamps) F(kernel_send_stamps)
    F(announced)
    F(announced_priority1) F(announced_priority2) F(announced_clock_class) F(announced_clock_accuracy)
    F(announced_variance) F(announced_steps_removed) F(announced_time_source) F(reserved8) F(announced_grandmaster_id)
    F(received) F(sent) F(refused) F(pairs) F(delay_req_answered) F(delay_resp_used) F(steps) F(send_errors) F(advice)
    F(refused_flood) F(kernel_drops) F(reserved)
    END
    return holes;
}
