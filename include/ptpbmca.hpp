/// ptpbmca.hpp: ptpbmca for C++17 and later, header-only, over ptpbmca.h.
///
///     #include <cstdio>
///     #include <ptpbmca.hpp>
///
///     int main()
///     {
///         using namespace std::chrono_literals;
///         auto started = ptpbmca::Session::start("10.0.0.7", ptpbmca::Config().role(ptpbmca::RolePolicy::follow));
///         if (!started)
///             return std::fprintf(stderr, "%s\n", started.message()), 1;
///         ptpbmca::Session session = *std::move(started);
///         if (auto waited = session.await_sync(5s); !waited)
///             return std::fprintf(stderr, "%s\n", waited.message()), 1;
///         if (auto now = session.receiver_now())
///             std::printf("the speaker's clock reads %lld ns\n", (long long)now->time_since_epoch().count());
///     }
///
/// Nothing here throws, and nothing needs RTTI: calls return a Result, which is a value or a Code. Only copying what
/// on_event() and local_address() were given may throw, in Config and Session::start(), as std::bad_alloc.
///
/// Thread-safe: from any number of threads at once. Realtime-safe: bounded steps, no lock, no allocation, no system
/// call beyond reading a clock. Plain getters and constructors of values are realtime-safe.
#ifndef PTPBMCA_HPP
#define PTPBMCA_HPP

#include "ptpbmca_types.hpp"

#include <atomic>
#include <functional>
#include <new>
#include <string>

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunknown-warning-option"
// This is C++17.
#pragma clang diagnostic ignored "-Wc++98-compat"
#pragma clang diagnostic ignored "-Wc++98-compat-pedantic"
#pragma clang diagnostic ignored "-Wpre-c++17-compat"
#endif

namespace ptpbmca {

// --- Sessions --------------------------------------------------------------------------------------------------------

/// A session that somebody else owns: as cheap to copy as a pointer. It may outlive the session: every call then says
/// Code::no_session. This is what an audio thread holds.
class SessionRef {
public:
    /// No session: every call says Code::no_session.
    constexpr SessionRef() noexcept = default;
    /// A session of C.
    constexpr explicit SessionRef(ptpbmca_session *session) noexcept : session_(session) {}

    /// One consistent snapshot of the clock, aged to now. Not being synchronised is no failure here.
    /// Thread-safe, realtime-safe.
    Result<ClockOffset> offset() const noexcept
    {
        ptpbmca_clock_offset out;
        const Code code = static_cast<Code>(ptpbmca_offset(session_, &out));
        return code == Code::ok ? Result<ClockOffset>(ClockOffset(out)) : Result<ClockOffset>(code);
    }

    /// What the receiver's clock reads now. Code::not_synchronized: the value is the local clock's reading.
    /// Thread-safe, realtime-safe.
    Result<ReceiverTime> receiver_now() const noexcept
    {
        std::uint64_t ns = 0;
        const Code code = static_cast<Code>(ptpbmca_receiver_now(session_, &ns));
        return {ReceiverTime(detail::duration_of(ns)), code};
    }

    /// When `at` is on the receiver's timeline, never below 0. Reads no clock and trusts the last snapshot.
    /// Code::not_synchronized: the value is `at` itself, not below 0. Thread-safe, realtime-safe.
    Result<ReceiverTime> receiver_time(LocalTime at) const noexcept
    {
        std::uint64_t ns = 0;
        const Code code = static_cast<Code>(ptpbmca_receiver_time(session_, at.time_since_epoch().count(), &ns));
        return {ReceiverTime(detail::duration_of(ns)), code};
    }

    /// When `at` is on the local clock: the inverse of receiver_time() to one nanosecond. Below 0 is taken as 0.
    /// Code::not_synchronized: the value is `at` itself. Thread-safe, realtime-safe.
    Result<LocalTime> local_time(ReceiverTime at) const noexcept
    {
        std::int64_t ns = 0;
        const std::int64_t receiver = at.time_since_epoch().count();
        const Code code = static_cast<Code>(
            ptpbmca_local_time(session_, static_cast<std::uint64_t>(receiver < 0 ? 0 : receiver), &ns));
        return {LocalTime(std::chrono::nanoseconds(ns)), code};
    }

