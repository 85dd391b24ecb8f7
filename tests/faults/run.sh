#!/bin/sh
# run.sh BUILD_DIR [TEST...]: host faults: programs that run out of descriptors, threads and memory, close what is not
# theirs, are interrupted, throw, and meet bugs in the library, against the library in BUILD_DIR (libptpbmca.so,
# libptpbmca.so.0, examples/receiver). Says for each: PASS, FAIL with why, or SKIP with why. Fails if any does. Tests named
# after BUILD_DIR are the only ones run. Forks, exits, callbacks, unloading and clock steps are in tests/c.
set -u
. "$(dirname "$0")/../runner.sh"
shown=yes
cd "$here" || exit 2
# Where the tests put what the simulated receivers say: gone with the rest, also after a failure. Others look into it: one
# test becomes somebody without privileges.
export TMPDIR="$work"
chmod 755 "$work"
flags="-O1 -g -Wall -Wextra -Wpedantic -Werror -I$root/include -I$root/tests/c -pthread"
receiver=$out/examples/receiver

# link DIRECTORY: links to the library there.
link() { echo "-L$1 -lptpbmca -Wl,-rpath,$1"; }

# program NAME ARGUMENT...: compiles a test and runs it.
program() {
    name=$1
    shift
    # shellcheck disable=SC2046,SC2086
    $CC -std=c11 $flags "$name.c" -o "$work/$name" $(link "$out") && $guard "$work/$name" "$@"
}

# What the dynamic loader takes at the first call of a function is not the library's.
stacks() { LD_BIND_NOW=1 program stacks; }

throwing() {
    need "$CXX"
    # shellcheck disable=SC2046,SC2086
    $CXX -std=c++17 $flags throwing.cpp -o "$work/throwing" $(link "$out") && $guard "$work/throwing"
}

# planted: the directory of a library with bugs to switch on, the one that tests/controls.sh makes.
planted() {
    if grep -q PTPBMCA_PLANTED "$out/libptpbmca.so"; then
        echo "$out"
        return
    fi
    directory=$(dirname "$out")/planted
    CARGO_TARGET_DIR=$directory RUSTFLAGS="${RUSTFLAGS-} --cfg planted" cargo build -q --release -p ptpbmca >&2 || return
    ln -sf libptpbmca.so "$directory/release/libptpbmca.so.0"
    echo "$directory/release"
}

# panics PLACE: a bug there makes the worker panic; or the one that is planted already does.
panics() {
    need cargo
    directory=$(planted) || return
    # shellcheck disable=SC2046,SC2086
    $CC -std=c11 $flags panics.c -o "$work/panics" $(link "$directory") || return
    # What Rust prints of each panic is shown only if the test fails.
    PTPBMCA_PLANTED=${PTPBMCA_PLANTED:-panic-$1} $guard "$work/panics" "$1" 2>"$work/panicked"
}

simulator

run descriptors-refused program descriptors "$receiver" refused
run descriptors-running program descriptors "$receiver" running
run descriptors-interface program descriptors "$receiver" interface
run descriptors-lost program descriptors "$receiver" lost
run limits program limits
run cycles program cycles
run signals program signals "$receiver"
run stacks stacks
run bare program bare "$receiver"
run throwing throwing
run panic-packet panics packet
run panic-timer panics timer
run panic-event panics event
conclude
