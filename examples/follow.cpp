// follow: shows what time it is on a receiver, once a second, until Ctrl-C. In C++17; see follow.c for all options.
//
//     follow RECEIVER [--local ADDRESS] [--ports EVENT GENERAL] [--seconds N]
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ptpbmca.hpp>
#include <thread>

using namespace std::chrono_literals;

static volatile std::sig_atomic_t stopped = 0;

static double in_us(std::chrono::nanoseconds span)
{
    return std::chrono::duration<double, std::micro>(span).count();
}

static void show(ptpbmca::SessionRef session)
{
    const auto now = session.offset();
    if (!now) {
        std::printf("%s\n", now.message());
        return;
    }
    std::printf("%-9s  %-9s  %20" PRId64 "  %+9.3f", name(now->state), name(now->role),
                static_cast<std::int64_t>(now->offset.count()), now->skew_ppm);
    if (now->synchronized)
        std::printf("  %9.1f  %9.1f  %5" PRIu32 "\n", in_us(now->error), in_us(now->path_delay), now->epoch);
    else if (const auto status = session.status())
        std::printf("  %s\n", status->advice);
    std::fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *receiver = nullptr;
    std::chrono::duration<double> length(0);
    auto config = ptpbmca::Config().local_clock(ptpbmca::Clock::monotonic).on_event(
        [](ptpbmca::SessionRef, ptpbmca::Event event, const ptpbmca::ClockOffset &now) {
            // A player would void the anchors of another epoch here.
            std::fprintf(stderr, "%s, epoch %" PRIu32 "\n", name(event), now.epoch);
        });
    for (int i = 1; i < argc; i++) {
        if (!std::strcmp(argv[i], "--local") && i + 1 < argc)
            config.local_address(argv[++i]);
        else if (!std::strcmp(argv[i], "--ports") && i + 2 < argc) {
            const auto event = static_cast<std::uint16_t>(std::atoi(argv[i + 1]));
            config.ports(event, static_cast<std::uint16_t>(std::atoi(argv[i + 2])));
            i += 2;
        } else if (!std::strcmp(argv[i], "--seconds") && i + 1 < argc)
            length = std::chrono::duration<double>(std::atof(argv[++i]));
        else if (argv[i][0] != '-' && !receiver)
            receiver = argv[i];
        else
            receiver = "";
    }
    if (!receiver || !*receiver) {
        std::fprintf(stderr, "usage: %s RECEIVER [--local ADDRESS] [--ports EVENT GENERAL] [--seconds N]\n", argv[0]);
        return 2;
    }

    std::signal(SIGINT, [](int) { stopped = 1; });
    std::signal(SIGTERM, [](int) { stopped = 1; });
    auto started = ptpbmca::Session::start(receiver, config);
    if (!started) {
        std::fprintf(stderr, "%s: %s\n", name(started.code()), started.message());
        return 1;
    }
    const ptpbmca::Session session = *std::move(started);
    if (const auto waited = session.await_sync(5s); !waited)
        std::fprintf(stderr, "%s: %s\n", name(waited.code()), waited.message());

    std::printf("%-9s  %-9s  %20s  %9s  %9s  %9s  %5s\n", "state", "role", "offset ns", "skew ppm", "bound us",
                "path us", "epoch");
    const auto begun = std::chrono::steady_clock::now();
    while (!stopped) {
        show(session);
        if (length.count() > 0 && std::chrono::steady_clock::now() - begun >= length)
            break;
        std::this_thread::sleep_for(1s);
    }
    // The session stops where it ends.
    return 0;
}
