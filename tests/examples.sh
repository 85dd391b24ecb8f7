#!/bin/bash
# examples.sh [PAGE]: clones this tree, runs every example, every way to install, the checks of the headers, the doctor and
# the other systems, and writes the commands with what they print to PAGE (docs/examples.md). `make examples` calls it.
# Debian, root: packages are installed and removed, and ports below 1024 used in a network namespace. Fails if a command
# does; about ten minutes. CARGO_TARGET_DIR, where set, is the clone's target directory, so that dependencies need not be
# compiled again. ONLY="name ..." runs those parts, and writes to standard output.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
page=${1:-$root/docs/examples.md}
only=" ${ONLY:-} "
[ "$(id -u)" = 0 ] || { echo "examples.sh: needs root: it installs packages" >&2; exit 1; }
work=$(mktemp -d)
chmod 755 "$work"
# Commands name what they make below ~, so that they are the same anywhere.
export CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" npm_config_cache="$HOME/.npm"
export HOME="$work" LC_ALL=C.UTF-8
compiled=${CARGO_TARGET_DIR:-}
unset CARGO_TARGET_DIR MAKEFLAGS MAKELEVEL MFLAGS PKG_CONFIG_PATH LD_LIBRARY_PATH PTPBMCA_LIBRARY
receiver=
finish() {
    [ -z "$receiver" ] || kill "$receiver" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM
failures=0
: >"$work/page"

say() { printf '%s\n' "$@" >>"$work/page"; }

# part NAME TITLE: a headline; whether the part is wanted.
part() {
    case $only in
    "  " | *" $1 "*) ;;
    *) return 1 ;;
    esac
    echo "$1 ..." >&2
    say "" "## $2" ""
}

# shell LINES COMMAND...: runs the lines in one shell, and keeps them with at most so many lines of what they print.
shell() {
    local most=$1 status
    shift
    printf '    $ %s\n' "$@" >>"$work/page"
    printf '%s\n' "$@" >"$work/script"
    timeout -k 5 1200 bash -e "$work/script" >"$work/printed" 2>&1
    status=$?
    tr -d '\r' <"$work/printed" | sed "s|$work|~|g; s/[[:space:]]*\$//" >"$work/clean"
    head -n "$most" "$work/clean" | sed 's/^\(.\)/    \1/' >>"$work/page"
    local rest=$(($(wc -l <"$work/clean") - most))
    [ $rest -le 0 ] || say "    [$rest lines more]"
    if [ $status -ne "${expected:-0}" ]; then
        say "    [exit status $status]"
        echo "FAIL: $* (exit status $status)" >&2
        tail -n 15 "$work/clean" >&2
        failures=$((failures + 1))
    fi
    say ""
}

# simulate OPTION...: a simulated receiver in the background, for the commands that follow.
simulate() {
    say "    \$ target/release/ptpbmca simulate $* >/dev/null &" ""
    target/release/ptpbmca simulate "$@" >"$work/simulated" 2>/dev/null &
    receiver=$!
    for _ in $(seq 100); do grep -q '^ready' "$work/simulated" && return; sleep 0.1; done
    echo "FAIL: the simulated receiver does not start" >&2
    exit 1
}
silence() {
    kill "$receiver" 2>/dev/null
    wait "$receiver" 2>/dev/null
    receiver=
}

git clone -q "$root" "$work/ptpbmca" || exit 1
cd "$work/ptpbmca" || exit 1
[ -z "$compiled" ] || ln -s "$compiled" target
. /etc/os-release
say "# Examples, and what they print" "" \
    "Written by \`make examples\`, which runs all of it from a fresh clone; what is long is shortened where it says so." \
    "$PRETTY_NAME $(uname -m), $(rustc -V | cut -d ' ' -f 1-2), $(gcc --version | head -n 1), $(clang --version | head -n 1 | sed 's/ *$//')," \
    "Python $(python3 -V | cut -d ' ' -f 2), Node.js $(node -v), $(luajit -v 2>&1 | cut -d ' ' -f 1-2)," \
    "$(cmake --version | head -n 1), npm $(npm -v)."
{ make -s lib tool && cargo build -q --release -p ptpbmca-sim --example receiver; } >"$work/built" 2>&1 || { tail -n 20 "$work/built" >&2; exit 1; }

part build "The demo" && shell 12 "make -s demo 2>/dev/null"

# --- Languages ---------------------------------------------------------------------------------------------------------

