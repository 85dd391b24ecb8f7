#!/bin/bash
# run.sh BUILD_DIR [TEST...]: the C tests, linked to the library built with a sanitizer and to that sanitizer's runtime, the
# one that comes with the compiler. Address: memory that is freed or not owned, and what is leaked when all sessions have
# stopped. Thread: data races, with the standard library instrumented too. In both the C side has the same sanitizer, and
# traps undefined behaviour. BUILD_DIR has examples/receiver. Says for each test: PASS, FAIL with why, or SKIP with why.
set -u
[ $# -ge 1 ] || { echo "usage: $0 BUILD_DIR [TEST...]" >&2; exit 2; }
out=$(cd "$1" && pwd) || exit 2
shift
wanted=" $* "
cd "$(dirname "$0")" || exit 2
CC=${CC:-cc}
work=$(mktemp -d)
export TMPDIR="$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
root=$(cd ../.. && pwd)
flags="-std=c11 -O1 -g -fno-omit-frame-pointer -Wall -Wextra -Wpedantic -Werror -I$root/include -pthread"
receiver=$out/examples/receiver
# So long may one test take; a test that hangs is a failure, and the others are still run.
patience=150
failures=0

# A report is a failure by itself, also one of a child that the test made and whose end it does not look at.
export ASAN_OPTIONS="detect_leaks=1:exitcode=66:log_path=$work/report"
export TSAN_OPTIONS="exitcode=66:log_path=$work/report"

# prepare NAME RUNTIME: builds the library, once; its directory and the runtime are then in $library and $runtime.
declare -A libraries
prepare() {
    runtime=$(sh runtime.sh "$2") || { echo "this compiler has no runtime of the $1 sanitizer"; return 77; }
    [ "$1" != thread ] || [ -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ] ||
        { echo "no source of the standard library (rustup component add rust-src)"; return 77; }
    [ -n "${libraries[$1]-}" ] || libraries[$1]=$(sh build.sh "$1") || return 1
    library=${libraries[$1]}
}

# run SANITIZER RUNTIME PROGRAM ARGUMENT...: builds a C test and runs it.
run() {
    local sanitizer=$1 program=$3 name=$3-$1 status begun=$SECONDS why
    case $wanted in "  " | *" $name "*) ;; *) return ;; esac
    rm -f "$work"/report*
    prepare "$1" "$2" >"$work/output" 2>&1
    status=$?
    shift 3
    if [ $status -eq 0 ]; then
        # shellcheck disable=SC2086
        $CC $flags -fsanitize="$sanitizer" -fsanitize=undefined -fsanitize-undefined-trap-on-error -c "../c/$program.c" \
            -o "$work/$program.o" >"$work/output" 2>&1 &&
            $CC "$work/$program.o" "$library/libptpbmca.a" -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -rdynamic -pthread \
                -ldl -lm -lrt -o "$work/$name" >>"$work/output" 2>&1 &&
            timeout -k 5 $patience "$work/$name" "$@" >"$work/output" 2>&1
        status=$?
    fi
    cat "$work"/report* >"$work/reported" 2>/dev/null
    why=$(grep -h -m 1 -e '^SUMMARY' "$work/reported" || grep -m 1 'error: ' "$work/output" || tail -n 1 "$work/output")
    [ $status -ne 124 ] || why="hangs"
    if [ $status -eq 0 ] && [ ! -s "$work/reported" ]; then
        echo "PASS $name ($((SECONDS - begun)) s)"
    elif [ $status -eq 77 ]; then
        echo "SKIP $name: $why"
    else
        echo "FAIL $name: ${why:-exit status $status}"
        head -n 40 "$work/reported" | sed 's/^/     /'
        tail -n 10 "$work/output" | sed 's/^/     /'
        failures=$((failures + 1))
    fi
}

[ -x "$receiver" ] || { echo "FAIL sanitizers: there is no $receiver: build the simulated receiver first"; exit 1; }

# Not lifetime: its children of a fork with threads start threads again. The thread sanitizer refuses that; with the address
# sanitizer they hang, and without either they do not.
run address asan arguments slow
run address asan race
run address asan callbacks
run address asan ports "$receiver"
run address asan roles "$receiver"
run address asan follow "$receiver" 4
run thread tsan race slow
run thread tsan callbacks slow
run thread tsan roles "$receiver"
run thread tsan follow "$receiver" 4
[ $failures -eq 0 ]
