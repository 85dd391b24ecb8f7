/*
 * ptpbmca: what time it is on the AirPlay 2 receiver you play to.
 *
 * The library speaks PTP with the receiver over UDP 319 and 320, follows its clock (or leads, where the receiver's is
 * no better), and turns local time into receiver time for any thread, an audio thread included, which never waits.
 *
 *     #include <inttypes.h>
 *     #include <stdio.h>
 *     #include <ptpbmca.h>
 *
 *     int main(void)
 *     {
 *         ptpbmca_session *session;
 *         ptpbmca_error error;
 *         if (ptpbmca_start("10.0.0.7", NULL, &session, &error) != PTPBMCA_OK) {
 *             fprintf(stderr, "%s\n", error.message);
 *             return 1;
 *         }
 *         ptpbmca_result result = ptpbmca_await_sync(session, 5000);
 *         if (result == PTPBMCA_OK) {
 *             uint64_t now;
 *             ptpbmca_receiver_now(session, &now);
 *             printf("the speaker's clock reads %" PRIu64 " ns\n", now);
 *         } else {
 *             fprintf(stderr, "%s\n", ptpbmca_result_message(result));
 *         }
 *         ptpbmca_stop(session);
 *         return 0;
 *     }
 *
 * Conventions
 * - Times are nanoseconds: int64_t on the session's local clock, uint64_t on the receiver's timeline.
 * - One sign: offset = receiver timeline minus local clock; receiver time = local time + offset.
 * - Calls return PTPBMCA_OK (0) or a negative PTPBMCA_ERR_. The outputs of a failing call are untouched, except where a
 *   conversion says PTPBMCA_ERR_NOT_SYNCHRONIZED: it then passes the local time through.
 * - Results, clocks, roles and states are fixed-width integers; an unknown value passed in is an error.
 * - Thread-safe: from any number of threads at once. Realtime-safe: bounded steps whatever other threads do, no lock, no
 *   allocation, no system call beyond reading a clock.
 * - Callbacks run on the library's worker thread and must not block; an exception that leaves one ends the process. None
 *   runs once ptpbmca_stop() has returned.
 * - After fork(), in the child, every call on a session gives PTPBMCA_ERR_NO_SESSION, and ptpbmca_stop() PTPBMCA_OK.
 *
 * This file is generated; it is changed where its functions are.
 */

#ifndef PTPBMCA_H
#define PTPBMCA_H

#include <stdint.h>

/*
 * What Objective-C and Swift read beside the types: which pointers may be NULL, and Swift's names. Empty elsewhere;
 * with PTPBMCA_NULLABILITY defined, clang reads it in C and C++ too.
 */
#if defined(__clang__) && (defined(__OBJC__) || defined(__swift__) || defined(PTPBMCA_NULLABILITY))
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-extension"
#pragma clang assume_nonnull begin
#define PTPBMCA_NONNULL _Nonnull
#define PTPBMCA_NULLABLE _Nullable
#define PTPBMCA_NULL_UNSPECIFIED _Null_unspecified
#define PTPBMCA_SWIFT_NAME(name) __attribute__((swift_name(#name)))
#else
#define PTPBMCA_NONNULL
#define PTPBMCA_NULLABLE
#define PTPBMCA_NULL_UNSPECIFIED
#define PTPBMCA_SWIFT_NAME(name)
#endif

/**
 * It went well.
 */
#define PTPBMCA_OK 0

/**
 * Null where it is not allowed, an unknown constant, a bad struct_size, or settings that contradict another session's.
 */
#define PTPBMCA_ERR_INVALID_ARGUMENT -1

/**
 * Not an IPv4 or IPv6 literal (IPv6 may carry %scope) of one host.
 */
#define PTPBMCA_ERR_INVALID_ADDRESS -2

/**
 * Ports below 1024 need a privilege; the message names the remedies.
 */
#define PTPBMCA_ERR_PERMISSION -3

/**
 * Another PTP program on this host has ports 319 and 320.
 */
#define PTPBMCA_ERR_ADDRESS_IN_USE -4

/**
 * Any other socket error; the message carries the system's words.
 */
#define PTPBMCA_ERR_NETWORK -5

/**
 * No such session, or not any more.
 */
#define PTPBMCA_ERR_NO_SESSION -6

