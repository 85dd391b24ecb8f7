#!/bin/bash
# run.sh BUILD_DIR: builds ptpbmca.dll with MinGW and runs C programs on it under wine, beside the simulated receivers in
# BUILD_DIR (examples/receiver), which are Linux programs. wine binds a UDP port on every address of its host, whichever
# was asked for, so the receivers live in another network namespace. Prints PASS, FAIL with why, or SKIP with why.
# Debian's rustc-web makes the standard library for Windows from source, see tests/targets.sh. Honours CARGO_TARGET_DIR.
set -u
[ $# -eq 1 ] || { echo "usage: $0 BUILD_DIR" >&2; exit 2; }
receiver=$(cd "$1" && pwd)/examples/receiver
cd "$(dirname "$0")/../.." || exit 1
compiler=/usr/bin/rustc
target=x86_64-pc-windows-gnu
cc=x86_64-w64-mingw32-gcc
tests="windows-arguments windows-ports windows-lead windows-follow windows-follow-ipv6 windows-example windows-loaded"
# So long may one program take: wine is slow to start.
patience=120
failures=0

skip_all() {
    for name in $tests; do echo "SKIP $name: $1"; done
    exit 0
}

find_wine() {
    for wine in wine64 /usr/lib/wine/wine64 wine; do command -v "$wine" >/dev/null 2>&1 && return; done
    return 1
}
sources() { [ -d "$("$compiler" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library" ]; }
ready() { sources && command -v $cc >/dev/null 2>&1 && find_wine; }

if ! ready && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    packages="rustc-web rust-web-src gcc-mingw-w64-x86-64 wine64"
    echo "installing: $packages"
    # shellcheck disable=SC2086 # A list of names.
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } \
        >/dev/null 2>&1
fi
ready || skip_all "no rustc-web with rust-web-src, MinGW and wine here"
[ -x "$receiver" ] || { echo "FAIL windows: there is no $receiver: build the simulated receiver first"; exit 1; }

work=$(mktemp -d)
tag=ptpbmca-win-$$
here=10.78.0.1 there=10.78.0.2
here6=fe80::216:3eff:fe78:1 there6=fe80::216:3eff:fe78:2 # from the fixed MACs
export WINEPREFIX="$work/prefix" WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
pid=
finish() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null
    # Of this prefix only.
    for server in wineserver /usr/lib/wine/wineserver64; do
        if command -v $server >/dev/null 2>&1; then $server -k 2>/dev/null; break; fi
    done
    ip netns del "$tag-a" 2>/dev/null
    ip netns del "$tag-b" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

# verdict NAME STATUS OUTPUT: the one line about a test, and what it printed.
verdict() {
    if [ "$2" -eq 0 ]; then
        echo "PASS $1"
    else
        echo "FAIL $1: $(tail -n 1 "$3")"
        failures=$((failures + 1))
    fi
    tail -n 20 "$3" | tr -d '\r' | sed 's/^/     /'
}

# run NAME COMMAND...: runs it and gives the verdict.
run() {
    local name=$1
    shift
    timeout -k 5 $patience ip netns exec "$tag-a" "$@" >"$work/output" 2>&1
    verdict "$name" $? "$work/output"
}

# simulate ADDRESS OPTION...: a simulated receiver, which says in $work/truth what its clock reads.
simulate() {
    local address=$1
    shift
    rm -f "$work/truth"
    ip netns exec "$tag-b" "$receiver" --address "$address" --event-port 26319 --general-port 26320 --truth "$work/truth" --duration 200 "$@" \
        >/dev/null &
    pid=$!
    for _ in $(seq 100); do [ -s "$work/truth" ] && return; sleep 0.1; done
    echo "FAIL windows: the simulated receiver does not start"
    exit 1
}

silence() {
    kill "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    pid=
}

