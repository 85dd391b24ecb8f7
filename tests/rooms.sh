#!/bin/sh
# rooms.sh: every file of the inner rooms forbids unsafe code, and unsafe stands in the edge rooms only. What else the
# rooms may not do (clocks, threads, sockets), clippy.toml denies.
set -eu
cd "$(dirname "$0")/.."
bad=0
inner="src/time.rs src/latch.rs src/timeline.rs src/election.rs src/error.rs src/session/lease.rs $(find src/wire src/estimator src/association -name '*.rs' | grep -v /tests)"
for file in $inner; do
    grep -q '^#!\[forbid(unsafe_code)\]' "$file" || { echo "$file does not forbid unsafe code"; bad=1; }
    # Their tests may do as they like.
    if sed '/^#\[cfg(\(all(\)\{0,1\}test/,$d' "$file" | grep -nE 'std::(net|thread|env|fs|time|io)::|crate::(engine|session|ffi|config)\b|libc::|socket2|parking_lot'; then
        echo "$file reaches out of its room"
        bad=1
    fi
done
for file in $(grep -rlE '\bunsafe\b' src --include='*.rs'); do
    case $file in
    src/engine/*|src/ffi/*|src/session/mod.rs) ;;
    *) grep -vE '^#!\[forbid\(unsafe_code\)\]|^ *//' "$file" | grep -qE '\bunsafe\b' && { echo "$file has unsafe code"; bad=1; } ;;
    esac
done
exit $bad