    /// An anchor for the local time `at`: seconds, fraction, timeline and epoch, all from one snapshot. Reads no clock.
    /// Code::not_synchronized: the value is `at` itself, not below 0. Thread-safe, realtime-safe.
    Result<AnchorTime> anchor(LocalTime at) const noexcept
    {
        ptpbmca_anchor_time out{};
        const Code code = static_cast<Code>(ptpbmca_anchor(session_, at.time_since_epoch().count(), &out));
        return {AnchorTime(out), code};
    }

    /// What the local clock reads now. Thread-safe, realtime-safe.
    Result<LocalTime> local_now() const noexcept
    {
        std::int64_t ns = 0;
        const Code code = static_cast<Code>(ptpbmca_local_now(session_, &ns));
        return {LocalTime(std::chrono::nanoseconds(ns)), code};
    }

    /// Waits until the session is synchronised, at most `timeout` (rounded up to milliseconds; 49 days at most). Wakes
    /// at once on synchronisation or stop. Code::timeout, Code::no_session (also if it is stopped meanwhile),
    /// Code::would_deadlock (from a callback). Thread-safe; not realtime-safe.
    template <class Rep, class Period>
    Result<void> await_sync(std::chrono::duration<Rep, Period> timeout) const noexcept
    {
        return static_cast<Code>(ptpbmca_await_sync(session_, detail::milliseconds_of(timeout)));
    }

    /// Everything about the session. Thread-safe, also from callbacks; not realtime-safe (takes a lock for the time of a
    /// copy).
    Result<SessionStatus> status() const noexcept
    {
        SessionStatus out{};
        const Code code = static_cast<Code>(ptpbmca_status(session_, &out));
        return {out, code};
    }

    /// Whether there was a session to refer to; it may have ended. Realtime-safe.
    constexpr explicit operator bool() const noexcept { return session_ != nullptr; }

    /// The session as C knows it; NULL: none. Realtime-safe.
    constexpr ptpbmca_session *native_handle() const noexcept { return session_; }

protected:
    /// The token; NULL: none.
    ptpbmca_session *session_ = nullptr;
};

/// Takes one event, with the snapshot of that moment. Runs on the library's worker thread, one at a time; must not block
/// and must not throw (the program ends). It may call every realtime-safe call and status(). None runs, and what was
/// captured is gone, once the session was stopped.
using EventCallback = std::function<void(SessionRef session, Event event, const ClockOffset &now)>;

/// How a session is to be; what is not set is as ptpbmca_config_init() says. Setters return the config:
/// `Config().role(RolePolicy::follow).local_clock(Clock::monotonic)`. Not thread-safe, not realtime-safe.
class Config {
public:
    /// The defaults.
    Config() noexcept
    {
        // A library that does not know this version leaves struct_size 0, and then start() says so.
        (void)ptpbmca_config_init(&config_, static_cast<std::uint32_t>(sizeof config_));
    }

