#!/bin/bash
# run.sh BUILD_DIR [TEST...]: holds the calls marked realtime-safe to their word, and says for each test: PASS, FAIL with
# why, or SKIP with why. BUILD_DIR has libptpbmca.so, libptpbmca.so.0 and examples/receiver.
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
flags="-std=c11 -O1 -g -Wall -Wextra -Wpedantic -Werror -I$root/include -pthread"
receiver=$out/examples/receiver
# So long may one test take; a test that hangs is a failure, and the others are still run.
patience=120
# How long readers read beside a busy worker, in seconds, and how many publications the worker is held in.
busy=3
times=4
failures=0

# run NAME COMMAND...: runs a test and gives the one line about it: the last one it printed.
run() {
    local name=$1 status begun=$SECONDS last
    shift
    case $wanted in "  " | *" $name "*) ;; *) return ;; esac
    "$@" >"$work/output" 2>&1
    status=$?
    last=$(grep -m 1 -e 'error: ' -e 'ERROR: RealtimeSanitizer' -e 'Intercepted call' "$work/output" || tail -n 1 "$work/output")
    case $status in
    0) echo "PASS realtime-$name ($((SECONDS - begun)) s)"; sed 's/^/     /' "$work/output" ;;
    77) echo "SKIP realtime-$name: $last" ;;
    *)
        [ $status -eq 124 ] && last="hangs"
        echo "FAIL realtime-$name: ${last:-exit status $status}"
        tail -n 30 "$work/output" | sed 's/^/     /'
        failures=$((failures + 1))
        ;;
    esac
}

# The program against the library as it is. Lazily bound: a call's first use then finds its address as well.
compile() {
    # shellcheck disable=SC2086
    [ -e "$work/promise" ] || $CC $flags promise.c counting.c -o "$work/promise" -Wl,-z,lazy -L"$out" -lptpbmca -Wl,-rpath,"$out"
}

# The calls that the header says it of are the calls that are tested.
marked() {
    compile || return 1
    awk '/Realtime-safe: yes/ { marked = 1 }
        marked && /^[a-z].*[ *]ptpbmca_[a-z_]+\(/ { match($0, /ptpbmca_[a-z_]+\(/); print substr($0, RSTART, RLENGTH - 1); marked = 0 }' \
        "$root/include/ptpbmca.h" | sort >"$work/marked"
    "$work/promise" calls | sort | diff "$work/marked" - && echo "$(wc -l <"$work/marked") calls" && [ -s "$work/marked" ]
}

# What their machine code leads to, on paths that no test takes as well.
reach() {
    [ "$(uname -m)" = x86_64 ] || { echo "knows the instructions of x86-64 alone"; return 77; }
    command -v python3 >/dev/null && command -v objdump >/dev/null || { echo "no python3 and objdump here"; return 77; }
    # shellcheck disable=SC2046 # One word each.
    compile && python3 reach.py "$out/libptpbmca.so" $("$work/promise" calls)
}

first() {
    compile || return 1
    for call in $("$work/promise" calls); do
        timeout $patience "$work/promise" first "$call" || return
    done
}

held() {
    compile && timeout $patience "$work/promise" "$1" "$receiver" "$2"
}

# watched MODE AMOUNT: the same under RealtimeSanitizer.
watched() {
    local runtime library
    runtime=$(sh ../sanitizers/runtime.sh rtsan) || { echo "this compiler has no runtime of RealtimeSanitizer"; return 77; }
    library=$(sh ../sanitizers/build.sh realtime) || return 1
    # shellcheck disable=SC2086
    $CC $flags -DRTSAN promise.c -o "$work/watched" -rdynamic -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive \
        -L"$library" -lptpbmca -Wl,-rpath,"$library" -ldl -lm -lrt || return 1
    timeout $patience "$work/watched" "$1" "$receiver" "$2"
}

[ -x "$receiver" ] || { echo "FAIL realtime: there is no $receiver: build the simulated receiver first"; exit 1; }

run marked marked
run reach reach
run first first
run busy held busy $busy
run frozen held frozen $times
run rtsan-busy watched busy $busy
run rtsan-frozen watched frozen $times
[ $failures -eq 0 ]