/**
 * The receiver's time is not known.
 */
#define PTPBMCA_ERR_NOT_SYNCHRONIZED -7

/**
 * It did not happen in time.
 */
#define PTPBMCA_ERR_TIMEOUT -8

/**
 * The call would wait for the thread it is made on, such as ptpbmca_stop() from an event callback.
 */
#define PTPBMCA_ERR_WOULD_DEADLOCK -9

/**
 * More than 1,024 sessions, or the system refused a thread.
 */
#define PTPBMCA_ERR_LIMIT -10

/**
 * A bug in the library: a caught panic, never undefined behaviour. Also where the host has closed the descriptors that
 * the worker waits by.
 */
#define PTPBMCA_ERR_INTERNAL -11

/**
 * Nanoseconds since the Unix epoch (the default).
 */
#define PTPBMCA_CLOCK_REALTIME 0

/**
 * The platform's audio clock: CLOCK_MONOTONIC (Linux, Android), mach_absolute_time in ns (Apple),
 * QueryPerformanceCounter in ns (Windows).
 */
#define PTPBMCA_CLOCK_MONOTONIC 1

/**
 * Best-master election, re-run on every Announce.
 */
#define PTPBMCA_ROLE_AUTO 0

/**
 * Always follow the receiver, even a worse clock, and never offer ours: no Sync, no Announce (what a standalone HomePod
 * of OS 27 wants); Delay_Req only.
 */
#define PTPBMCA_ROLE_FOLLOW 1

/**
 * Always be grandmaster and ignore better clocks; announces the data set of iOS.
 */
#define PTPBMCA_ROLE_LEAD 2

/**
 * Undecided: waiting for an Announce or a Sync.
 */
#define PTPBMCA_LISTENING 0

/**
 * The receiver's timeline is the session's.
 */
#define PTPBMCA_FOLLOWING 1

/**
 * The local timeline is the session's, and the receiver is served with it.
 */
#define PTPBMCA_LEADING 2

/**
 * Nothing heard from the receiver.
 */
#define PTPBMCA_SYNC_SILENT 0

/**
 * Announce heard, no Sync/Follow_Up pair yet.
 */
#define PTPBMCA_SYNC_ANNOUNCED 1

/**
 * Pairs arrive, not yet trusted.
 */
#define PTPBMCA_SYNC_ACQUIRING 2

/**
 * Following, within the bound.
 */
#define PTPBMCA_SYNC_LOCKED 3

/**
 * No Sync for 1 s: extrapolating, error_ns grows; after 60 s ends in SILENT.
 */
#define PTPBMCA_SYNC_HOLDOVER 4

/**
 * The local timeline is the session's timeline.
 */
#define PTPBMCA_SYNC_LEADING 5

/**
 * Nothing.
 */
#define PTPBMCA_LOG_OFF 0

/**
 * What failed.
 */
#define PTPBMCA_LOG_ERROR 1

/**
 * What will be heard, or rather not be heard.
 */
#define PTPBMCA_LOG_WARN 2

/**
 * Changes of role with their reason, outcomes of waits.
 */
#define PTPBMCA_LOG_INFO 3

/**
 * First convergence.
 */
#define PTPBMCA_LOG_DEBUG 4

/**
 * Everything.
 */
#define PTPBMCA_LOG_TRACE 5

/**
 * The receiver's time is known from now on.
 */
#define PTPBMCA_EVENT_SYNCHRONIZED 1

/**
 * It is not known any more.
 */
#define PTPBMCA_EVENT_LOST 2

/**
 * The timeline was re-anchored: anchors computed before are void.
 */
#define PTPBMCA_EVENT_EPOCH_CHANGED 3

/**
 * The session plays another part now.
 */
#define PTPBMCA_EVENT_ROLE_CHANGED 4

/**
 * The timeline is another clock's: anchors must name the new grandmaster_id.
 */
#define PTPBMCA_EVENT_GRANDMASTER_CHANGED 5

/**
 * The session has ended; the last event of a session.
 */
#define PTPBMCA_EVENT_STOPPED 6

/**
 * A session. Opaque: a pointer to it is a token, never the address of anything. A stale, stopped or made-up one gives
 * PTPBMCA_ERR_NO_SESSION, from any thread, also while another thread is in ptpbmca_stop().
 */
