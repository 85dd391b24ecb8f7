#!/bin/sh
# build.sh NAME: builds the library with the sanitizer NAME (address, realtime, thread) in it, and prints where it lies. The
# bugs of src/planted.rs are compiled in, all of them off until PTPBMCA_PLANTED names one: the controls use the same build.
#
# RUSTC_BOOTSTRAP: -Z on a stable compiler, for these commands alone.
set -eu
cd "$(dirname "$0")/../.."
name=$1
host=$(rustc -vV | sed -n 's/^host: //p')
# The controls run with a target directory of their own below the usual one.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
CARGO_TARGET_DIR=${CARGO_TARGET_DIR%/planted}/sanitizers/$name
RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR RUSTC_BOOTSTRAP
flags="-Zsanitizer=$name --cfg planted"
case $name in
address) options= ;;
realtime) flags="$flags --cfg rtsan" options=--release ;;
thread)
    # A standard library without it would hide from it what its locks and channels order.
    options="-Zbuild-std=std,panic_unwind"
    ;;
esac
# shellcheck disable=SC2086 # A list of options.
RUSTFLAGS="$flags" cargo build -q --lib -p ptpbmca --target "$host" $options >&2
[ "$name" = realtime ] && profile=release || profile=debug
ln -sf libptpbmca.so "$CARGO_TARGET_DIR/$host/$profile/libptpbmca.so.0"
echo "$CARGO_TARGET_DIR/$host/$profile"