link="-Ltarget/release -lptpbmca -Wl,-rpath,\$PWD/target/release"
ports="--event-port 10319 --general-port 10320"
follow="127.0.0.2 --local 127.0.0.1 --ports 10319 10320 --seconds 3"
if part languages "Languages"; then
    say "After \`make lib tool\`, each follows the same simulated receiver, whose clock runs 37.5 ppm fast." ""
    # shellcheck disable=SC2086 # Options are words.
    simulate $ports --skew-ppm 37.5 --duration 600
    say "### C" ""
    shell 8 "cc -std=c99 -Wall -Wextra -Wpedantic examples/follow.c -Iinclude $link -o ~/follow-c" "~/follow-c $follow"
    say "### C++17" ""
    shell 8 "c++ -std=c++17 -Wall -Wextra examples/follow.cpp -Iinclude $link -pthread -o ~/follow-17" "~/follow-17 $follow"
    say "### C++20 without exceptions and RTTI" ""
    shell 8 "c++ -std=c++20 -fno-exceptions -fno-rtti examples/follow.cpp -Iinclude $link -pthread -o ~/follow-20" \
        "~/follow-20 $follow"
    say "### Objective-C" ""
    shell 8 "gcc -std=c11 examples/follow.m bindings/objc/PTPReceiverClock.m -Iinclude -Ibindings/objc $link -lobjc -o ~/follow-m" \
        "~/follow-m 127.0.0.2 127.0.0.1 10319 10320 3"
    say "### Python" ""
    shell 8 "export PTPBMCA_LIBRARY=\$PWD/target/release/libptpbmca.so" "python3 examples/follow.py $follow"
    say "### Node.js" ""
    shell 8 "export PTPBMCA_LIBRARY=\$PWD/target/release/libptpbmca.so" "cp -r bindings/node ~/node && cd ~/node" \
        "npm ci --silent --ignore-scripts" "node follow.mjs $follow"
    say "### LuaJIT" ""
    shell 8 "export PTPBMCA_LIBRARY=\$PWD/target/release/libptpbmca.so" "luajit bindings/lua/follow.lua $follow"
    say "### C#" ""
    shell 8 "mcs -langversion:7 -out:\$HOME/Follow.exe bindings/csharp/Follow.cs bindings/csharp/Ptpbmca.cs" \
        "LD_LIBRARY_PATH=target/release mono ~/Follow.exe $follow"
    say "### Swift" "" "No toolchain here; what Swift imports of the header is checked by clang:" ""
    shell 4 "sh tests/cpp/run.sh target/release swift-module 2>&1 | head -n 1"
    silence
fi

# --- Installed ---------------------------------------------------------------------------------------------------------

if part install "Installed, and used outside of the tree"; then
    # shellcheck disable=SC2086
    simulate $ports --skew-ppm 37.5 --duration 900
    shell 3 "make -s install PREFIX=~/prefix"
    follow="127.0.0.2 --local 127.0.0.1 --ports 10319 10320 --seconds 2"
    outside="mkdir -p ~/player && cd ~/player && cp ~/prefix/share/doc/ptpbmca/examples/follow.c ."
    say "### pkg-config, shared" ""
    shell 6 "$outside" "export PKG_CONFIG_PATH=~/prefix/lib/pkgconfig" \
        "cc follow.c \$(pkg-config --cflags --libs ptpbmca) -Wl,-rpath,\$HOME/prefix/lib -o shared" "ldd shared | grep -o 'libptpbmca.*[^ ]* (' | tr -d '('" \
        "./shared $follow"
    say "### pkg-config, the archive" ""
    shell 6 "cd ~/player && export PKG_CONFIG_PATH=~/prefix/lib/pkgconfig" \
        "cc follow.c \$(pkg-config --static --cflags --libs ptpbmca | sed s/-lptpbmca/-l:libptpbmca.a/) -o archive" \
        "ldd archive | grep -c ptpbmca || true" "./archive $follow"
    say "### CMake, shared and static" ""
    cat >"$work/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.15)
project(player C)
find_package(ptpbmca 0.1 REQUIRED)
add_executable(shared follow.c)
target_link_libraries(shared PRIVATE ptpbmca::ptpbmca)
add_executable(static follow.c)
target_link_libraries(static PRIVATE ptpbmca::static)
EOF
    cp "$work/CMakeLists.txt" "$work/player/" 2>/dev/null
    shell 20 "cd ~/player && cat CMakeLists.txt" "cmake -S . -B build -DCMAKE_PREFIX_PATH=~/prefix >/dev/null" \
        "cmake --build build >/dev/null" "build/shared $follow" "ldd build/static | grep -c ptpbmca || true" \
        "build/static $follow"
    say "### Python, from the installation" ""
    shell 6 "cd ~/player" "export PYTHONPATH=\$(dirname ~/prefix/lib/python3*/*-packages/ptpbmca.py)" \
        "python3 ~/prefix/share/doc/ptpbmca/examples/follow.py $follow"
    say "### Debian packages" ""
    shell 20 "make -s deb | grep -o '[^/]*\\.deb'" "dpkg -i target/release/deb/*.deb >/dev/null" \
        "mkdir -p ~/packaged && cd ~/packaged && cp /usr/share/doc/libptpbmca-dev/examples/follow.c ." \
        "cc follow.c \$(pkg-config --cflags --libs ptpbmca) -o follow && ldd follow | grep -o '.*ptpbmca[^(]*'" "./follow $follow" \
        "/usr/bin/python3 -c 'import ptpbmca; print(ptpbmca.version())'"
    say "### README's C++ program" "" "With the packages, the ports of real receivers, and root:" ""
    # In a namespace of its own, where nobody else has the ports.
    awk '/^```cpp$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$work/packaged/two.cpp"
    cat >"$work/alone" <<'EOF'