typedef struct ptpbmca_session ptpbmca_session;

/**
 * What a call returns: PTPBMCA_OK or one of the PTPBMCA_ERR_ constants. Numbers are never reused.
 */
typedef int32_t ptpbmca_result PTPBMCA_SWIFT_NAME(PTPResult);

/**
 * The part a session plays.
 */
typedef uint32_t ptpbmca_role PTPBMCA_SWIFT_NAME(PTPRole);

/**
 * How far the session's clock is to be believed.
 */
typedef uint32_t ptpbmca_sync_state PTPBMCA_SWIFT_NAME(PTPSyncState);

/**
 * One consistent snapshot of a session's clock.
 */
typedef struct PTPBMCA_SWIFT_NAME(PTPClockOffset) ptpbmca_clock_offset {
    /**
     * Receiver timeline minus local clock, now, in ns; 0 while not synchronised. The one sign convention, everywhere.
     */
    int64_t offset_ns;
    /**
     * The true offset lies within +-error_ns in at least 99.9 % of samples, apart from the path's least delay while no
     * Delay_Resp came (path_delay_ns 0). UINT64_MAX while not synchronised.
     */
    uint64_t error_ns;
    /**
     * One-way mean path delay (half the round trip) in ns; 0 while unknown.
     */
    uint64_t path_delay_ns;
    /**
     * Receiver clock rate against the local clock, in parts per million.
     */
    double skew_ppm;
    /**
     * The clock whose timeline this is (timeline id for anchors); ours while LEADING; 0 while unknown.
     */
    uint64_t grandmaster_id;
    /**
     * Identity of the receiver itself; 0 while unknown.
     */
    uint64_t receiver_clock_id;
    /**
     * Our identity.
     */
    uint64_t local_clock_id;
    /**
     * Since the last accepted Sync, in ns; UINT64_MAX before the first.
     */
    uint64_t age_ns;
    /**
     * +1 whenever the timeline is re-anchored: receiver restart, clock step, new grandmaster, change of role; 0 until
     * then. Anchors computed under another epoch are void.
     */
    uint32_t epoch;
    /**
     * The part played towards the receiver.
     */
    ptpbmca_role role;
    /**
     * How far the clock is to be believed.
     */
    ptpbmca_sync_state sync_state;
    /**
     * 1: LOCKED, HOLDOVER or LEADING; else 0.
     */
    uint32_t synchronized;
    /**
     * Zero. Room to grow.
     */
    uint64_t reserved[4];
} ptpbmca_clock_offset;

/**
 * A moment on the receiver's timeline, all from the same snapshot.
 */
typedef struct PTPBMCA_SWIFT_NAME(PTPAnchorTime) ptpbmca_anchor_time {
    /**
     * Nanoseconds on the receiver's timeline.
     */
    uint64_t receiver_ns;
    /**
     * receiver_ns as whole seconds ...
     */
    uint64_t seconds;
    /**
     * ... plus fraction / 2^64.
     */
    uint64_t fraction;
    /**
     * The clock whose timeline this is: networkTimeTimelineID.
     */
    uint64_t timeline_id;
    /**
     * The epoch this holds in.
     */
    uint32_t epoch;
    /**
     * Zero.
     */
    uint32_t reserved32;
    /**
     * Zero. Room to grow.
     */
    uint64_t reserved[2];
} ptpbmca_anchor_time;

/**
 * Which part a session is to play towards its receiver.
 */
typedef uint32_t ptpbmca_role_policy PTPBMCA_SWIFT_NAME(PTPRolePolicy);

/**
 * Which clock the caller's local_ns count in.
 */
typedef uint32_t ptpbmca_clock PTPBMCA_SWIFT_NAME(PTPClock);

/**
 * What an event callback is told of.
 */
typedef uint32_t ptpbmca_event PTPBMCA_SWIFT_NAME(PTPEvent);

/**
 * Takes one event, with the snapshot of that moment. Runs on the worker thread, one at a time; must not block or unwind.
 * It may call every realtime-safe function and ptpbmca_status(). `now` is valid during the call.
 */
typedef void (*ptpbmca_event_callback)(void *PTPBMCA_NULLABLE user_data,
                                       struct ptpbmca_session *session,
                                       ptpbmca_event event,
                                       const struct ptpbmca_clock_offset *now)
    PTPBMCA_SWIFT_NAME(PTPEventCallback);

