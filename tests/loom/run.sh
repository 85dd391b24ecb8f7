#!/bin/sh
# run.sh [CARGO TEST ARGUMENT...]: the models of tests/loom. One build in the target directory's `loom` serves tests/controls.sh
# too, whose flag for planted bugs it does without: the models always have them compiled in.
set -eu
cd "$(dirname "$0")/../.."
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}
CARGO_TARGET_DIR=${CARGO_TARGET_DIR%/planted}/loom
RUSTFLAGS=${RUSTFLAGS:-}
RUSTFLAGS=${RUSTFLAGS%--cfg planted}
export CARGO_TARGET_DIR RUSTFLAGS
exec cargo test -q --locked --manifest-path tests/loom/Cargo.toml "$@" -- --nocapture
