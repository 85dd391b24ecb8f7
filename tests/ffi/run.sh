#!/bin/sh
# run.sh BUILD_DIR [TEST...]: tests the bindings for other languages against the library in BUILD_DIR (libptpbmca.so,
# libptpbmca.so.0, examples/receiver), and says for each test: PASS, FAIL with why, or SKIP with why. Fails if any does.
# Tests named after BUILD_DIR are the only ones run.
set -u
. "$(dirname "$0")/../runner.sh"
shown=yes
cd "$here" || exit 2
export PTPBMCA_LIBRARY="$out/libptpbmca.so"
# Nothing is left beside the sources.
export PYTHONDONTWRITEBYTECODE=1

# What C makes of the header, for the others to compare with; it knows every constant of the header.
c_layout() {
    $CC -std=c11 -O1 -Wall -Wextra -Wpedantic -Werror -I"$root/include" layout.c -o "$work/layout" &&
        "$work/layout" >"$work/layout.txt" || return 1
    sed -n 's/^#define PTPBMCA_\([A-Z_]*\) -\{0,1\}[0-9].*/\1/p' "$root/include/ptpbmca.h" | LC_ALL=C sort >"$work/defined"
    sed -n 's/^constant \([A-Z_]*\) .*/\1/p' "$work/layout.txt" | LC_ALL=C sort >"$work/listed"
    diff "$work/defined" "$work/listed" || { echo "layout.c lists other constants than the header has"; return 1; }
}