/**
 * How a session is to be. ptpbmca_config_init() fills every field with its default; change what you need.
 */
typedef struct PTPBMCA_SWIFT_NAME(PTPConfig) ptpbmca_config {
    /**
     * sizeof(ptpbmca_config), set by ptpbmca_config_init(): how the library knows the caller's version.
     */
    uint32_t struct_size;
    /**
     * PTPBMCA_ROLE_AUTO.
     */
    ptpbmca_role_policy role;
    /**
     * PTPBMCA_CLOCK_REALTIME: the clock all local times of this session count in.
     */
    ptpbmca_clock local_clock;
    /**
     * priority1 announced. 0: by role, 250 for AUTO (as a Mac: yields to a HomePod's 248), 128 for LEAD (as iOS).
     */
    uint8_t priority1;
    /**
     * priority2 announced. 0: 128.
     */
    uint8_t priority2;
    /**
     * clockClass announced. 0: by role, 248 for AUTO, 6 for LEAD; accuracy, variance and time source go with it.
     */
    uint8_t clock_class;
    /**
     * PTP domainNumber. 0.
     */
    uint8_t domain;
    /**
     * majorSdoId sent, 0 to 15; any is accepted. 1: the gPTP dialect of AirPlay; 0 for plain IEEE 1588 masters.
     */
    uint8_t major_sdo_id;
    /**
     * Our clock identity. 0: derived from a MAC address as Apple does (MAC + 0x0008), else random. Must equal the ClockID
     * the host advertises in its session set-up.
     */
    uint64_t clock_id;
    /**
     * NULL: any. An address of this host to send from and receive on, whose interface joins 224.0.1.129 or ff0e::181.
     */
    const char *PTPBMCA_NULLABLE local_address;
    /**
     * UDP port of event messages, at both ends. 319.
     */
    uint16_t event_port;
    /**
     * UDP port of general messages, at both ends. 320.
     */
    uint16_t general_port;
    /**
     * 0. 1: if the ports cannot be had, bind any and say so in status and log. Real receivers talk to 319 and 320 only.
     */
    uint32_t allow_ephemeral_ports;
    /**
     * -1. A UDP socket for event messages bound by someone privileged; the library works on a duplicate.
     */
    int64_t event_socket;
    /**
     * -1. The same for general messages; both or none.
     */
    int64_t general_socket;
    /**
     * No Announce and no Sync for this long makes us grandmaster under AUTO. 3000.
     */
    uint32_t announce_timeout_ms;
    /**
     * How long ptpbmca_start() waits for the role to be settled; 0: not at all. 5000.
     */
    uint32_t ready_timeout_ms;
    /**
     * NULL. Called with each event, on the worker thread.
     */
    ptpbmca_event_callback PTPBMCA_NULLABLE on_event;
    /**
     * Passed to on_event.
     */
    void *PTPBMCA_NULLABLE user_data;
} ptpbmca_config;

/**
 * Details of a failed start, for people.
 */
typedef struct PTPBMCA_SWIFT_NAME(PTPError) ptpbmca_error {
    /**
     * What ptpbmca_start() returned.
     */
    ptpbmca_result result;
    /**
     * The system's error number (errno); 0 where it has no part in it.
     */
    int32_t os_error;
    /**
     * What was tried, what failed, what to do about it: one or a few sentences, UTF-8, ends with a zero.
     */
    char message[256];
    /**
     * Zero. Room to grow.
     */
    uint64_t reserved[4];
} ptpbmca_error;

/**
 * Counts of each message type.
 */
typedef struct PTPBMCA_SWIFT_NAME(PTPMessageCounts) ptpbmca_message_counts {
    /**
     * Sync.
     */
    uint64_t sync;
    /**
     * Follow_Up.
     */
    uint64_t follow_up;
    /**
     * Delay_Req.
     */
    uint64_t delay_req;
    /**
     * Delay_Resp.
     */
    uint64_t delay_resp;
    /**
     * Announce.
     */
    uint64_t announce;
    /**
     * Signaling.
     */
    uint64_t signaling;
    /**
     * Pdelay_Req.
     */
    uint64_t pdelay_req;
    /**
     * Pdelay_Resp.
     */
    uint64_t pdelay_resp;
    /**
     * Pdelay_Resp_Follow_Up.
     */
    uint64_t pdelay_resp_follow_up;
} ptpbmca_message_counts;