    /// The part to play. RolePolicy::automatic.
    Config &role(RolePolicy policy) noexcept { config_.role = static_cast<ptpbmca_role_policy>(policy); return *this; }
    /// The clock all local times of the session count in. Clock::realtime.
    Config &local_clock(Clock clock) noexcept { config_.local_clock = static_cast<ptpbmca_clock>(clock); return *this; }
    /// priority1 announced. 0: by role, 250 for automatic (as a Mac), 128 for lead (as iOS).
    Config &priority1(std::uint8_t priority) noexcept { config_.priority1 = priority; return *this; }
    /// priority2 announced. 0: 128.
    Config &priority2(std::uint8_t priority) noexcept { config_.priority2 = priority; return *this; }
    /// clockClass announced. 0: by role.
    Config &clock_class(std::uint8_t clock_class) noexcept { config_.clock_class = clock_class; return *this; }
    /// PTP domainNumber. 0.
    Config &domain(std::uint8_t domain) noexcept { config_.domain = domain; return *this; }
    /// majorSdoId sent, 0 to 15. 1: the gPTP dialect of AirPlay; 0 for plain IEEE 1588 masters.
    Config &major_sdo_id(std::uint8_t id) noexcept { config_.major_sdo_id = id; return *this; }
    /// Our clock identity, the ClockID of the session set-up. 0: from a MAC address, else random.
    Config &clock_id(std::uint64_t id) noexcept { config_.clock_id = id; return *this; }
    /// An address of this host to send from and receive on; empty: any.
    Config &local_address(std::string address) { local_address_ = std::move(address); return *this; }
    /// UDP ports of event and general messages, at both ends. 319 and 320.
    Config &ports(std::uint16_t event, std::uint16_t general) noexcept
    {
        config_.event_port = event;
        config_.general_port = general;
        return *this;
    }
    /// If the ports cannot be had, bind any. false. Real receivers talk to 319 and 320 only.
    Config &allow_ephemeral_ports(bool allow = true) noexcept
    {
        config_.allow_ephemeral_ports = allow ? 1 : 0;
        return *this;
    }
    /// UDP sockets bound by someone privileged; the library works on duplicates. -1: none.
    Config &sockets(std::int64_t event, std::int64_t general) noexcept
    {
        config_.event_socket = event;
        config_.general_socket = general;
        return *this;
    }
    /// No Announce and no Sync for this long makes us grandmaster under automatic. 3 s. In whole milliseconds.
    template <class Rep, class Period>
    Config &announce_timeout(std::chrono::duration<Rep, Period> timeout) noexcept
    {
        config_.announce_timeout_ms = detail::milliseconds_of(timeout);
        return *this;
    }
    /// How long Session::start() waits for the role to be settled; 0: not at all. 5 s. In whole milliseconds.
    template <class Rep, class Period>
    Config &ready_timeout(std::chrono::duration<Rep, Period> timeout) noexcept
    {
        config_.ready_timeout_ms = detail::milliseconds_of(timeout);
        return *this;
    }
    /// Called with each event; see EventCallback. Each session has a copy of its own.
    Config &on_event(EventCallback callback) { on_event_ = std::move(callback); return *this; }

private:
    friend class Session;
    ptpbmca_config config_{};
    std::string local_address_{};
    EventCallback on_event_{};
};

namespace detail {

/// What a session's events need for as long as they may come.
struct Listener {
    explicit Listener(const EventCallback &callback) : on_event(callback) {}
    Listener(const Listener &) = delete;
    Listener &operator=(const Listener &) = delete;
    EventCallback on_event;
    /// The session's owner is gone, and nobody wants to be called any more.
    std::atomic<bool> muted{false};
    /// The last event was told.
    std::atomic<bool> ended{false};
    ptpbmca_session *session = nullptr;
    Listener *next = nullptr;
};

/// Sessions whose owner was destroyed in a callback, where no session can be stopped.
inline std::atomic<Listener *> unstopped{nullptr};

inline void on_event(void *user_data, ptpbmca_session *session, ptpbmca_event event,
                     const ptpbmca_clock_offset *now) noexcept
{
    Listener *listener = static_cast<Listener *>(user_data);
    if (!listener->muted.load(std::memory_order_acquire))
        listener->on_event(SessionRef(session), static_cast<Event>(event), ClockOffset(*now));
    if (event == PTPBMCA_EVENT_STOPPED)
        listener->ended.store(true, std::memory_order_release);
}

/// Frees what a session's events needed, unless one may still be running: of a session that C code stopped past its
/// owner, or of a library that broke down. It is left behind then.
inline void forget(Listener *listener, Code stopped) noexcept
{
    if (stopped == Code::ok || !listener->on_event || listener->ended.load(std::memory_order_acquire))
        delete listener;
}

inline void stop_later(Listener *listener) noexcept
{
    listener->muted.store(true, std::memory_order_release);
    listener->next = unstopped.load(std::memory_order_relaxed);
    while (!unstopped.compare_exchange_weak(listener->next, listener, std::memory_order_acq_rel))
        continue;
}

inline void stop_what_is_left() noexcept
{
    Listener *listener = unstopped.exchange(nullptr, std::memory_order_acq_rel);
    while (listener) {
        Listener *next = listener->next;
        const Code code = static_cast<Code>(ptpbmca_stop(listener->session));
        if (code == Code::would_deadlock)
            stop_later(listener);
        else
            forget(listener, code);
        listener = next;
    }
}

} // namespace detail

/// A session of one's own: stops when it ends. Move-only. Calls on it are as thread-safe as those of SessionRef; moving,
/// stopping and destroying it are one thread's business, as with any object.
class Session : public SessionRef {
public:
    /// No session.
    Session() noexcept = default;
    /// Takes the session over; `other` has none then. Its callback is not disturbed. Realtime-safe.
    Session(Session &&other) noexcept : SessionRef(other), listener_(other.listener_)
    {
        other.session_ = nullptr;
        other.listener_ = nullptr;
    }
    /// Ends the session there is, as the destructor does, and takes the other over. Not realtime-safe.
    Session &operator=(Session &&other) noexcept
    {
        Session taken(std::move(other));
        std::swap(session_, taken.session_);
        std::swap(listener_, taken.listener_);
        return *this;
    }
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;

