// test: ptpbmca.hpp against a simulated receiver, and where nobody answers. Binds 127.0.31.x. Built with and without
// exceptions and RTTI.
//
//     test RECEIVER
#include <ptpbmca.hpp>

#include "receiver.h"

#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;
using ptpbmca::Code;
using ptpbmca::Config;
using ptpbmca::Event;
using ptpbmca::Session;
using ptpbmca::SessionRef;

namespace {

constexpr char here[] = "127.0.31.1";
constexpr char nobody[] = "127.0.31.3";

// --- What the compiler knows -----------------------------------------------------------------------------------------

static_assert(!std::is_copy_constructible_v<Session> && !std::is_copy_assignable_v<Session>);
static_assert(std::is_nothrow_move_constructible_v<Session> && std::is_nothrow_move_assignable_v<Session>);
static_assert(std::is_nothrow_destructible_v<Session>);
static_assert(std::is_trivially_copyable_v<SessionRef> && sizeof(SessionRef) == sizeof(void *));
static_assert(std::is_copy_constructible_v<Config>);

constexpr const SessionRef none;
static_assert(noexcept(none.offset()) && noexcept(none.receiver_now()) && noexcept(none.local_now()));
constexpr ptpbmca::LocalTime a_local_time;
constexpr ptpbmca::ReceiverTime a_receiver_time;
constexpr std::chrono::milliseconds a_span{1};
static_assert(noexcept(none.receiver_time(a_local_time)) && noexcept(none.local_time(a_receiver_time)));
static_assert(noexcept(none.anchor(a_local_time)) && noexcept(none.await_sync(a_span)) && noexcept(none.status()));
static_assert(noexcept(std::declval<Session &>().stop()) && noexcept(std::declval<Session &>().ref()));

using ptpbmca::detail::duration_of;
using ptpbmca::detail::milliseconds_of;
static_assert(milliseconds_of(-1s) == 0 && milliseconds_of(0s) == 0 && milliseconds_of(1ns) == 1);
static_assert(milliseconds_of(1500ms) == 1500 && milliseconds_of(1500001us) == 1501 && milliseconds_of(2h) == 7200000);
static_assert(milliseconds_of(std::chrono::hours::max()) == UINT32_MAX);
static_assert(milliseconds_of(std::chrono::duration<double>(0.25)) == 250);
static_assert(milliseconds_of(std::chrono::milliseconds(UINT32_MAX)) == UINT32_MAX);
static_assert(milliseconds_of(std::chrono::milliseconds(UINT32_MAX) - 1ms) == UINT32_MAX - 1);
static_assert(duration_of(5) == 5ns && duration_of(UINT64_MAX) == std::chrono::nanoseconds::max());
static_assert(duration_of(static_cast<std::uint64_t>(INT64_MAX) - 1).count() == INT64_MAX - 1);

constexpr ptpbmca::Result<int> good(5), bad(Code::timeout), passed(7, Code::not_synchronized);
static_assert(good.ok() && *good == 5 && good.code() == Code::ok && good.value_or(1) == 5);
static_assert(!bad && *bad == 0 && bad.error() == Code::timeout && bad.value_or(1) == 1);
static_assert(!passed && passed.value() == 7 && passed.value_or(1) == 1);

constexpr bool same(const char *a, const char *b)
{
    for (; *a && *a == *b; ++a, ++b)
        continue;
    return *a == *b;
}
static_assert(same(name(ptpbmca::SyncState::leading), "LEADING") && same(name(ptpbmca::Role::following), "FOLLOWING"));
static_assert(same(name(Event::synchronized), "SYNCHRONIZED") && same(name(Event::stopped), "STOPPED"));
static_assert(same(name(static_cast<Event>(99)), "?") && same(name(static_cast<ptpbmca::SyncState>(6)), "?"));
static_assert(system_time(ptpbmca::local(std::chrono::system_clock::time_point(3s))).time_since_epoch() == 3s);
static_assert(steady_time(ptpbmca::local(std::chrono::steady_clock::time_point(3s))).time_since_epoch() == 3s);

// --- Without a receiver ----------------------------------------------------------------------------------------------

Config loopback_config(std::uint16_t port)
{
    return Config().local_address(here).ports(port, static_cast<std::uint16_t>(port + 1)).ready_timeout(0s);
}

Session started(const char *receiver, const Config &config)
{
    auto result = Session::start(receiver, config);
    if (!result)
        FAIL("%s", result.message());
    return *std::move(result);
}

void without_session()
{
    Session empty;
    CHECK(!empty && empty.native_handle() == nullptr);
    CHECK(empty.offset().code() == Code::no_session && empty.receiver_now().code() == Code::no_session);
    CHECK(empty.receiver_time(ptpbmca::local(1s)).code() == Code::no_session);
    CHECK(empty.local_time(ptpbmca::ReceiverTime(1s)).code() == Code::no_session);
    CHECK(empty.anchor(ptpbmca::local(1s)).code() == Code::no_session && empty.local_now().code() == Code::no_session);
    CHECK(empty.await_sync(1ms).code() == Code::no_session && empty.status().code() == Code::no_session);
    CHECK(empty.stop().ok() && empty.stop().ok());
    CHECK(!strcmp(empty.offset().message(), ptpbmca_result_message(PTPBMCA_ERR_NO_SESSION)));
    CHECK(!strcmp(name(Code::no_session), "PTPBMCA_ERR_NO_SESSION") && !strcmp(ptpbmca::version(), ptpbmca_version()));
}

void refusals()
{
    auto refused = Session::start("the speaker", loopback_config(23419));
    CHECK(!refused && refused.code() == Code::invalid_address && strlen(refused.message()) > 10);
    CHECK(refused.error().code() == Code::invalid_address && !*refused);
    const Config odd = loopback_config(23419).role(static_cast<ptpbmca::RolePolicy>(9));
    CHECK(Session::start(std::string(nobody), odd).code() == Code::invalid_argument);
    CHECK(Session::start(nullptr, loopback_config(23419)).code() == Code::invalid_argument);
    // What was captured is gone with the session that was none.
    auto token = std::make_shared<int>(1);
    CHECK(!Session::start("?", loopback_config(23419).on_event([token](auto &&...) {})));
    CHECK(token.use_count() == 1);
    // A message also where C gave none.
    ptpbmca::StartError error(Code::limit);
    CHECK(!strcmp(error.message(), ptpbmca_result_message(PTPBMCA_ERR_LIMIT)) && error.os_error() == 0);
}

void settings()
{
    // Each reaches the library: what it says back, or refuses.
    Session session = started(nobody, loopback_config(23519)
                                          .role(ptpbmca::RolePolicy::lead)
                                          .clock_id(0x1122334455667788)
                                          .local_clock(ptpbmca::Clock::monotonic)
                                          .priority1(100)
                                          .priority2(101)
                                          .clock_class(102)
                                          .domain(3)
                                          .major_sdo_id(0)
                                          .announce_timeout(1s));
    CHECK(session.await_sync(10s));
    auto offset = session.offset();
    CHECK(offset && offset->local_clock_id == 0x1122334455667788 && offset->grandmaster_id == offset->local_clock_id);
    CHECK(offset->role == ptpbmca::Role::leading && offset->state == ptpbmca::SyncState::leading);
    CHECK(offset->synchronized && offset->error < 1s);
    auto status = session.status();
    CHECK(status && status->event_port == 23519 && status->general_port == 23520 && *status->advice);
    // The audio clock, which steady_clock is.
    auto before = ptpbmca::local(std::chrono::steady_clock::now());
    auto now = session.local_now();
    auto after = ptpbmca::local(std::chrono::steady_clock::now());
    CHECK(now && before <= *now && *now <= after);
    // Contradictions are refused, so each of these was heard.
    const Config as_it_is = loopback_config(23519).role(ptpbmca::RolePolicy::lead).clock_id(0x1122334455667788);
    auto contradicts = [](Config config) {
        return Session::start(nobody, config).code() == Code::invalid_argument;
    };
    Config all = Config(as_it_is).priority1(100).priority2(101).clock_class(102).domain(3).major_sdo_id(0);
    CHECK(Session::start(nobody, all));
    // C means the same by it: no setter sets another's field.
    ptpbmca_config c = loopback(here, 23519);
    c.role = PTPBMCA_ROLE_LEAD;
    c.clock_id = 0x1122334455667788;
    c.priority1 = 100;
    c.priority2 = 101;
    c.clock_class = 102;
    c.domain = 3;
    c.major_sdo_id = 0;
    ptpbmca_session *by_c = nullptr;
    GIVES(ptpbmca_start(nobody, &c, &by_c, nullptr), PTPBMCA_OK);
    GIVES(ptpbmca_stop(by_c), PTPBMCA_OK);
    CHECK(contradicts(Config(all).priority1(1)) && contradicts(Config(all).domain(1)));
    CHECK(contradicts(Config(all).clock_id(1)) && contradicts(Config(all).role(ptpbmca::RolePolicy::follow)));
    CHECK(contradicts(Config(all).major_sdo_id(16)) && contradicts(Config(all).sockets(7, -1)));
    CHECK(session.stop());
}

void before_synchronisation()
{
    Session session = started(nobody, loopback_config(23619).role(ptpbmca::RolePolicy::follow));
    CHECK(session.await_sync(20ms).code() == Code::timeout);
    const auto at = ptpbmca::local(std::chrono::system_clock::now());
    auto there = session.receiver_time(at);
    CHECK(there.code() == Code::not_synchronized && there->time_since_epoch() == at.time_since_epoch());
    auto below = session.receiver_time(ptpbmca::local(-5s));
    CHECK(below.code() == Code::not_synchronized && below->time_since_epoch() == 0s);
    auto back = session.local_time(*there);
    CHECK(back.code() == Code::not_synchronized && *back == at);
    CHECK(session.local_time(ptpbmca::ReceiverTime(-5s)).value().time_since_epoch() == 0s);
    auto anchor = session.anchor(ptpbmca::local(1500ms));
    CHECK(anchor.code() == Code::not_synchronized && anchor->time == ptpbmca::ReceiverTime(1500ms));
    CHECK(anchor->seconds == 1 && anchor->fraction == std::uint64_t{1} << 63);
    CHECK(session.receiver_now().code() == Code::not_synchronized);
    CHECK(session.receiver_now().value().time_since_epoch() >= at.time_since_epoch());
    auto offset = session.offset();
    CHECK(offset && !offset->synchronized && offset->state == ptpbmca::SyncState::silent && offset->offset == 0ns);
    CHECK(offset->error == std::chrono::nanoseconds::max() && offset->age == std::chrono::nanoseconds::max());

    // The reference outlives the session, and says so.
    SessionRef audio = session.ref();
    Session moved = std::move(session);
    CHECK(!session && session.stop() && moved && audio.offset());
    moved = Session();
    CHECK(!moved && audio.offset().code() == Code::no_session && audio);
    // Nobody waits for what is gone.
    Session other = started(nobody, loopback_config(23619).role(ptpbmca::RolePolicy::follow));
    Code woken = Code::ok;
    std::thread waiter([&woken, ref = other.ref()] { woken = ref.await_sync(1h).code(); });
    pause_ms(50);
    CHECK(other.stop());
    waiter.join();
    CHECK(woken == Code::no_session);
}

// --- Events ----------------------------------------------------------------------------------------------------------

void events()
{
    struct Seen {
        std::vector<Event> events;
        std::atomic<int> count{0};
        Code stop = Code::ok, wait = Code::ok;
    };
    auto seen = std::make_shared<Seen>();
    Config config = loopback_config(23719).announce_timeout(300ms).on_event(
        [seen](SessionRef session, Event event, const ptpbmca::ClockOffset &now) {
            auto offset = session.offset();
            CHECK(offset && offset->role == now.role && offset->synchronized == now.synchronized);
            seen->wait = session.await_sync(1s).code();
            seen->stop = static_cast<Code>(ptpbmca_stop(session.native_handle()));
            seen->events.push_back(event);
            seen->count++;
        });
    Session first = started(nobody, config);
    // The callback follows the session when it moves.
    Session second = std::move(first);
    EVENTUALLY(seen->count >= 2, 10);
    CHECK(seen->count == 2 && seen.use_count() == 3);
    CHECK(second.stop());
    CHECK(seen->count == 3 && seen.use_count() == 2);
    CHECK(seen->events[0] == Event::role_changed && seen->events[1] == Event::synchronized);
    CHECK(seen->events[2] == Event::stopped);
    CHECK(seen->wait == Code::would_deadlock && seen->stop == Code::would_deadlock);

    // C code stops the session behind our back: what was captured is gone with its owner all the same.
    Session third = started(nobody, config);
    CHECK(seen.use_count() == 3);
    CHECK(ptpbmca_stop(third.native_handle()) == PTPBMCA_OK && third.stop().code() == Code::no_session);
    CHECK(seen.use_count() == 2 && !third);
}

// A session that is destroyed in its own callback: that one is the last, and the next session stops it.
void destroyed_in_a_callback()
{
    auto token = std::make_shared<int>(1);
    std::optional<Session> session;
    std::atomic<bool> complete{false}, destroyed{false};
    std::atomic<int> late{0};
    SessionRef ref;
    const Config config = loopback_config(23819).announce_timeout(1s);
    session = started(nobody, Config(config).on_event([&, token](SessionRef, Event, auto &&) {
        if (destroyed)
            late++;
        else if (complete) {
            session.reset();
            destroyed = true;
        }
    }));
    ref = session->ref();
    complete = true;
    EVENTUALLY(destroyed, 10);
    pause_ms(50);
    CHECK(token.use_count() == 2);
    Session next = started(nobody, loopback_config(23829));
    CHECK(late == 0 && token.use_count() == 1 && ref.offset().code() == Code::no_session);
}

// --- Following -------------------------------------------------------------------------------------------------------

void follows(const char *program)
{
    const char *const options[] = {"--address",  "127.0.31.2", "--event-port", "23319", "--general-port", "23320",
                                   "--skew-ppm", "37.5",       "--peer",       here,    nullptr};
    receiver simulated = receiver_start(program, options);
    const Config config = loopback_config(23319).ready_timeout(5s);
    Session wall = started("127.0.31.2", config);
    Session audio = started("127.0.31.2", Config(config).local_clock(ptpbmca::Clock::monotonic));
    CHECK(wall.await_sync(15s) && audio.await_sync(15s));
    int outside = 0;
    constexpr int samples = 200;
    for (int i = 0; i < samples; i++) {
        const std::int64_t before = raw_monotonic();
        auto now = audio.receiver_now();
        const std::int64_t after = raw_monotonic();
        auto offset = audio.offset();
        CHECK(now && offset && offset->synchronized);
        const std::uint64_t truth = truth_at(&simulated, before + (after - before) / 2);
        const auto error = std::chrono::nanoseconds(now->time_since_epoch().count() - static_cast<std::int64_t>(truth));
        outside += std::chrono::abs(error) > offset->error + std::chrono::nanoseconds((after - before) / 2 + 1);
        pause_ms(10);
    }
    if (outside > 2)
        FAIL("%d of %d samples outside of the bound", outside, samples);

    // One moment by all ways: steady_clock, there and back, wall clock, anchor. A new snapshot may come in between.
    std::chrono::nanoseconds best = 1h, back = 1h, between = 1h, anchored = 1h;
    auto least = [](std::chrono::nanoseconds &least_yet, std::chrono::nanoseconds found) {
        least_yet = std::min(least_yet, std::chrono::abs(found));
    };
    for (int i = 0; i < 20; i++) {
        const auto steady = ptpbmca::local(std::chrono::steady_clock::now());
        const auto system = ptpbmca::local(std::chrono::system_clock::now());
        auto there = audio.receiver_time(steady);
        auto offset = audio.offset();
        CHECK(there && offset);
        least(best, there->time_since_epoch() - steady.time_since_epoch() - offset->offset);
        least(back, *audio.local_time(*there) - steady);
        auto anchor = audio.anchor(steady);
        CHECK(anchor && anchor->timeline_id == offset->grandmaster_id && anchor->epoch == offset->epoch);
        CHECK(anchor->seconds == static_cast<std::uint64_t>(anchor->time.time_since_epoch() / 1s));
        least(anchored, anchor->time - *there);
        least(between, *wall.receiver_time(system) - *there);
    }
    CHECK(back <= 1ns && anchored == 0ns && best < 50us && between < 1ms);
    auto status = wall.status();
    CHECK(status && status->announced && ptpbmca::ClockOffset(status->clock).role == ptpbmca::Role::following);
    receiver_end(&simulated);
}

// --- Log -------------------------------------------------------------------------------------------------------------

void logs()
{
    std::atomic<int> lines{0};
    auto count = [](void *counter, ptpbmca_log_level, const char *) { ++*static_cast<std::atomic<int> *>(counter); };
    CHECK(ptpbmca::set_log(count, ptpbmca::LogLevel::info, &lines));
    Session session = started(nobody, loopback_config(23919).role(ptpbmca::RolePolicy::lead));
    CHECK(session.await_sync(10s));
    CHECK(session.stop() && lines > 0);
    CHECK(ptpbmca::set_log(nullptr, ptpbmca::LogLevel::off));
    const int told = lines;
    session = started(nobody, loopback_config(23919).role(ptpbmca::RolePolicy::lead));
    CHECK(session.await_sync(10s) && lines == told);
    CHECK(ptpbmca::set_log(nullptr, static_cast<ptpbmca::LogLevel>(9)).code() == Code::invalid_argument);
}

} // namespace

int main(int argc, char **argv)
{
    CHECK(argc > 1);
    without_session();
    refusals();
    settings();
    before_synchronisation();
    events();
    destroyed_in_a_callback();
    logs();
    follows(argv[1]);
    return 0;
}