/**
 * Counts of packets refused, by reason.
 */
typedef struct PTPBMCA_SWIFT_NAME(PTPRefusalCounts) ptpbmca_refusal_counts {
    /**
     * From an address of no session of this port pair. In a flood of those the kernel keeps them away: see kernel_drops.
     */
    uint64_t wrong_source;
    /**
     * From the receiver's address, but another clock than the one listened to.
     */
    uint64_t wrong_identity;
    /**
     * With our own identity as source.
     */
    uint64_t own_echo;
    /**
     * Another domainNumber.
     */
    uint64_t wrong_domain;
    /**
     * Not PTP version 2.
     */
    uint64_t wrong_version;
    /**
     * Shorter than a header.
     */
    uint64_t too_short;
    /**
     * messageLength beyond the datagram, or below the least of its type.
     */
    uint64_t wrong_length;
    /**
     * A message type we take no part in.
     */
    uint64_t unknown_type;
    /**
     * A TLV that runs past the message.
     */
    uint64_t malformed_tlv;
    /**
     * A Sync or Follow_Up whose other half never came.
     */
    uint64_t unmatched;
    /**
     * Seen before.
     */
    uint64_t duplicate;
    /**
     * A timestamp that no clock reads.
     */
    uint64_t bad_timestamp;
    /**
     * An Announce that came in a circle: path trace with our clock, or stepsRemoved of 255 and more.
     */
    uint64_t announce_loop;
    /**
     * A Delay_Resp to somebody else, or to no request of ours.
     */
    uint64_t unrequested;
    /**
     * A Delay_Resp whose times fit no reading of its correction.
     */
    uint64_t implausible;
    /**
     * A Sync/Follow_Up pair that the estimate did not use.
     */
    uint64_t outlier;
} ptpbmca_refusal_counts;

/**
 * Everything about a session, for people and logs.
 */
typedef struct PTPBMCA_SWIFT_NAME(PTPSessionStatus) ptpbmca_session_status {
    /**
     * The clock, as ptpbmca_offset() gives it.
     */
    struct ptpbmca_clock_offset clock;
    /**
     * Bound port for event messages.
     */
    uint16_t event_port;
    /**
     * Bound port for general messages.
     */
    uint16_t general_port;
    /**
     * 1: the ports asked for could not be had, and others were allowed.
     */
    uint32_t ephemeral_ports;
    /**
     * 1: the kernel stamps what arrives.
     */
    uint32_t kernel_receive_stamps;
    /**
     * 1: the kernel stamped the last message sent that needed it.
     */
    uint32_t kernel_send_stamps;
    /**
     * 1: the receiver has announced itself, and the fields below that begin with announced_ are its data set.
     */
    uint32_t announced;
    /**
     * priority1.
     */
    uint8_t announced_priority1;
    /**
     * priority2.
     */
    uint8_t announced_priority2;
    /**
     * clockClass.
     */
    uint8_t announced_clock_class;
    /**
     * clockAccuracy.
     */
    uint8_t announced_clock_accuracy;
    /**
     * offsetScaledLogVariance.
     */
    uint16_t announced_variance;
    /**
     * stepsRemoved.
     */
    uint16_t announced_steps_removed;
    /**
     * timeSource.
     */
    uint8_t announced_time_source;
    /**
     * Zero.
     */
    uint8_t reserved8[3];
    /**
     * grandmasterIdentity.
     */
    uint64_t announced_grandmaster_id;
    /**
     * Well-formed messages received from the receiver.
     */
    struct ptpbmca_message_counts received;
    /**
     * Messages sent to the receiver.
     */
    struct ptpbmca_message_counts sent;
    /**
     * Packets refused.
     */
    struct ptpbmca_refusal_counts refused;
    /**
     * Sync/Follow_Up pairs completed.
     */
    uint64_t pairs;
    /**
     * Delay_Req of the receiver answered.
     */
    uint64_t delay_req_answered;
    /**
     * Delay_Resp used for the path delay.
     */
    uint64_t delay_resp_used;
    /**
     * Steps of the receiver's clock seen.
     */
    uint64_t steps;
    /**
     * Sends that the system refused; they are tried again with the next round.
     */
    uint64_t send_errors;
    /**
     * One sentence: what was heard, what is missing, what to check. Static.
     */
    const char *PTPBMCA_NULL_UNSPECIFIED advice;
    /**
     * Packets refused because more of their kind came in a second than any clock sends.
     */
    uint64_t refused_flood;
    /**
     * Packets to the ports that the kernel dropped: from other addresses while a flood of those is kept away, or because
     * the socket's buffer was full. For which reason, it does not tell; 0 where it tells nothing. Counted once a second.
     */
    uint64_t kernel_drops;
    /**
     * Zero. Room to grow.
     */
    uint64_t reserved[6];
} ptpbmca_session_status;

