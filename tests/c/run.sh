#!/bin/sh
# run.sh BUILD_DIR [TEST...]: compiles the C tests against the library in BUILD_DIR (libptpbmca.so, libptpbmca.so.0,
# libptpbmca.a, examples/receiver), runs them, and says for each: PASS, FAIL with why, or SKIP with why. Fails if any does.
# Tests named after BUILD_DIR are the only ones run.
set -u
[ $# -ge 1 ] || { echo "usage: $0 BUILD_DIR [TEST...]" >&2; exit 2; }
out=$(cd "$1" && pwd) || exit 2
shift
wanted=" $* "
here=$(cd "$(dirname "$0")" && pwd)
include=$here/../../include
cd "$here" || exit 2
CC=${CC:-cc}
work=$(mktemp -d)
# Where the tests put what the simulated receivers say: gone with the rest, also after a failure.
export TMPDIR="$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
warnings="-Wall -Wextra -Wpedantic -Werror"
flags="-std=c11 -O1 -g $warnings -I$include -pthread"
link="-L$out -lptpbmca -Wl,-rpath,$out"
# So long may one test take; a test that hangs is a failure, and the others are still run.
patience=150
guard=
command -v timeout >/dev/null && guard="timeout -k 5 $patience"
failures=0
begun_all=$(date +%s)

# verdict NAME STATUS OUTPUT SECONDS: the one line about a test, and what it printed where that says more.
verdict() {
    # The compiler's first error, or else the last line.
    why=$(grep -m 1 'error: ' "$3") || why=$(tail -n 1 "$3" 2>/dev/null)
    case $2 in
    0) echo "PASS $1 ($4 s)"; sed "s/^/     /" "$3" ;;
    77) echo "SKIP $1: $why" ;;
    124 | 137) echo "FAIL $1: hangs"; tail -n 30 "$3" | sed "s/^/     /"; failures=$((failures + 1)) ;;
    *)
        echo "FAIL $1: ${why:-exit status $2}"
        [ "$(wc -l <"$3")" -le 1 ] || tail -n 30 "$3" | sed "s/^/     /"
        failures=$((failures + 1))
        ;;
    esac
}

# run NAME COMMAND...: runs it and gives the verdict.
run() {
    name=$1
    shift
    case $wanted in
    "  " | *" $name "*) ;;
    *) return ;;
    esac
    begun=$(date +%s)
    ("$@") >"$work/output" 2>&1
    verdict "$name" $? "$work/output" $(($(date +%s) - begun))
}

have() { command -v "$1" >/dev/null 2>&1; }

# compile NAME [FLAG...]: builds a test, linked to the library.
compile() {
    name=$1
    shift
    # shellcheck disable=SC2086
    $CC $flags "$@" "$name.c" -o "$work/$name" $link
}

# --- What programs are compiled against -------------------------------------------------------------------------------

abi_header() {
    for compiler in gcc clang; do
        if ! have $compiler; then
            [ $compiler = gcc ] || { echo "no $compiler here; the others were content"; return 77; }
            continue
        fi
        for standard in c99 c11 c17; do
            # shellcheck disable=SC2086
            $compiler -x c -std=$standard $warnings -I"$include" -c -o "$work/abi.o" abi.c || return 1
        done
        for standard in c++11 c++20; do
            # shellcheck disable=SC2086
            $compiler -x c++ -std=$standard $warnings -I"$include" -c -o "$work/abi.o" abi.c || return 1
        done
    done
    # The header alone, twice, in both languages, in a file that has nothing else.
    printf '#include <ptpbmca.h>\n#include <ptpbmca.h>\nint nothing(void);\n' >"$work/alone.c"
    for language in c c++; do
        # shellcheck disable=SC2086
        $CC -x $language $warnings -I"$include" -c -o "$work/alone.o" "$work/alone.c" || return 1
    done
}

abi_values() { compile abi && "$work/abi"; }

abi_static() {
    # shellcheck disable=SC2086
    $CC $flags abi.c -o "$work/abi-static" "$out/libptpbmca.a" -ldl -lm && "$work/abi-static"
}

