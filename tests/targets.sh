#!/bin/sh
# targets.sh [TARGET...]: type-checks the library for systems that it cannot be built or run for here, and says for each
# PASS, FAIL with why, or SKIP with why. The standard library is checked from source with it, by Debian's rustc-web, whose
# source package (rust-web-src) belongs to it; so no target has to be downloaded. Honours CARGO_TARGET_DIR.
set -u
cd "$(dirname "$0")/.." || exit 1
targets=${*:-aarch64-apple-darwin aarch64-apple-ios aarch64-linux-android x86_64-pc-windows-gnu}
compiler=/usr/bin/rustc
library=$("$compiler" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library

if [ ! -d "$library" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing: rustc-web rust-web-src"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rustc-web rust-web-src; } \
        >/dev/null 2>&1
    library=$("$compiler" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library
fi
if [ ! -d "$library" ]; then
    for target in $targets; do
        echo "SKIP type-check for $target: no compiler with the source of its library (Debian: rustc-web, rust-web-src)"
    done
    exit 0
fi

# Apart from the usual build: another compiler.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/targets"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
failures=0
for target in $targets; do
    # RUSTC_BOOTSTRAP: -Z build-std on a stable compiler, for this command alone. Warnings are errors, as everywhere.
    if RUSTC=$compiler RUSTC_BOOTSTRAP=1 RUSTFLAGS="-D warnings" cargo check -q -p ptpbmca --lib --target "$target" \
        -Z build-std=std,panic_abort >"$output" 2>&1; then
        echo "PASS type-check for $target"
    else
        echo "FAIL type-check for $target: $(grep -m 1 -E '^error' "$output" || tail -n 1 "$output")"
        tail -n 60 "$output" | sed 's/^/     /'
        failures=$((failures + 1))
    fi
done
[ $failures -eq 0 ]