/**
 * How much the log tells.
 */
typedef uint32_t ptpbmca_log_level PTPBMCA_SWIFT_NAME(PTPLogLevel);

/**
 * Takes one line of log. Runs on the worker thread, one at a time; must not block or unwind. It may call every
 * realtime-safe function and ptpbmca_status(). `message` is valid during the call.
 */
typedef void (*ptpbmca_log_callback)(void *PTPBMCA_NULLABLE user_data, ptpbmca_log_level level, const char *message)
    PTPBMCA_SWIFT_NAME(PTPLogCallback);


#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Takes one consistent snapshot of the session's clock, aged to now, into `out`.
 *
 * Errors: PTPBMCA_ERR_INVALID_ARGUMENT (out is NULL), PTPBMCA_ERR_NO_SESSION, PTPBMCA_ERR_INTERNAL. Not being
 * synchronised is no error here: see `synchronized` and `sync_state`.
 *
 * Thread-safe: yes. Realtime-safe: yes.
 *
 * `out` is NULL or valid for writing.
 */
ptpbmca_result ptpbmca_offset(const struct ptpbmca_session *PTPBMCA_NULLABLE session,
                              struct ptpbmca_clock_offset *out)
    PTPBMCA_SWIFT_NAME(ptpOffset(_:into:));

/**
 * Converts a time of the session's local clock, `local_ns`, to nanoseconds on the receiver's timeline. Never below 0.
 * Reads no clock and trusts the last snapshot.
 *
 * Errors: PTPBMCA_ERR_NOT_SYNCHRONIZED, and then `receiver_ns` is `local_ns` itself, not below 0;
 * PTPBMCA_ERR_INVALID_ARGUMENT (receiver_ns is NULL), PTPBMCA_ERR_NO_SESSION, PTPBMCA_ERR_INTERNAL.
 *
 * Thread-safe: yes. Realtime-safe: yes.
 *
 * `receiver_ns` is NULL or valid for writing.
 */
ptpbmca_result ptpbmca_receiver_time(const struct ptpbmca_session *PTPBMCA_NULLABLE session,
                                     int64_t local_ns,
                                     uint64_t *receiver_ns)
    PTPBMCA_SWIFT_NAME(ptpReceiverTime(_:local:into:));

/**
 * Tells what the receiver's clock reads now, in nanoseconds on its timeline.
 *
 * Errors: as for ptpbmca_receiver_time(); not synchronised, the local clock's reading is written.
 *
 * Thread-safe: yes. Realtime-safe: yes.
 *
 * `receiver_ns` is NULL or valid for writing.
 */
ptpbmca_result ptpbmca_receiver_now(const struct ptpbmca_session *PTPBMCA_NULLABLE session, uint64_t *receiver_ns)
    PTPBMCA_SWIFT_NAME(ptpReceiverNow(_:into:));

/**
 * Converts nanoseconds on the receiver's timeline to the session's local clock: the inverse of
 * ptpbmca_receiver_time() to one nanosecond. Reads no clock and trusts the last snapshot.
 *
 * Errors: as for ptpbmca_receiver_time(); not synchronised, `local_ns` is `receiver_ns` itself.
 *
 * Thread-safe: yes. Realtime-safe: yes.
 *
 * `local_ns` is NULL or valid for writing.
 */
ptpbmca_result ptpbmca_local_time(const struct ptpbmca_session *PTPBMCA_NULLABLE session,
                                  uint64_t receiver_ns,
                                  int64_t *local_ns)
    PTPBMCA_SWIFT_NAME(ptpLocalTime(_:receiver:into:));