# --- Build -------------------------------------------------------------------------------------------------------------

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/targets"
if ! RUSTC=$compiler RUSTC_BOOTSTRAP=1 CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=$cc \
    cargo build -q --release -p ptpbmca --lib --target $target -Z build-std=std,panic_abort >"$work/output" 2>&1; then
    verdict windows-build 1 "$work/output"
    exit 1
fi
out=$CARGO_TARGET_DIR/$target/release
cp "$out/ptpbmca.dll" "$work"
# Everything else that the programs need is in them.
flags="-std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -Iinclude -Itests/c -static -L$out"
# shellcheck disable=SC2086 # Flags are words.
if ! { $cc $flags tests/windows/session.c -o "$work/session.exe" -l:libptpbmca.dll.a -lws2_32 &&
    $cc $flags examples/follow.c -o "$work/follow.exe" -l:libptpbmca.dll.a -lpthread &&
    $cc $flags -Wno-cast-function-type tests/windows/loaded.c -o "$work/loaded.exe" &&
    $cc $flags -shared tests/windows/random.c -o "$work/bcryptprimitives.dll" -ladvapi32; } >"$work/output" 2>&1; then
    verdict windows-build 1 "$work/output"
    exit 1
fi
side() { # NAMESPACE MAC ADDRESS
    ip -n "$1" link set ptp0 address "$2" && ip netns exec "$1" sysctl -qw net.ipv6.conf.ptp0.accept_dad=0 &&
        ip -n "$1" addr add "$3/24" dev ptp0 && ip -n "$1" link set lo up && ip -n "$1" link set ptp0 up
}
if ! { ip netns add "$tag-a" && ip netns add "$tag-b" &&
    ip link add ptp0 netns "$tag-a" type veth peer name ptp0 netns "$tag-b" &&
    side "$tag-a" 00:16:3e:78:00:01 $here && side "$tag-b" 00:16:3e:78:00:02 $there; } >"$work/output" 2>&1; then
    skip_all "no network namespaces here: $(tail -n 1 "$work/output")"
fi
scope=$(ip netns exec "$tag-a" cat /sys/class/net/ptp0/ifindex)
# The first program starts the server that makes everybody's sockets: in the namespace as well.
if ! timeout -k 5 $patience ip netns exec "$tag-a" "$wine" wineboot -i >"$work/output" 2>&1; then
    skip_all "wine does not start here: $(tail -n 1 "$work/output")"
fi
cd "$work" || exit 1

# --- Run ---------------------------------------------------------------------------------------------------------------

run windows-arguments "$wine" session.exe arguments
run windows-ports "$wine" session.exe ports

# The receiver tells its time by CLOCK_MONOTONIC; the program under wine has the wall clock in common with it.
ahead=$(python3 -c 'import time
def once():
    a = time.clock_gettime_ns(time.CLOCK_MONOTONIC); w = time.clock_gettime_ns(time.CLOCK_REALTIME)
    b = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return b - a, w - (a + b) // 2
print(min(once() for _ in range(1000))[1])') || skip_all "no python3 to compare the clocks with"

simulate $there
run windows-lead "$wine" session.exe lead $there $here
# Whom it follows is named after the address of our adapter.
grep -q "^event following .* 00163e7800010008\$" "$work/truth" ||
    { echo "FAIL windows-lead: the receiver follows nobody, or another"; failures=$((failures + 1)); }
silence

simulate $there --peer $here --skew-ppm 37.5
run windows-follow "$wine" session.exe follow $there $here truth "$ahead"
# The example, as it is; it ends well only if it could start.
run windows-example "$wine" follow.exe $there --ports 26319 26320 --seconds 4
grep -q '^LOCKED' "$work/output" || { echo "FAIL windows-example: it is never LOCKED"; failures=$((failures + 1)); }
silence

simulate "$there6%ptp0" --peer "$here6%ptp0" --skew-ppm -12.5
run windows-follow-ipv6 "$wine" session.exe follow "$there6%$scope" "$here6%$scope" truth "$ahead"
silence

run windows-loaded "$wine" loaded.exe

[ $failures -eq 0 ]