# follows COMMAND...: an example follows a simulated receiver and prints the table that follow.c prints; the last column,
# the error against what the simulated clock really reads, is inside of the bound in a row of a locked session.
follows() {
    : >"$work/truth"
    "$out/examples/receiver" --address 127.0.45.2 --event-port 24419 --general-port 24420 --peer 127.0.45.1 \
        --skew-ppm 37.5 --duration 60 --truth "$work/truth" >/dev/null &
    receiver=$!
    i=0
    while [ ! -s "$work/truth" ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done
    $guard "$@" 127.0.45.2 --local 127.0.45.1 --ports 24419 24420 --seconds 3 --every 250 --truth "$work/truth" \
        >"$work/table" 2>"$work/complaints"
    status=$?
    kill $receiver
    wait $receiver 2>/dev/null
    [ $status -eq 0 ] || { cat "$work/table" "$work/complaints"; return $status; }
    awk -v titles="state      role                  offset ns   skew ppm   bound us    path us   age ms  epoch   error us" '
        NR == 1 && $0 != titles { print "another first line: " $0; wrong = 1 }
        NR == 1 { next }
        !/^[A-Z]+ +[A-Z]+ +-?[0-9]+ +[+-][0-9]+\.[0-9][0-9][0-9] / { print "not a row: " $0; wrong = 1 }
        $1 == "LOCKED" && $2 == "FOLLOWING" {
            if (length($0) != length(titles) || NF != 9 || $9 !~ /^[+-][0-9]+\.[0-9]$/ || $8 != 0) {
                print "not a row: " $0
                wrong = 1
            }
            error = $9 < 0 ? -$9 : $9
            locked++
            # Reading the clocks takes its time; a wrong conversion is wrong everywhere.
            if (error <= $5) { inside++; best = $0 }
        }
        END {
            if (!locked) { print "never locked"; wrong = 1 }
            if (!inside) { print "no error inside of its bound"; wrong = 1 }
            if (wrong) exit 1
            printf "%d of %d rows inside of the bound, such as\n%s\n", inside, locked, best
        }' "$work/table" || { cat "$work/table" "$work/complaints"; return 1; }
}

# With the wrong arguments, and a receiver that is none, an example says so and fails.
refuses() {
    "$@" >"$work/refused" 2>&1 && { echo "no receiver is no error"; return 1; }
    "$@" speaker.local >"$work/refused" 2>&1 && { echo "no address is no error"; return 1; }
    grep -q 'speaker\.local' "$work/refused" || { cat "$work/refused"; echo "it does not say which address is none"; return 1; }
}

# --- C, which the others are compared with ----------------------------------------------------------------------------

c_follow() {
    $CC -std=c99 -O1 -I"$root/include" "$root/examples/follow.c" -o "$work/follow" -L"$out" -lptpbmca -Wl,-rpath,"$out" &&
        follows "$work/follow" && refuses "$work/follow"
}

# --- Python -----------------------------------------------------------------------------------------------------------

python_layout() { need python3 && $guard python3 check.py layout "$work/layout.txt"; }
python_calls() { need python3 && $guard python3 -X dev check.py calls; }
python_follow() { need python3 && follows python3 "$root/examples/follow.py" && refuses python3 "$root/examples/follow.py"; }

# The module finds the library by the variable, or else beside itself.
python_finds() {
    need python3 || return
    mkdir "$work/beside" && cp "$root/bindings/python/ptpbmca.py" "$work/beside/" || return 1
    (
        unset PTPBMCA_LIBRARY
        cd "$work/beside" || exit 1
        if python3 -c 'import ctypes; ctypes.CDLL("libptpbmca.so.0")' 2>/dev/null; then
            echo "the system has a library too"
        elif python3 -c 'import ptpbmca' 2>lacking; then
            echo "it found a library that is not there"
            exit 1
        else
            grep -q PTPBMCA_LIBRARY lacking || { cat lacking; exit 1; }
        fi
        ln -s "$out/libptpbmca.so" libptpbmca.so.0
        python3 -c 'import ptpbmca; print(ptpbmca.version())'
    )
}

python_types() {
    mypy=
    if have mypy; then mypy=mypy; elif python3 -m mypy --version >/dev/null 2>&1; then mypy="python3 -m mypy"; fi
    [ -n "$mypy" ] || { echo "no mypy here"; return 77; }
    MYPYPATH="$root/bindings/python" $mypy --strict --cache-dir="$work/mypy" "$root/bindings/python/ptpbmca.py" \
        "$root/examples/follow.py" check.py
}

# --- Node.js ----------------------------------------------------------------------------------------------------------

# A folder with the module and koffi, which npm gets by the lock file's checksums.
node_ready() {
    need node && need npm || return
    [ ! -e "$work/node/node_modules/koffi" ] || return 0
    mkdir -p "$work/node" && cp "$root/bindings/node/"*.js* "$root/bindings/node/follow.mjs" check.mjs "$work/node/" || return 1
    (cd "$work/node" && $guard npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >"$work/npm" 2>&1 &&
        (cd "$work/node" && node -e 'import("koffi").catch(() => process.exit(1))') >>"$work/npm" 2>&1 || {
        rm -rf "$work/node"
        tail -n 5 "$work/npm"
        echo "npm cannot install koffi here"
        return 77
    }
}

node_layout() { node_ready && $guard node "$work/node/check.mjs" layout "$work/layout.txt"; }
node_calls() { node_ready && $guard node "$work/node/check.mjs" calls; }
node_follow() { node_ready && follows node "$work/node/follow.mjs" && refuses node "$work/node/follow.mjs"; }

# --- LuaJIT -----------------------------------------------------------------------------------------------------------

lua_layout() { need luajit && $guard luajit check.lua layout "$work/layout.txt"; }
lua_calls() { need luajit && $guard luajit check.lua calls; }
lua_follow() {
    need luajit && follows luajit "$root/bindings/lua/follow.lua" && refuses luajit "$root/bindings/lua/follow.lua"
}

# --- C#, by Mono ------------------------------------------------------------------------------------------------------

by_mono() { LD_LIBRARY_PATH="$out" $guard mono "$@"; }
csharp() {
    need mcs && need mono || return
    program=$1
    shift
    mcs -warnaserror -langversion:7 -r:System.Core.dll -out:"$work/program.exe" "$program" "$root/bindings/csharp/Ptpbmca.cs" &&
        by_mono "$work/program.exe" "$@"
}

csharp_layout() { csharp Check.cs layout "$work/layout.txt"; }
csharp_calls() { csharp Check.cs calls; }
csharp_follow() {
    need mcs && need mono || return
    mcs -warnaserror -langversion:7 -out:"$work/Follow.exe" "$root/bindings/csharp/Follow.cs" "$root/bindings/csharp/Ptpbmca.cs" &&
        LD_LIBRARY_PATH="$out" follows mono "$work/Follow.exe" && LD_LIBRARY_PATH="$out" refuses mono "$work/Follow.exe"
}

simulator

# The others read what this wrote.
begun=$(date +%s)
c_layout >"$work/output" 2>&1
verdict "c-layout" $? "$work/output" $(($(date +%s) - begun))
run c-follow c_follow
run python-layout python_layout
run python-calls python_calls
run python-finds python_finds
run python-types python_types
run python-follow python_follow
run node-layout node_layout
run node-calls node_calls
run node-follow node_follow
run lua-layout lua_layout
run lua-calls lua_calls
run lua-follow lua_follow
run csharp-layout csharp_layout
run csharp-calls csharp_calls
run csharp-follow csharp_follow

conclude