/**
 * Makes an anchor for the local time `local_ns`: receiver time as nanoseconds and as seconds with a binary fraction,
 * with the timeline's clock and the epoch it holds in, all from one snapshot. Reads no clock and trusts the last
 * snapshot.
 *
 * Errors: as for ptpbmca_receiver_time(); not synchronised, the time written is `local_ns` itself, not below 0.
 *
 * Thread-safe: yes. Realtime-safe: yes.
 *
 * `out` is NULL or valid for writing.
 */
ptpbmca_result ptpbmca_anchor(const struct ptpbmca_session *PTPBMCA_NULLABLE session,
                              int64_t local_ns,
                              struct ptpbmca_anchor_time *out)
    PTPBMCA_SWIFT_NAME(ptpAnchor(_:local:into:));

/**
 * Reads the session's local clock, the one `local_ns` count in, in nanoseconds.
 *
 * Errors: PTPBMCA_ERR_INVALID_ARGUMENT (local_ns is NULL), PTPBMCA_ERR_NO_SESSION, PTPBMCA_ERR_INTERNAL.
 *
 * Thread-safe: yes. Realtime-safe: yes.
 *
 * `local_ns` is NULL or valid for writing.
 */
ptpbmca_result ptpbmca_local_now(const struct ptpbmca_session *PTPBMCA_NULLABLE session,
                                 int64_t *local_ns)
    PTPBMCA_SWIFT_NAME(ptpLocalNow(_:into:));

/**
 * Fills every field of a config with its default.
 *
 * Pass sizeof(ptpbmca_config) as `struct_size`: it tells the library which version the caller was compiled with.
 *
 * Errors: PTPBMCA_ERR_INVALID_ARGUMENT (config is NULL, or no version has this size).
 *
 * Thread-safe: yes. Realtime-safe: yes.
 *
 * `config` is NULL or valid for writing `struct_size` bytes.
 */
ptpbmca_result ptpbmca_config_init(struct ptpbmca_config *config,
                                   uint32_t struct_size)
    PTPBMCA_SWIFT_NAME(ptpConfigInit(_:size:));

/**
 * Starts a session with the receiver at `receiver`: an IPv4 or IPv6 address (IPv6 may carry %interface), or several
 * addresses of one receiver, separated by commas. `config` NULL: defaults; `error` NULL: no details.
 *
 * Returns when the role is settled (AUTO: an Announce decided it, or the wait for one ended; FOLLOW: an Announce or
 * Sync was heard; LEAD: at once) or when ready_timeout_ms has passed. Not being ready is no error: the session runs on.
 * Sessions of one process share one worker thread and, with equal ports and local address, one pair of sockets.
 *
 * Errors: PTPBMCA_ERR_INVALID_ARGUMENT, PTPBMCA_ERR_INVALID_ADDRESS, PTPBMCA_ERR_PERMISSION,
 * PTPBMCA_ERR_ADDRESS_IN_USE, PTPBMCA_ERR_NETWORK, PTPBMCA_ERR_LIMIT, PTPBMCA_ERR_WOULD_DEADLOCK (from a callback),
 * PTPBMCA_ERR_NO_SESSION (in a child after fork), PTPBMCA_ERR_INTERNAL. `*session` is then untouched.
 *
 * Thread-safe: yes. Realtime-safe: no.
 *
 * `receiver` is NULL or a string that ends with a zero; `config` is NULL or as ptpbmca_config_init() made it, its
 * pointers valid during the call, on_event and user_data until ptpbmca_stop() returns; `session` and `error` are NULL or
 * valid for writing.
 */
ptpbmca_result ptpbmca_start(const char *receiver,
                             const struct ptpbmca_config *PTPBMCA_NULLABLE config,
                             struct ptpbmca_session *PTPBMCA_NULLABLE *PTPBMCA_NONNULL session,
                             struct ptpbmca_error *PTPBMCA_NULLABLE error)
    PTPBMCA_SWIFT_NAME(ptpStart(_:config:session:error:));

/**
 * Waits until the session is synchronised, at most `timeout_ms` milliseconds. Wakes at once on synchronisation or stop.
 *
 * Errors: PTPBMCA_ERR_TIMEOUT, PTPBMCA_ERR_NO_SESSION (also if it is stopped meanwhile), PTPBMCA_ERR_WOULD_DEADLOCK
 * (from a callback), PTPBMCA_ERR_INTERNAL.
 *
 * Thread-safe: yes. Realtime-safe: no.
 */
