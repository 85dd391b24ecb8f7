#!/bin/sh
# demo.sh BUILD_DIR: a C program follows a simulated HomePod for ten seconds, on loopback addresses and high ports. The
# last column is the error against what the simulated clock really reads.
set -eu
out=$1
truth=$(mktemp)
"$out/examples/receiver" --address 127.0.0.2 --event-port 10319 --general-port 10320 --peer 127.0.0.1 \
    --skew-ppm 37.5 --duration 20 --truth "$truth" >/dev/null &
receiver=$!
trap 'kill $receiver 2>/dev/null || true; rm -f "$truth"' EXIT
i=0
while [ ! -s "$truth" ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done
echo "following a simulated receiver at 127.0.0.2, whose clock runs 37.5 ppm fast:"
"$out/follow" 127.0.0.2 --local 127.0.0.1 --ports 10319 10320 --seconds 10 --truth "$truth"
