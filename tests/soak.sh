#!/bin/bash
# soak.sh: random worlds with fresh seeds on one core for HOURS (or SEEDS worlds), and as long the fuzzers on the other;
# ends with a summary of both. FIRST is the first seed; without it the clock's.
set -u
cd "$(dirname "$0")/.." || exit 1
hours=${HOURS:-1}
seconds=$(awk "BEGIN { print int($hours * 3600) }")
first=${FIRST:-$(($(date +%s) * 1000000))}
# The fuzzers share the last core.
pin=
if command -v taskset >/dev/null && [ "$(nproc)" -gt 1 ]; then pin="taskset -c $(($(nproc) - 1))"; fi
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

cargo test -q --test world --no-run || exit 1

# Rounds of a minute for each target, as long as another round fits in.
fuzz() {
    local start=$SECONDS round=0 left
    while left=$((seconds - (SECONDS - start))) && [ "$left" -gt 0 ] && [ "$round" -le "$left" ]; do
        [ -z "${SEEDS:-}" ] || [ ! -e "$logs/worlds.done" ] || break
        local begun=$SECONDS
        $pin bash fuzz/run.sh "${FUZZ_SLICE:-60}" >"$logs/fuzz.round" 2>&1 || {
            echo "FAIL fuzz: fuzz/run.sh ended with $?"
            tail -n 60 "$logs/fuzz.round"
            touch "$logs/fuzz.failed"
        }
        grep '^FUZZ ' "$logs/fuzz.round" >>"$logs/fuzz"
        round=$((SECONDS - begun))
    done
}

echo "worlds from seed $first on, ${SEEDS:-for $seconds s}"
fuzzing=
if [ -f fuzz/run.sh ]; then
    fuzz &
    fuzzing=$!
else
    echo "SKIP fuzz: there is no fuzz/run.sh"
fi
status=0
# The limit is one of liveness: the soak ends by itself.
WORLD_SOAK_FIRST=$first WORLD_SOAK_SECONDS=$seconds WORLD_SOAK_COUNT=${SEEDS:-} timeout $((seconds + 86400)) \
    cargo test -q --test world soak -- --ignored --nocapture 2>&1 | tee "$logs/worlds"
[ "${PIPESTATUS[0]}" -eq 0 ] || status=1
touch "$logs/worlds.done"
[ -z "$fuzzing" ] || wait "$fuzzing"
[ ! -e "$logs/fuzz.failed" ] || status=1

printf '\n== soak\n'
grep '^WORLDS' "$logs/worlds" || { echo "WORLDS: no summary"; status=1; }
# One line for each target over all rounds: FUZZ target: N executions, ...
[ ! -s "$logs/fuzz" ] || awk '
    { gsub(",", "", $3); if (!($2 in sum)) order[++n] = $2; sum[$2] += $3; rounds[$2]++ }
    END { for (i = 1; i <= n; i++) print "FUZZ", order[i], sum[order[i]], "executions in", rounds[order[i]], "rounds" }
' "$logs/fuzz"
exit $status
