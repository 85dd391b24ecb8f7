#!/bin/sh
# realtime.sh BUILD_DIR: runs the bench of worst cases against a simulated receiver on loopback: by itself, beside two busy
# loops, and both with a realtime priority where that is allowed.
set -eu
out=$1
"$out/examples/receiver" --address 127.0.0.9 --event-port 11319 --general-port 11320 --peer 127.0.0.1 --duration 300 \
    --standalone --sync-interval-ms 1 >/dev/null &
started=$!
trap 'kill $started 2>/dev/null || true' EXIT
sleep 1
bench() { "$out/realtime" 127.0.0.9 127.0.0.1 11319 11320 "$@" || [ $? -eq 77 ]; }
bench "By itself"
bench "By itself, SCHED_FIFO and mlockall" fifo
for loop in 1 2; do
    sh -c 'while :; do :; done' &
    started="$started $!"
done
bench "Beside two busy loops"
bench "Beside two busy loops, SCHED_FIFO and mlockall" fifo