abi_exports() {
    have nm && have readelf || { echo "no nm and readelf here"; return 77; }
    nm -D --defined-only "$out/libptpbmca.so" | awk '{ print $NF }' | LC_ALL=C sort >"$work/exported"
    diff exports.txt "$work/exported" >"$work/difference" || {
        tr '\n' ' ' <"$work/difference"
        echo "exported symbols are not those of exports.txt"
        return 1
    }
    # Functions are what is left of the header without comments, where a name is followed by a parenthesis.
    $CC -E -P -I"$include" "$include/ptpbmca.h" | tr '\n' ' ' | grep -o '[^*( ]*ptpbmca_[a-z_]* *(' | grep -o 'ptpbmca_[a-z_]*' |
        LC_ALL=C sort -u >"$work/declared"
    diff "$work/declared" "$work/exported" >"$work/difference" || {
        tr '\n' ' ' <"$work/difference"
        echo "the header declares other functions than the library exports"
        return 1
    }
    readelf -d "$out/libptpbmca.so" >"$work/dynamic"
    grep -q 'SONAME.*\[libptpbmca\.so\.0\]' "$work/dynamic" || { echo "the soname is not libptpbmca.so.0"; return 1; }
    grep -q 'FLAGS_1.*NODELETE' "$work/dynamic" || { echo "the library can be unloaded: no NODELETE"; return 1; }
    [ "$(readlink -f "$out/libptpbmca.so.0")" = "$(readlink -f "$out/libptpbmca.so")" ] ||
        { echo "libptpbmca.so.0 is not libptpbmca.so"; return 1; }
}

# --- Programs ---------------------------------------------------------------------------------------------------------

# program NAME ARGUMENT...: compiles a test and runs it.
program() {
    name=$1
    shift
    compile "$name" && $guard "$work/$name" "$@"
}

# A host that loads the library at run time is not linked to it.
unload() {
    # shellcheck disable=SC2086
    $CC $flags unload.c -o "$work/unload" -ldl && $guard "$work/unload" "$out/libptpbmca.so"
}

# memcheck NAME ARGUMENT...: under valgrind, where nothing may leak or be read that was not written.
memcheck() {
    have valgrind || { echo "no valgrind here"; return 77; }
    name=$1
    shift
    compile "$name" || return 1
    # Only what is lost for certain: Rust keeps pointers into the middle of what it allocates. --fair-sched: else one busy
    # reader keeps the simulated processor to itself.
    $guard valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
        --suppressions=valgrind.supp --fair-sched=yes --child-silent-after-fork=yes --log-file="$work/valgrind" "$work/$name" "$@"
    status=$?
    if [ $status -eq 99 ]; then
        head -n 40 "$work/valgrind"
        sed -n 's/^==[0-9]*== \(.\)/\1/p' "$work/valgrind" | head -n 1
    fi
    return $status
}

# sanitized NAME ARGUMENT...: the C side with address and undefined behaviour sanitizers, the library as it is.
sanitized() {
    printf 'int main(void) { return 0; }\n' >"$work/empty.c"
    $CC -fsanitize=address,undefined "$work/empty.c" -o "$work/empty" 2>/dev/null && "$work/empty" 2>/dev/null ||
        { echo "no address sanitizer here"; return 77; }
    name=$1
    shift
    # Outputs at odd addresses are the subject of a test, not a mistake in it.
    compile "$name" -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer &&
        ASAN_OPTIONS=detect_leaks=1 $guard "$work/$name" "$@"
}

receiver=$out/examples/receiver
[ -x "$receiver" ] || { echo "FAIL: there is no $receiver: build the simulated receiver first"; exit 1; }

run abi-header abi_header
run abi-values abi_values
run abi-static abi_static
run abi-exports abi_exports
run arguments program arguments
run race program race
run callbacks program callbacks
run lifetime program lifetime
run closed program closed
run unload unload
run ports program ports "$receiver"
run roles program roles "$receiver"
run restart program restart "$receiver"
run wallstep program wallstep "$receiver"
run follow program follow "$receiver"
run arguments-sanitized sanitized arguments
run race-sanitized sanitized race
run callbacks-sanitized sanitized callbacks
run arguments-valgrind memcheck arguments slow
run race-valgrind memcheck race slow
run callbacks-valgrind memcheck callbacks slow
run follow-valgrind memcheck follow "$receiver" 4

echo "$(($(date +%s) - begun_all)) s in all, $failures failed"
[ $failures -eq 0 ]
