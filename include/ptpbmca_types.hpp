/// ptpbmca_types.hpp: results, names of things and times for ptpbmca.hpp, which includes it.
#ifndef PTPBMCA_TYPES_HPP
#define PTPBMCA_TYPES_HPP

#if !(defined(__cplusplus) && __cplusplus >= 201703L) && !(defined(_MSVC_LANG) && _MSVC_LANG >= 201703L)
#error "ptpbmca.hpp needs C++17; ptpbmca.h is for all before it."
#endif

#include "ptpbmca.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
// This is C++17.
#pragma clang diagnostic ignored "-Wc++98-compat"
#pragma clang diagnostic ignored "-Wc++98-compat-pedantic"
#pragma clang diagnostic ignored "-Wpre-c++17-compat"
#endif

namespace ptpbmca {

// --- Results ---------------------------------------------------------------------------------------------------------

/// How a call went; the numbers are those of C. A number of a later library is possible.
enum class Code : ptpbmca_result {
    /// It went well.
    ok = PTPBMCA_OK,
    /// An unknown constant, or settings that contradict another session's.
    invalid_argument = PTPBMCA_ERR_INVALID_ARGUMENT,
    /// Not an IPv4 or IPv6 literal (IPv6 may carry %scope) of one host.
    invalid_address = PTPBMCA_ERR_INVALID_ADDRESS,
    /// Ports below 1024 need a privilege; the message names the remedies.
    permission = PTPBMCA_ERR_PERMISSION,
    /// Another PTP program on this host has ports 319 and 320.
    address_in_use = PTPBMCA_ERR_ADDRESS_IN_USE,
    /// Any other socket error; the message carries the system's words.
    network = PTPBMCA_ERR_NETWORK,
    /// No such session, or not any more.
    no_session = PTPBMCA_ERR_NO_SESSION,
    /// The receiver's time is not known.
    not_synchronized = PTPBMCA_ERR_NOT_SYNCHRONIZED,
    /// It did not happen in time.
    timeout = PTPBMCA_ERR_TIMEOUT,
    /// The call would wait for the thread it is made on.
    would_deadlock = PTPBMCA_ERR_WOULD_DEADLOCK,
    /// Too many sessions, no thread to be had, or no memory.
    limit = PTPBMCA_ERR_LIMIT,
    /// A bug in the library.
    internal = PTPBMCA_ERR_INTERNAL,
};

/// The name of a code, such as "PTPBMCA_ERR_PERMISSION". Static. Thread-safe, realtime-safe.
inline const char *name(Code code) noexcept { return ptpbmca_result_name(static_cast<ptpbmca_result>(code)); }

/// A code as one sentence with its remedy. Static. Thread-safe, realtime-safe.
inline const char *message(Code code) noexcept { return ptpbmca_result_message(static_cast<ptpbmca_result>(code)); }

/// The code itself: what Result asks of its error.
constexpr Code code_of(Code code) noexcept { return code; }

/// Details of a failed Session::start(), for people.
class StartError {
public:
    /// No error.
    StartError() noexcept : error_{} {}
    /// What ptpbmca_start() said.
    explicit StartError(const ptpbmca_error &error) noexcept : error_(error) {}
    /// An error that has no details.
    explicit StartError(Code code) noexcept : error_{} { error_.result = static_cast<ptpbmca_result>(code); }
    /// What failed.
    Code code() const noexcept { return static_cast<Code>(error_.result); }
    /// The system's error number (errno); 0 where it has no part in it.
    std::int32_t os_error() const noexcept { return error_.os_error; }
    /// What was tried, what failed, what to do about it. UTF-8. Valid as long as this object.
    const char *message() const noexcept { return error_.message[0] ? error_.message : ptpbmca::message(code()); }

private:
    ptpbmca_error error_;
};

/// The code of a failed start: what Result asks of its error.
inline Code code_of(const StartError &error) noexcept { return error.code(); }

/// The message of a failed start: what Result asks of its error.
inline const char *message(const StartError &error) noexcept { return error.message(); }

template <class T, class E = Code>
class Result;

/// How a call without a value went.
template <class E>
class Result<void, E> {
public:
    /// How it went.
    constexpr Result(E error) noexcept : error_(std::move(error)) {}
    /// Whether it went well.
    constexpr bool ok() const noexcept { return code_of(error_) == Code::ok; }
    /// Whether it went well.
    constexpr explicit operator bool() const noexcept { return ok(); }
    /// What went wrong; Code::ok if nothing did.
    constexpr Code code() const noexcept { return code_of(error_); }
    /// What went wrong, with details where E has any.
    constexpr const E &error() const noexcept { return error_; }
    /// What went wrong, as a sentence. Valid as long as this object.
    const char *message() const noexcept
    {
        using ptpbmca::message;
        return message(error_);
    }

private:
    E error_;
};

/// A value, or why there is none. Like std::expected, but total: where there is no value, value() is a T like any new
/// one, or, of a conversion that says Code::not_synchronized, the time taken as it is (offset 0). Thread-safety and
/// realtime-safety are those of copying a T.
template <class T, class E>
class [[nodiscard]] Result : public Result<void, E> {
public:
    /// A success.
    constexpr Result(T value) noexcept : Result(std::move(value), E()) {}
    /// A failure.
    constexpr Result(E error) noexcept : Result(T(), std::move(error)) {}
    /// A value and how sure it is: a failure, unless the code of `error` is Code::ok.
    constexpr Result(T value, E error) noexcept : Result<void, E>(std::move(error)), value_(std::move(value)) {}

