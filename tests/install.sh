#!/bin/sh
# install.sh: installs what the tests need beside Rust and a C compiler, where this is Debian and root; says what is
# missing else. A test whose tool is missing says SKIP.
set -u
missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need clang clang
need valgrind valgrind
need ip iproute2
need ptp4l linuxptp
need tcpdump tcpdump
need python3 python3
need mypy mypy
need node nodejs
need npm npm
need luajit luajit
need mcs mono-mcs
need mono mono-runtime
need setpriv util-linux
need readelf binutils
need make make
need g++ g++
need clang++ clang
# Objective-C has no command of its own.
[ -e "$(gcc -print-file-name=libobjc.so 2>/dev/null)" ] || missing="$missing gobjc"
need cmake cmake
need pkg-config pkg-config
# The thread sanitizer wants the standard library built with it.
if command -v rustup >/dev/null 2>&1 && [ ! -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
    rustup component add rust-src >/dev/null 2>&1 || echo "could not install: the source of Rust's standard library (rust-src)"
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    # shellcheck disable=SC2086 # A list of names.
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
        >/dev/null 2>&1 || echo "could not install:$missing"
else
    echo "not installed, tests that need them are skipped:$missing"
fi
exit 0