    /// Stops the session. In a callback no session can be stopped: its own callback is then not called any more, and the
    /// next Session that starts or ends elsewhere stops it. Not realtime-safe.
    ~Session()
    {
        if (stop().code() == Code::would_deadlock)
            detail::stop_later(listener_);
    }

    /// Starts a session with the receiver at `receiver`: an IPv4 or IPv6 address (IPv6 may carry %interface), or several
    /// addresses of one receiver, separated by commas. Returns when the role is settled or Config::ready_timeout() has
    /// passed, which is no failure. See ptpbmca_start() for the errors. Thread-safe; not realtime-safe.
    static Result<Session, StartError> start(const char *receiver, const Config &config = Config())
    {
        detail::stop_what_is_left();
        Session session;
        session.listener_ = new (std::nothrow) detail::Listener(config.on_event_);
        if (!session.listener_)
            return StartError(Code::limit);
        ptpbmca_config c = config.config_;
        c.local_address = config.local_address_.empty() ? nullptr : config.local_address_.c_str();
        if (config.on_event_) {
            c.on_event = detail::on_event;
            c.user_data = session.listener_;
        }
        ptpbmca_error error{};
        const Code code = static_cast<Code>(ptpbmca_start(receiver, &c, &session.session_, &error));
        if (code != Code::ok) {
            // No session, no callback.
            delete session.listener_;
            session.listener_ = nullptr;
            return StartError(error);
        }
        session.listener_->session = session.session_;
        return session;
    }
    /// The same.
    static Result<Session, StartError> start(const std::string &receiver, const Config &config = Config())
    {
        return start(receiver.c_str(), config);
    }

    /// Stops the session: no callback of it runs when this has returned. Without a session: Code::ok.
    /// Code::would_deadlock (from a callback): it runs on. Code::no_session: C code stopped it. Not realtime-safe.
    Result<void> stop() noexcept
    {
        if (!session_)
            return Code::ok;
        const Code code = static_cast<Code>(ptpbmca_stop(session_));
        if (code == Code::would_deadlock)
            return code;
        detail::forget(listener_, code);
        session_ = nullptr;
        listener_ = nullptr;
        detail::stop_what_is_left();
        return code;
    }

    /// The session without its ownership, for an audio thread. Thread-safe, realtime-safe.
    SessionRef ref() const noexcept { return *this; }

private:
    detail::Listener *listener_ = nullptr;
};

// --- The rest --------------------------------------------------------------------------------------------------------

/// Sends the library's log, up to `max_level`, to `callback`, a function or a lambda without captures; nullptr or
/// LogLevel::off ends it. The former callback does not run any more when this has returned. See
/// ptpbmca_set_log_callback() for the errors. Thread-safe; not realtime-safe.
inline Result<void> set_log(ptpbmca_log_callback callback, LogLevel max_level, void *user_data = nullptr) noexcept
{
    return static_cast<Code>(
        ptpbmca_set_log_callback(callback, user_data, static_cast<ptpbmca_log_level>(max_level)));
}

/// The library's version, such as "0.1.0". Static. Thread-safe, realtime-safe.
inline const char *version() noexcept { return ptpbmca_version(); }

} // namespace ptpbmca

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

#endif // PTPBMCA_HPP