    /// The value; see above for when there is none.
    constexpr const T &value() const & noexcept { return value_; }
    /// The value; see above for when there is none.
    constexpr T &value() & noexcept { return value_; }
    /// The value, to be taken over.
    constexpr T &&value() && noexcept { return std::move(value_); }
    /// value().
    constexpr const T &operator*() const & noexcept { return value_; }
    /// value().
    constexpr T &operator*() & noexcept { return value_; }
    /// value(), to be taken over.
    constexpr T &&operator*() && noexcept { return std::move(value_); }
    /// A member of value().
    constexpr const T *operator->() const noexcept { return &value_; }
    /// A member of value().
    constexpr T *operator->() noexcept { return &value_; }
    /// The value if it went well, else `other`.
    constexpr T value_or(T other) const & noexcept { return this->ok() ? value_ : std::move(other); }

private:
    T value_;
};

// --- Names of things -------------------------------------------------------------------------------------------------

/// Which clock the local times of a session count in.
enum class Clock : ptpbmca_clock {
    /// Nanoseconds since the Unix epoch: std::chrono::system_clock.
    realtime = PTPBMCA_CLOCK_REALTIME,
    /// The platform's audio clock: CLOCK_MONOTONIC, mach_absolute_time, QueryPerformanceCounter.
    monotonic = PTPBMCA_CLOCK_MONOTONIC,
};

/// Which part a session is to play.
enum class RolePolicy : ptpbmca_role_policy {
    /// Best-master election, re-run on every Announce.
    automatic = PTPBMCA_ROLE_AUTO,
    /// Always follow the receiver, and never offer our clock.
    follow = PTPBMCA_ROLE_FOLLOW,
    /// Always be grandmaster.
    lead = PTPBMCA_ROLE_LEAD,
};

/// The part a session plays.
enum class Role : ptpbmca_role {
    /// Undecided: waiting for an Announce or a Sync.
    listening = PTPBMCA_LISTENING,
    /// The receiver's timeline is the session's.
    following = PTPBMCA_FOLLOWING,
    /// The local timeline is the session's, and the receiver is served with it.
    leading = PTPBMCA_LEADING,
};

/// How far a session's clock is to be believed.
enum class SyncState : ptpbmca_sync_state {
    /// Nothing heard from the receiver.
    silent = PTPBMCA_SYNC_SILENT,
    /// Announce heard, no Sync/Follow_Up pair yet.
    announced = PTPBMCA_SYNC_ANNOUNCED,
    /// Pairs arrive, not yet trusted.
    acquiring = PTPBMCA_SYNC_ACQUIRING,
    /// Following, within the bound.
    locked = PTPBMCA_SYNC_LOCKED,
    /// No Sync for 1 s: extrapolating, the bound grows; after 60 s ends in silent.
    holdover = PTPBMCA_SYNC_HOLDOVER,
    /// The local timeline is the session's timeline.
    leading = PTPBMCA_SYNC_LEADING,
};

/// What an event callback is told of.
enum class Event : ptpbmca_event {
    /// The receiver's time is known from now on.
    synchronized = PTPBMCA_EVENT_SYNCHRONIZED,
    /// It is not known any more.
    lost = PTPBMCA_EVENT_LOST,
    /// The timeline was re-anchored: anchors computed before are void.
    epoch_changed = PTPBMCA_EVENT_EPOCH_CHANGED,
    /// The session plays another part now.
    role_changed = PTPBMCA_EVENT_ROLE_CHANGED,
    /// The timeline is another clock's: anchors must name the new grandmaster_id.
    grandmaster_changed = PTPBMCA_EVENT_GRANDMASTER_CHANGED,
    /// The session has ended; the last event of a session.
    stopped = PTPBMCA_EVENT_STOPPED,
};

/// How much the log tells.
enum class LogLevel : ptpbmca_log_level {
    /// Nothing.
    off = PTPBMCA_LOG_OFF,
    /// What failed.
    error = PTPBMCA_LOG_ERROR,
    /// What will be heard, or rather not be heard.
    warn = PTPBMCA_LOG_WARN,
    /// Changes of role with their reason, outcomes of waits.
    info = PTPBMCA_LOG_INFO,
    /// First convergence.
    debug = PTPBMCA_LOG_DEBUG,
    /// Everything.
    trace = PTPBMCA_LOG_TRACE,
};

namespace detail {

template <std::size_t N>
constexpr const char *pick(const char *const (&names)[N], std::uint32_t which) noexcept
{
    return which < N ? names[which] : "?";
}

/// A span in the library's milliseconds: rounded up, and no less and no more than they can say.
template <class Rep, class Period>
constexpr std::uint32_t milliseconds_of(std::chrono::duration<Rep, Period> span) noexcept
{
    using Exact = std::chrono::duration<double, std::milli>;
    if (!(Exact(span).count() > 0))
        return 0;
    if (Exact(span).count() >= static_cast<double>(UINT32_MAX))
        return UINT32_MAX;
    return static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::milliseconds>(span).count());
}

/// Unsigned nanoseconds as a duration: 292 years at most.
constexpr std::chrono::nanoseconds duration_of(std::uint64_t ns) noexcept
{
    return std::chrono::nanoseconds(ns < INT64_MAX ? static_cast<std::int64_t>(ns) : INT64_MAX);
}

} // namespace detail

