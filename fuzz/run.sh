#!/bin/bash
# run.sh SECONDS [TARGET...]: builds the fuzz targets and runs each (all, if none is named) for so long, two at a time; for 0
# seconds, the committed corpora alone.
# run.sh repeat TARGET FILE: tries one input again, the crashing one of a failure, say.
# run.sh minimise TARGET DIR...: makes corpus/TARGET anew of the committed files and those of DIR, as few as will do
#   (and those named crash-*).
#
# A target starts from its committed corpus (fuzz/corpus/TARGET), which is only read; what it finds goes to a scratch
# folder, or to FUZZ_CORPUS/TARGET to be used again by the next run. Crashing inputs are kept in
# $CARGO_TARGET_DIR/fuzz/found.
#
# The compiler is the stable one, with RUSTC_BOOTSTRAP for this build alone: AddressSanitizer with its leak check, and
# the coverage that libFuzzer needs.
set -u
cd "$(dirname "$0")/.." || exit 1
all="wire association config replay"
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
export CARGO_TARGET_DIR
system=$(rustc -vV | sed -n 's/^host: //p')
programs=$CARGO_TARGET_DIR/$system/release
found=$CARGO_TARGET_DIR/found
# Seconds after which even a waiting input is given up; slowness is counted in edges.
stuck=120

build() {
    # trace-pc is the edge counter of src/edges.rs; libFuzzer has a function of that name that only complains.
    local flags="-Zsanitizer=address -Cpasses=sancov-module --cfg fuzzing --cfg count_edges -Clink-arg=-Wl,-z,muldefs" option
    for option in level=4 inline-8bit-counters pc-table trace-compares trace-pc; do
        flags="$flags -Cllvm-args=-sanitizer-coverage-$option"
    done
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="${RUSTFLAGS-} $flags" \
        cargo build -q --release --locked --manifest-path fuzz/Cargo.toml --target "$system"
}

# fuzz TARGET SECONDS LOG: runs one target and says what came of it.
fuzz() {
    local target=$1 seconds=$2 log=$3 work=${FUZZ_CORPUS:-$scratch}/$1 words status why crash
    mkdir -p "$work" "$found"
    words=("-max_total_time=$seconds")
    # No time at all would be no limit.
    [ "$seconds" -eq 0 ] && words=(-runs=0)
    [ -e "fuzz/dictionaries/$target" ] && words+=("-dict=fuzz/dictionaries/$target")
    "$programs/$target" -timeout=$stuck -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$found/$target-" "${words[@]}" "$work" "fuzz/corpus/$target" >"$log" 2>&1 </dev/null
    status=$?
    awk -v target="$target" -v files="$(find "$work" -type f | wc -l)" '
        / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
        /^stat::number_of_executed_units:/ { executions = $2 }
        END { printf "FUZZ %s: %d executions, %d corpus files, coverage %d edges\n", target, executions, files, edges }' "$log"
    if [ "$status" -eq 0 ]; then
        echo "PASS fuzz $target"
        return 0
    fi
    why=$(grep -m1 -A1 -E 'panicked at|ERROR: |slow input' "$log" | tr '\n' ' ' | cut -c1-240)
    crash=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    echo "FAIL fuzz $target: ${why:-ended with $status} (${crash:-no input}: bash fuzz/run.sh repeat $target ${crash:-FILE})"
    [ -n "$why" ] || tail -n 15 "$log"
    return 1
}

case ${1-} in
repeat)
    build && exec "$programs/$2" -timeout=$stuck "$3"
    exit 1
    ;;
minimise)
    target=$2 fewer=$(mktemp -d)
    shift 2
    build || exit 1
    "$programs/$target" -merge=1 -set_cover_merge=1 -use_value_profile=0 -use_counters=0 "$fewer" "fuzz/corpus/$target" "$@" \
        2>&1 | tail -n 1
    # What has once shown a defect stays.
    find "fuzz/corpus/$target" -type f ! -name 'crash-*' -delete
    cp "$fewer"/* "fuzz/corpus/$target/"
    rm -r "$fewer"
    exit
    ;;
'' | *[!0-9]*)
    sed -n '2,6s/^# //p' "$0"
    exit 2
    ;;
esac

seconds=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
build || { echo "FAIL fuzz: the targets do not build"; exit 1; }
worst=0 running=0
for target in ${*:-$all}; do
    if [ $running -eq 2 ]; then
        wait -n || worst=1
        running=1
    fi
    fuzz "$target" "$seconds" "$scratch/$target.log" &
    running=$((running + 1))
done
while [ $running -gt 0 ]; do
    wait -n || worst=1
    running=$((running - 1))
done
exit $worst
