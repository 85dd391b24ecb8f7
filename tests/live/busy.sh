#!/bin/bash
# busy.sh [N=2]: N busy loops, for ten minutes at most; end it by its pid, which ends the loops
trap 'kill $(jobs -p) 2>/dev/null; exit 0' TERM INT
for ((i = 0; i < ${1:-2}; i++)); do ( while :; do :; done ) & done
sleep 600 & wait $!; kill $(jobs -p) 2>/dev/null