/// "LISTENING", "FOLLOWING", "LEADING". Static. Thread-safe, realtime-safe.
constexpr const char *name(Role role) noexcept
{
    return detail::pick({"LISTENING", "FOLLOWING", "LEADING"}, static_cast<std::uint32_t>(role));
}

/// "SILENT" to "LEADING". Static. Thread-safe, realtime-safe.
constexpr const char *name(SyncState state) noexcept
{
    return detail::pick({"SILENT", "ANNOUNCED", "ACQUIRING", "LOCKED", "HOLDOVER", "LEADING"},
                        static_cast<std::uint32_t>(state));
}

/// "SYNCHRONIZED" to "STOPPED". Static. Thread-safe, realtime-safe.
constexpr const char *name(Event event) noexcept
{
    return detail::pick(
        {"?", "SYNCHRONIZED", "LOST", "EPOCH_CHANGED", "ROLE_CHANGED", "GRANDMASTER_CHANGED", "STOPPED"},
        static_cast<std::uint32_t>(event));
}

// --- Times -----------------------------------------------------------------------------------------------------------

/// What std::chrono wants of a clock that counts nanoseconds. There is no now(): only a session can tell.
template <class Self>
struct Timeline {
    /// Nanoseconds.
    using duration = std::chrono::nanoseconds;
    /// 64 bits.
    using rep = duration::rep;
    /// 1 / 1,000,000,000.
    using period = duration::period;
    /// A moment.
    using time_point = std::chrono::time_point<Self, duration>;
    /// The receiver restarts, the wall clock is set: see ClockOffset::epoch.
    static constexpr bool is_steady = false;
};

/// The receiver's timeline. Its epoch is the receiver's own: often when it was switched on.
struct ReceiverClock : Timeline<ReceiverClock> {};

/// The clock that local times of a session count in, the one chosen with Config::local_clock().
struct LocalClock : Timeline<LocalClock> {};

/// A moment on the receiver's timeline, 0 to 292 years after its epoch, in nanoseconds.
using ReceiverTime = ReceiverClock::time_point;

/// A moment of the session's local clock, in nanoseconds.
using LocalTime = LocalClock::time_point;

/// Nanoseconds of the session's local clock as a time. Realtime-safe.
constexpr LocalTime local(std::chrono::nanoseconds since_epoch) noexcept { return LocalTime(since_epoch); }