ptpbmca_result ptpbmca_await_sync(const struct ptpbmca_session *PTPBMCA_NULLABLE session,
                                  uint32_t timeout_ms)
    PTPBMCA_SWIFT_NAME(ptpAwaitSync(_:timeoutMilliseconds:));

/**
 * Tells everything about a session into `out`: the clock, bound ports, the receiver's Announce, counters of messages and
 * refusals, and advice to a person whose speaker stays silent.
 *
 * Errors: PTPBMCA_ERR_INVALID_ARGUMENT (out is NULL), PTPBMCA_ERR_NO_SESSION, PTPBMCA_ERR_INTERNAL.
 *
 * Thread-safe: yes, and from callbacks. Realtime-safe: no (takes a lock for the time of a copy).
 *
 * `out` is NULL or valid for writing.
 */
ptpbmca_result ptpbmca_status(const struct ptpbmca_session *PTPBMCA_NULLABLE session,
                              struct ptpbmca_session_status *out)
    PTPBMCA_SWIFT_NAME(ptpStatus(_:into:));

/**
 * Stops a session. None of its callbacks runs when this has returned; the last session's end closes the sockets and the
 * worker. NULL is no session and fine.
 *
 * Errors: PTPBMCA_ERR_NO_SESSION (stopped before, or by another thread), PTPBMCA_ERR_WOULD_DEADLOCK (from a callback),
 * PTPBMCA_ERR_INTERNAL.
 *
 * Thread-safe: yes. Realtime-safe: no.
 */
ptpbmca_result ptpbmca_stop(struct ptpbmca_session *PTPBMCA_NULLABLE session)
    PTPBMCA_SWIFT_NAME(ptpStop(_:));

/**
 * Sends the library's log, up to `max_level`, to `callback`; NULL or PTPBMCA_LOG_OFF ends it. The library is silent until
 * then. The former callback does not run any more when this has returned.
 *
 * Errors: PTPBMCA_ERR_INVALID_ARGUMENT (no such level; or this is a Rust program with a logger of its own, which gets the
 * log already), PTPBMCA_ERR_WOULD_DEADLOCK (from a log callback), PTPBMCA_ERR_NO_SESSION (in a child after fork).
 *
 * Thread-safe: yes. Realtime-safe: no.
 *
 * `callback` may be called with `user_data`, from the worker thread, until it is replaced.
 */
ptpbmca_result ptpbmca_set_log_callback(ptpbmca_log_callback PTPBMCA_NULLABLE callback,
                                        void *PTPBMCA_NULLABLE user_data,
                                        ptpbmca_log_level max_level)
    PTPBMCA_SWIFT_NAME(ptpSetLogCallback(_:userData:maxLevel:));

/**
 * The name of a result, such as "PTPBMCA_ERR_PERMISSION"; "PTPBMCA_ERR_UNKNOWN" for a number that is none. Static.
 *
 * Thread-safe: yes. Realtime-safe: yes.
 */
const char *ptpbmca_result_name(ptpbmca_result result)
    PTPBMCA_SWIFT_NAME(ptpResultName(_:));

/**
 * A result as one sentence with its remedy. Static.
 *
 * Thread-safe: yes. Realtime-safe: yes.
 */
const char *ptpbmca_result_message(ptpbmca_result result)
    PTPBMCA_SWIFT_NAME(ptpResultMessage(_:));

/**
 * The library's version, such as "0.1.0". Static.
 *
 * Thread-safe: yes. Realtime-safe: yes.
 */
const char *ptpbmca_version(void)
    PTPBMCA_SWIFT_NAME(ptpVersion());

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#if defined(__clang__) && (defined(__OBJC__) || defined(__swift__) || defined(PTPBMCA_NULLABILITY))
#pragma clang assume_nonnull end
#pragma clang diagnostic pop
#endif
#undef PTPBMCA_NONNULL
#undef PTPBMCA_NULLABLE
#undef PTPBMCA_NULL_UNSPECIFIED
#undef PTPBMCA_SWIFT_NAME

#endif  /* PTPBMCA_H */
