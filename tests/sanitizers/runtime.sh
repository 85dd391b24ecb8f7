#!/bin/sh
# runtime.sh NAME: prints the path of the runtime of the sanitizer `NAME` (asan, rtsan, tsan) that comes with the compiler; fails
# where it has none.
set -eu
lib=$(rustc --print target-libdir)
for runtime in "$lib"/librustc-*_rt."$1".a; do
    [ -e "$runtime" ] && echo "$runtime" && exit 0
done
exit 1