/// Wall-clock time, for sessions in Clock::realtime. Realtime-safe.
constexpr LocalTime local(std::chrono::system_clock::time_point at) noexcept
{
    return LocalTime(at.time_since_epoch());
}

/// Steady time, for sessions in Clock::monotonic: steady_clock is that clock in libstdc++, in libc++ and in Microsoft's
/// library. Realtime-safe.
constexpr LocalTime local(std::chrono::steady_clock::time_point at) noexcept
{
    return LocalTime(at.time_since_epoch());
}

/// A local time of a session in Clock::realtime as wall-clock time. Realtime-safe.
constexpr std::chrono::system_clock::time_point system_time(LocalTime at) noexcept
{
    using namespace std::chrono;
    return system_clock::time_point(duration_cast<system_clock::duration>(at.time_since_epoch()));
}

/// A local time of a session in Clock::monotonic as steady time. Realtime-safe.
constexpr std::chrono::steady_clock::time_point steady_time(LocalTime at) noexcept
{
    using namespace std::chrono;
    return steady_clock::time_point(duration_cast<steady_clock::duration>(at.time_since_epoch()));
}

/// One consistent snapshot of a session's clock.
struct ClockOffset {
    /// Receiver timeline minus local clock, now; 0 while not synchronised.
    std::chrono::nanoseconds offset{0};
    /// The true offset lies within +-error in at least 99.9 % of samples, apart from the path's least delay while no
    /// Delay_Resp came (path_delay 0). nanoseconds::max() while not synchronised.
    std::chrono::nanoseconds error = std::chrono::nanoseconds::max();
    /// One-way mean path delay; 0 while unknown.
    std::chrono::nanoseconds path_delay{0};
    /// Since the last accepted Sync; nanoseconds::max() before the first.
    std::chrono::nanoseconds age = std::chrono::nanoseconds::max();
    /// Receiver clock rate against the local clock, in parts per million.
    double skew_ppm = 0;
    /// The clock whose timeline this is (timeline id for anchors); ours while leading; 0 while unknown.
    std::uint64_t grandmaster_id = 0;
    /// Identity of the receiver itself; 0 while unknown.
    std::uint64_t receiver_clock_id = 0;
    /// Our identity.
    std::uint64_t local_clock_id = 0;
    /// +1 whenever the timeline is re-anchored; anchors computed under another epoch are void.
    std::uint32_t epoch = 0;
    /// The part played towards the receiver.
    Role role = Role::listening;
    /// How far the clock is to be believed.
    SyncState state = SyncState::silent;
    /// Locked, in holdover, or leading.
    bool synchronized = false;

    /// Nothing known.
    ClockOffset() noexcept = default;
    /// What C says.
    explicit ClockOffset(const ptpbmca_clock_offset &c) noexcept
        : offset(c.offset_ns), error(detail::duration_of(c.error_ns)), path_delay(detail::duration_of(c.path_delay_ns)),
          age(detail::duration_of(c.age_ns)), skew_ppm(c.skew_ppm), grandmaster_id(c.grandmaster_id),
          receiver_clock_id(c.receiver_clock_id), local_clock_id(c.local_clock_id), epoch(c.epoch),
          role(static_cast<Role>(c.role)), state(static_cast<SyncState>(c.sync_state)), synchronized(c.synchronized != 0)
    {
    }
};

/// A moment on the receiver's timeline, all from the same snapshot.
struct AnchorTime {
    /// The moment.
    ReceiverTime time{};
    /// The same as whole seconds ...
    std::uint64_t seconds = 0;
    /// ... plus fraction / 2^64.
    std::uint64_t fraction = 0;
    /// The clock whose timeline this is: networkTimeTimelineID.
    std::uint64_t timeline_id = 0;
    /// The epoch this holds in.
    std::uint32_t epoch = 0;

    /// Nothing.
    AnchorTime() noexcept = default;
    /// What C says.
    explicit AnchorTime(const ptpbmca_anchor_time &c) noexcept
        : time(detail::duration_of(c.receiver_ns)), seconds(c.seconds), fraction(c.fraction), timeline_id(c.timeline_id),
          epoch(c.epoch)
    {
    }
};

/// Everything about a session, for people and logs: the fields are those of C. ClockOffset(status.clock) is its clock.
using SessionStatus = ptpbmca_session_status;

} // namespace ptpbmca

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

#endif // PTPBMCA_TYPES_HPP
