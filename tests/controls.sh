#!/bin/bash
# controls.sh [NAME...]: shows that the checks can fail. Builds with the planted bugs of src/planted.rs compiled in, and
# for each line of tests/controls.txt switches one bug on and runs the check that must find it.
#
# PASS: the check failed and said what the line expects. FAIL: it passed, or failed of something else.
set -u
cd "$(dirname "$0")/.." || exit 1
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")/planted
RUSTFLAGS="${RUSTFLAGS-} --cfg planted"
# What the commands of the table use: the planted library's directory.
OUT=$CARGO_TARGET_DIR/release
export CARGO_TARGET_DIR RUSTFLAGS OUT
log=$(mktemp)
trap 'rm -f "$log"' EXIT
worst=0

cargo build -q --release -p ptpbmca || exit 1
ln -sf libptpbmca.so "$OUT/libptpbmca.so.0"
cargo build -q --release -p ptpbmca-sim --example receiver || exit 1

# name | what the failing check says (a basic regular expression) | command
while IFS='|' read -r name expected command; do
    name=$(echo "$name" | xargs)
    case $name in '' | '#'*) continue ;; esac
    case " $* " in '  ' | *" $name "*) ;; *) continue ;; esac
    expected=$(sed 's/^ *//; s/ *$//' <<<"$expected")
    if PTPBMCA_PLANTED=$name timeout 600 bash -c "$command" >"$log" 2>&1 </dev/null; then
        echo "FAIL control $name: the check passes with the bug planted"
        worst=1
    elif grep -q -e "$expected" "$log"; then
        echo "PASS control $name: caught ($(grep -m1 -e "$expected" "$log" | cut -c1-140))"
    elif grep -q '^SKIP' "$log"; then
        echo "SKIP control $name: $(grep -m1 '^SKIP' "$log")"
    else
        echo "FAIL control $name: failed, but does not say '$expected':"
        # Indented: these are not lines of this stage.
        tail -n 15 "$log" | sed 's/^/    /'
        worst=1
    fi
done <tests/controls.txt
exit $worst
