#!/bin/bash
# all.sh BUILD_DIR: every test of the project, stage by stage; ends with one line that counts them. A stage prints the
# lines `PASS name`, `FAIL name: why`, `SKIP name: why`; those of cargo are counted from its own summaries.
set -u
cd "$(dirname "$0")/.." || exit 1
out=$1
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
passed=0 failed=0 skipped=0

# stage NAME COMMAND...: runs one stage and adds up what it printed; a stage that fails without saying of what is one
# failure.
stage() {
    local name=$1 log=$logs/stage p f s status
    shift
    printf '\n== %s\n' "$name"
    local start=$SECONDS
    "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    read -r p f s < <(awk '
        /^PASS /  { p++ }
        /^FAIL /  { f++ }
        /^SKIP /  { s++ }
        /^test result: / { p += $4; f += $6; s += $8 }
        END { print p + 0, f + 0, s + 0 }' "$log")
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        echo "FAIL $name: ended with $status"
        f=1
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf -- '-- %s: %d passed, %d failed, %d skipped in %d s\n' "$name" "$p" "$f" "$s" $((SECONDS - start))
}

# check NAME COMMAND...: a command that is a test by itself.
check() {
    local name=$1
    shift
    if "$@"; then echo "PASS $name"; else echo "FAIL $name: see above"; return 1; fi
}

lint() {
    local worst=0
    check "rustfmt" cargo fmt --all --check || worst=1
    check "rustfmt of the models" cargo fmt --manifest-path tests/loom/Cargo.toml --check || worst=1
    check "rustfmt of the fuzz targets" cargo fmt --manifest-path fuzz/Cargo.toml --check || worst=1
    check "clippy" cargo clippy -q --workspace --all-targets -- -D warnings || worst=1
    RUSTDOCFLAGS="-D warnings" check "rustdoc" cargo doc -q --workspace --no-deps || worst=1
    check "inner rooms forbid unsafe code" sh tests/rooms.sh || worst=1
    return $worst
}

stage "lint" lint
stage "Rust tests" cargo test -q --workspace
stage "loom" sh tests/loom/run.sh
stage "C tests" bash tests/c/run.sh "$out"
stage "host faults" sh tests/faults/run.sh "$out"
stage "C++, Objective-C and Swift tests" sh tests/cpp/run.sh "$out"
stage "bindings" sh tests/ffi/run.sh "$out"
stage "installed" sh tests/install/run.sh "$out"
stage "live tests" bash tests/live/run.sh "$out"
stage "hostile" cargo test -q -p ptpbmca --test hostile
stage "fuzz" bash fuzz/run.sh 60
stage "realtime" bash tests/realtime/run.sh "$out"
stage "sanitizers" bash tests/sanitizers/run.sh "$out"
stage "controls" bash tests/controls.sh

printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
