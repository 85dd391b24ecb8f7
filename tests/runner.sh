# runner.sh: what the runners of tests share; `. ../runner.sh` with BUILD_DIR [TEST...] as the script's own arguments. A
# test is a function: status 0 is PASS, 77 SKIP, anything else FAIL; the last line it prints says why. Tests named after
# BUILD_DIR are the only ones run. With shown=yes, what a passed test printed is shown too.
[ $# -ge 1 ] || { echo "usage: $0 BUILD_DIR [TEST...]" >&2; exit 2; }
out=$(cd "$1" && pwd) || exit 2
shift
wanted=" $* "
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
CC=${CC:-cc}
CXX=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
# So many seconds may one program take; one that hangs is a failure, and the others are still run.
patience=150
guard=
command -v timeout >/dev/null && guard="timeout -k 5 $patience"
failures=0
begun_all=$(date +%s)
shown=

have() { command -v "$1" >/dev/null 2>&1; }

# need PROGRAM...: ends a test that cannot be run.
need() {
    for tool; do have "$tool" || { echo "no $tool here"; exit 77; }; done
}

# verdict NAME STATUS OUTPUT SECONDS: the one line about a test, and what it printed where that says more.
verdict() {
    # The first error, or else the last line.
    why=$([ "$2" = 77 ] || grep -m 1 '[eE]rror\( CS[0-9]*\)*: ' "$3") || why=
    why=${why:-$(tail -n 1 "$3" 2>/dev/null)}
    case $2 in
    0) echo "PASS $1 ($4 s)"; [ -z "$shown" ] || sed "s/^/     /" "$3" ;;
    77) echo "SKIP $1: $why" ;;
    *)
        [ "$2" != 124 ] && [ "$2" != 137 ] || why=hangs
        echo "FAIL $1: ${why:-exit status $2}"
        [ "$(wc -l <"$3")" -le 1 ] || tail -n 30 "$3" | sed "s/^/     /"
        failures=$((failures + 1))
        ;;
    esac
}

# run NAME COMMAND...: runs it in a shell of its own and gives the verdict.
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

# simulator: ends the runner where the simulated receiver was not built.
simulator() {
    [ -x "$out/examples/receiver" ] && return
    echo "FAIL: there is no $out/examples/receiver: build the simulated receiver first"
    exit 1
}

# conclude: the last line, and the runner's own status.
conclude() {
    echo "$(($(date +%s) - begun_all)) s in all, $failures failed"
    [ $failures -eq 0 ]
}
