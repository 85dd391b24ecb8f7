#!/bin/sh
# run.sh BUILD_DIR [TEST...]: compiles the tests of C++, Objective-C and of what Swift imports against the library in
# BUILD_DIR (libptpbmca.so, libptpbmca.so.0, examples/receiver), runs them, and says for each: PASS, FAIL with why, or
# SKIP with why. Fails if any does. Tests named after BUILD_DIR are the only ones run.
set -u
. "$(dirname "$0")/../runner.sh"
include=$root/include
cd "$here" || exit 2
# Where the tests put what the simulated receivers say: gone with the rest, also after a failure.
export TMPDIR="$work"
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
link="-L$out -lptpbmca -Wl,-rpath,$out"

# --- Headers, with every warning there is ----------------------------------------------------------------------------

# Padding is how C lays out structs, and pointers in C are not spans: the two families that have no place here.
clang_all="-Weverything -Werror -Wno-unknown-warning-option -Wno-padded -Wno-unsafe-buffer-usage"
gcc_all="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wundef -Wcast-qual -Wcast-align \
    -Wwrite-strings -Wredundant-decls -Wunused-macros -Wdouble-promotion -Wfloat-equal -Wlogical-op -Wduplicated-cond \
    -Werror"
gcc_c="-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wc++-compat"
gcc_cpp="-Wold-style-cast -Wuseless-cast -Wzero-as-null-pointer-constant -Wnon-virtual-dtor -Woverloaded-virtual \
    -Weffc++ -Wextra-semi"

# syntax COMPILER FLAG...: looks at a file and says which combination it was.
syntax() {
    "$@" -I"$include" -fsyntax-only || { echo "with $*"; return 1; }
}

# The header twice, in a file that has nothing else, and nothing left of the macros that only it needs.
c_header() {
    compiler=$1
    need "$compiler"
    printf '#include <ptpbmca.h>\n#include <ptpbmca.h>\n%s\n' "#if defined(PTPBMCA_NULLABLE) || defined(PTPBMCA_NONNULL) || \\
    defined(PTPBMCA_NULL_UNSPECIFIED) || defined(PTPBMCA_SWIFT_NAME)
#error the macros of the header are still there
#endif" >"$work/alone.c"
    c_all="$gcc_all $gcc_c" cpp_all="$gcc_all $gcc_cpp"
    [ "$compiler" = clang ] && c_all=$clang_all cpp_all=$clang_all
    for standard in c99 c11 c17 c2x; do
        # shellcheck disable=SC2086
        syntax "$compiler" -x c -std=$standard $c_all "$work/alone.c" || return 1
    done
    for standard in c++11 c++17 c++20; do
        # shellcheck disable=SC2086
        syntax "$compiler" -x c++ -std=$standard $cpp_all "$work/alone.c" || return 1
    done
    [ "$compiler" = clang ] || return 0
    # What Objective-C and Swift see.
    for as in "-x objective-c -std=c11" "-x objective-c++ -std=c++17" "-x c -std=c11 -DPTPBMCA_NULLABILITY" \
        "-x c++ -std=c++17 -DPTPBMCA_NULLABILITY"; do
        # shellcheck disable=SC2086
        syntax clang $as $clang_all "$work/alone.c" || return 1
    done
}

# The same for C++, also two files with it in one program; its templates are used, so that they are looked into.
cpp_header() {
    compiler=$1
    need "$compiler"
    all="$gcc_all $gcc_cpp"
    [ "$compiler" = clang++ ] && all=$clang_all
    cat >"$work/alone.cpp" <<'END'
#include <ptpbmca.hpp>
#include <ptpbmca.hpp>
std::uint32_t here(ptpbmca::Config &config);
std::uint32_t there(ptpbmca::Config &config);
std::uint32_t PART(ptpbmca::Config &config)
{
    config.ready_timeout(std::chrono::seconds(1)).announce_timeout(std::chrono::minutes(1));
    ptpbmca::Result<ptpbmca::Session, ptpbmca::StartError> started = ptpbmca::Session::start("", config);
    const std::uint32_t epoch = started->offset().value_or(ptpbmca::ClockOffset()).epoch;
    return started->await_sync(std::chrono::hours(1)).ok() || started.message()[0] == 0 ? 1 : epoch;
}
#ifdef MAIN
int main()
{
    ptpbmca::Config config;
    return here(config) + there(config) == 0 ? 0 : 1;
}
#endif
END
    for standard in c++17 c++20; do
        for less in "" "-fno-exceptions -fno-rtti"; do
            # shellcheck disable=SC2086
            syntax "$compiler" -std=$standard $all $less -DPART=here "$work/alone.cpp" || return 1
        done
    done
    # shellcheck disable=SC2086
    "$compiler" -std=c++17 -DPART=here -I"$include" -c "$work/alone.cpp" -o "$work/one.o" &&
        "$compiler" -std=c++17 -DMAIN -DPART=there -I"$include" "$work/alone.cpp" "$work/one.o" -o "$work/two" $link && "$work/two"
}

# --- C++ programs ----------------------------------------------------------------------------------------------------

# cpp COMPILER FLAG...: the test program.
cpp() {
    compiler=$1
    need "$compiler"
    # The C tests' helpers are C, which is not measured by what C++ is warned of.
    # shellcheck disable=SC2086
    "$@" -O1 -g $warnings -I"$include" -isystem ../c test.cpp -o "$work/test" -pthread $link &&
        $guard "$work/test" "$out/examples/receiver"
}