ip link set lo up
ptpbmca simulate --count 2 >/dev/null 2>&1 &
sleep 1
~/packaged/two
kill $!
EOF
    say "    \$ ptpbmca simulate --count 2 >/dev/null &" "    \$ c++ -std=c++17 two.cpp \$(pkg-config --cflags --libs ptpbmca) -o two && ./two"
    if ! { c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror "$work/packaged/two.cpp" -lptpbmca -o "$work/packaged/two" &&
        unshare -n bash -e "$work/alone"; } >"$work/printed" 2>&1; then
        echo "FAIL: README's C++ program" >&2
        failures=$((failures + 1))
    fi
    sed 's/^/    /' "$work/printed" >>"$work/page"
    say ""
    shell 4 "dpkg --purge python3-ptpbmca ptpbmca-tools libptpbmca-dev libptpbmca0 >/dev/null" \
        "make -s uninstall PREFIX=~/prefix && find ~/prefix ! -type d | wc -l"
    silence
fi

if command -v cargo-cinstall >/dev/null 2>&1 && part cargo-c "Installed by cargo-c"; then
    # shellcheck disable=SC2086
    simulate $ports --skew-ppm 37.5 --duration 300
    follow="127.0.0.2 --local 127.0.0.1 --ports 10319 10320 --seconds 2"
    shell 20 "cargo cinstall --release -p ptpbmca --prefix=\$HOME/cargo-c --libdir=lib >~/said 2>&1" \
        "cd ~/cargo-c && find . ! -type d | sort"
    shell 6 "export PKG_CONFIG_PATH=~/cargo-c/lib/pkgconfig" \
        "cc examples/follow.c \$(pkg-config --cflags --libs ptpbmca) -Wl,-rpath,\$HOME/cargo-c/lib -o ~/by-cargo-c" \
        "~/by-cargo-c $follow"
    silence
fi

# --- Checks ------------------------------------------------------------------------------------------------------------

if part headers "Headers, with every warning"; then
    quiet="-Weverything -Wno-padded -Wno-unsafe-buffer-usage -Wno-unknown-warning-option -Werror -fsyntax-only -Iinclude"
    shell 4 "echo '#include <ptpbmca.h>' >~/one.c && echo '#include <ptpbmca.hpp>' >~/one.cpp" \
        "clang -std=c11 $quiet ~/one.c && echo quiet" "clang++ -x c++ -std=c++17 $quiet ~/one.c && echo quiet" \
        "clang++ -std=c++17 $quiet ~/one.cpp && echo quiet"
    shell 6 "sh tests/cpp/run.sh target/release header-gcc header-clang hpp-gcc hpp-clang"
fi

if part doctor "The doctor's five sentences"; then
    doctor="target/release/ptpbmca doctor 127.0.0.2 --local 127.0.0.1 --ports 10319 10320 --seconds 3"
    say "Nothing there:" ""
    expected=3 shell 4 "$doctor | tail -n 1; exit \${PIPESTATUS[0]}"
    say "Ports held:" ""
    expected=4 shell 4 \
        "python3 -c 'import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind((\"127.0.0.1\", 10319)); time.sleep(5)' &" \
        "sleep 1; $doctor | tail -n 1; status=\${PIPESTATUS[0]}; kill %1; exit \$status"
    say "Unprivileged:" ""
    expected=5 shell 4 "setpriv --reuid 65534 --regid 65534 --clear-groups target/release/ptpbmca doctor 127.0.0.2 | tail -n 1; exit \${PIPESTATUS[0]}"
    say "A receiver that only announces:" ""
    # shellcheck disable=SC2086
    simulate $ports --peer 127.0.0.1 --never-sync
    expected=6 shell 4 "$doctor | tail -n 1; exit \${PIPESTATUS[0]}"
    silence
    say "A healthy one:" ""
    # shellcheck disable=SC2086
    simulate $ports --peer 127.0.0.1
    shell 4 "$doctor | tail -n 1; exit \${PIPESTATUS[0]}"
    silence
    say "As a test:" ""
    shell 12 "cargo test -q -p ptpbmca-tools --test tool doctor 2>/dev/null"
fi

part targets "Other systems: type-checked" && shell 8 "make -s check-targets"
part windows "Windows: the DLL under wine" && shell 60 "make -s check-windows"

if [ "$only" = "  " ]; then
    cat -s "$work/page" >"$page"
else
    cat "$work/page"
fi
[ $failures -eq 0 ] || { echo "examples.sh: $failures commands failed" >&2; exit 1; }
