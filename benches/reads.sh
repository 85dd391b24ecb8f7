#!/bin/sh
# reads.sh BUILD_DIR: runs the bench of reads against a simulated receiver on loopback.
set -eu
out=$1
"$out/examples/receiver" --address 127.0.0.9 --event-port 11319 --general-port 11320 --peer 127.0.0.1 --duration 60 \
    >/dev/null &
receiver=$!
trap 'kill $receiver 2>/dev/null || true' EXIT
sleep 1
"$out/reads" 127.0.0.9 127.0.0.1 11319 11320