sanitized() {
    need g++
    printf 'int main() {}\n' >"$work/empty.cpp"
    g++ -fsanitize=address,undefined "$work/empty.cpp" -o "$work/empty" 2>/dev/null && "$work/empty" 2>/dev/null ||
        { echo "no address sanitizer here"; return 77; }
    cpp g++ -std=c++17 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
}

# simulate HOST EVENT_PORT GENERAL_PORT PEER: a receiver, until the test ends.
simulate() {
    "$out/examples/receiver" --address "$1" --event-port "$2" --general-port "$3" --peer "$4" --skew-ppm 37.5 \
        --duration 60 >"$work/truth" 2>&1 &
    simulated=$!
    tries=0
    until grep -q '^ready' "$work/truth" || [ $tries -ge 100 ]; do sleep 0.1; tries=$((tries + 1)); done
}

# example PATTERN COMMAND...: an example that has to end well and print this.
example() {
    pattern=$1
    shift
    $guard "$@" >"$work/printed" 2>&1
    status=$?
    kill "$simulated" 2>/dev/null
    cat "$work/printed"
    [ $status -eq 0 ] || { echo "ended with $status"; return 1; }
    grep -q "$pattern" "$work/printed" || { echo "it did not follow the simulated receiver"; return 1; }
}

# example_cpp COMPILER FLAG...
example_cpp() {
    need "$1"
    # shellcheck disable=SC2086
    "$@" -O2 $warnings -I"$include" "$root/examples/follow.cpp" -o "$work/follow" -pthread $link || return 1
    simulate 127.0.31.12 24319 24320 127.0.31.11
    example '^LOCKED     FOLLOWING ' "$work/follow" 127.0.31.12 --local 127.0.31.11 --ports 24319 24320 --seconds 2
}

# --- Objective-C and Swift -------------------------------------------------------------------------------------------

# example_objc COMPILER: on the runtime of GCC.
example_objc() {
    compiler=$1
    need "$compiler"
    runtime=$(dirname "$(gcc -print-file-name=libobjc.so 2>/dev/null)")
    [ -e "$runtime/libobjc.so" ] && [ -e "$runtime/include/objc/objc.h" ] ||
        { echo "no libobjc of GCC here (gobjc)"; return 77; }
    flags=
    [ "$compiler" = clang ] && flags="-fobjc-runtime=gcc -idirafter $runtime/include -L$runtime"
    # shellcheck disable=SC2086
    "$compiler" -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Werror $flags -I"$include" -I"$root/bindings/objc" \
        "$root/examples/follow.m" "$root/bindings/objc/PTPReceiverClock.m" -o "$work/follow" $link -lobjc || return 1
    simulate 127.0.31.22 24419 24420 127.0.31.21
    example '^receiver  *12767[0-9]* ns .* epoch 0$' "$work/follow" 127.0.31.22 127.0.31.21 24419 24420 2
}

# The module as Swift imports it: as Objective-C on Apple's systems, as C elsewhere.
module() {
    need clang
    module=$root/bindings/swift/Sources/CPtpbmca
    imports="clang -fmodules -fmodules-cache-path=$work/modules -x objective-c -fsyntax-only -Wall -Werror -I$module"
    # The header of this tree by the shim's own knowledge, and the one that the search path gives.
    for where in "" "-I$include"; do
        $imports $where use.m || return 1
        if $imports $where -DMISTAKE use.m 2>/dev/null; then
            echo "a NULL that is not allowed was not seen"
            return 1
        fi
    done
    # Every function, struct and typedef but the opaque session has its name, in C too.
    printf '#include "shim.h"\n' >"$work/shim.c"
    for language in c objective-c; do
        clang -x $language -Xclang -ast-dump -fsyntax-only -fno-color-diagnostics -I"$module" -I"$include" \
            "$work/shim.c" >"$work/ast" || return 1
        names=$(grep -c SwiftNameAttr "$work/ast")
        # Typedefs of structs share the name of the struct, which has it.
        things=$(grep -E '^[|`]-(FunctionDecl|TypedefDecl|RecordDecl)' "$work/ast" | grep -E 'ptpbmca_[a-z_]+' | grep -cvE \
            "(RecordDecl.* struct ptpbmca_session\$)|TypedefDecl.*'struct ptpbmca_[a-z_]+'")
        [ "$names" -eq "$things" ] ||
            { echo "$names of $things declarations have a Swift name, read as $language"; return 1; }
    done
}

swift_package() {
    need swift
    cp -R "$root/Package.swift" "$root/bindings" "$root/include" "$work/" &&
        (cd "$work" && swift build -Xcc -Iinclude -Xlinker -L"$out")
}

simulator

run header-gcc c_header gcc
run header-clang c_header clang
run hpp-gcc cpp_header g++
run hpp-clang cpp_header clang++
run cpp17-gcc cpp g++ -std=c++17
run cpp17-clang cpp clang++ -std=c++17
run cpp20-gcc-no-exceptions-no-rtti cpp g++ -std=c++20 -fno-exceptions -fno-rtti
run cpp20-clang-no-exceptions-no-rtti cpp clang++ -std=c++20 -fno-exceptions -fno-rtti
run cpp17-sanitized sanitized
run example-cpp17 example_cpp g++ -std=c++17
run example-cpp20-no-exceptions example_cpp g++ -std=c++20 -fno-exceptions -fno-rtti
run example-objc-gcc example_objc gcc
run example-objc-clang example_objc clang
run swift-module module
run swift-package swift_package

conclude
