#!/bin/sh
# run.sh BUILD_DIR [TEST...]: installs what is in BUILD_DIR in every way there is, builds a program against it outside of
# the source tree, runs it, and removes it again. Says for each: PASS, FAIL with why, or SKIP with why. Fails if any does.
# Tests named after BUILD_DIR are the only ones run. Binds 127.0.41.x.
set -u
. "$(dirname "$0")/../runner.sh"
CARGO_TARGET_DIR=$(dirname "$out")
export CARGO_TARGET_DIR
unset MAKEFLAGS MAKELEVEL MFLAGS DESTDIR PREFIX LIBDIR INCLUDEDIR PYTHONDIR PKG_CONFIG_PATH LD_LIBRARY_PATH
# Somebody without privileges runs programs from there.
chmod 755 "$work"
warnings="-Wall -Wextra -Wpedantic -Werror"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)

# made TARGET VARIABLE...: the Makefile's target, with what is in BUILD_DIR.
made() { make -s -C "$root" OUT="$out" "$@"; }

# listed DIRECTORY: every file and link below it.
listed() { (cd "$1" && find . ! -type d | LC_ALL=C sort); }

# leads PROGRAM: it says what it has to.
leads() {
    said=$($guard "$1" 2>&1) || { echo "$said"; echo "$1 failed"; return 1; }
    [ "$said" = "LEADING $version" ] || { echo "$1 says: $said"; return 1; }
}

# linked PROGRAM yes|no: whether it takes the shared library.
linked() {
    have readelf || return 0
    readelf -d "$1" | grep NEEDED >"$work/needed"
    case $(grep -c '\[libptpbmca\.so\.0\]' "$work/needed")$2 in
    1yes | 0no) ! grep 'libptpbmca' "$work/needed" | grep -v '\[libptpbmca\.so\.0\]' ;;
    *) cat "$work/needed"; echo "$1: linked to libptpbmca.so.0 is not \"$2\""; return 1 ;;
    esac
}

# outside: an empty directory with the program, far from the source tree.
outside() {
    rm -rf "$work/outside"
    mkdir "$work/outside"
    cp "$here/program.c" "$here/CMakeLists.txt" "$work/outside"
    cd "$work/outside" || exit 1
}

prefix=$work/prefix

# --- make install and make uninstall ----------------------------------------------------------------------------------

installs() {
    need make
    made install PREFIX="$prefix" || return 1
    for file in lib/libptpbmca.so lib/libptpbmca.so.0 "lib/libptpbmca.so.$version" lib/libptpbmca.a include/ptpbmca.h \
        lib/pkgconfig/ptpbmca.pc lib/cmake/ptpbmca/ptpbmcaConfig.cmake lib/cmake/ptpbmca/ptpbmcaConfigVersion.cmake; do
        [ -r "$prefix/$file" ] || { echo "$file is not there"; return 1; }
    done
    [ "$(readlink "$prefix/lib/libptpbmca.so.0")" = "libptpbmca.so.$version" ] &&
        [ "$(readlink "$prefix/lib/libptpbmca.so")" = libptpbmca.so.0 ] || { echo "the links lead elsewhere"; return 1; }
    # As they were built: nothing stripped, nothing changed.
    cmp "$out/libptpbmca.so" "$prefix/lib/libptpbmca.so.0" && cmp "$out/libptpbmca.a" "$prefix/lib/libptpbmca.a" || return 1
    for header in "$root"/include/*.h*; do
        cmp "$header" "$prefix/include/${header##*/}" || return 1
    done
    # The tool and its manual, where they are.
    [ ! -x "$out/ptpbmca" ] || cmp "$out/ptpbmca" "$prefix/bin/ptpbmca" || return 1
    for page in "$root"/packaging/man/*.1; do
        [ ! -e "$page" ] || [ ! -x "$out/ptpbmca" ] || cmp "$page" "$prefix/share/man/man1/${page##*/}" || return 1
    done
}

# Staged elsewhere than it is meant for, with directories of a distribution's own; and what is there already stays.
staged() {
    need make
    stage=$work/stage
    set -- PREFIX=/opt/p LIBDIR=/opt/p/lib64/here INCLUDEDIR=/opt/p/headers DESTDIR="$stage"
    mkdir -p "$stage/opt/p/lib64/here/cmake" "$stage/opt/p/headers" "$stage/opt/p/bin"
    touch "$stage/opt/p/lib64/here/libother.so.0" "$stage/opt/p/headers/other.h" "$stage/opt/p/bin/other"
    listed "$stage" >"$work/before"
    made install "$@" || return 1
    ! listed "$stage" | grep -v '^\./opt/p/' || { echo "installed outside of the prefix"; return 1; }
    [ -e "$stage/opt/p/lib64/here/libptpbmca.so.0" ] && [ -e "$stage/opt/p/headers/ptpbmca.h" ] ||
        { echo "LIBDIR or INCLUDEDIR is not heeded"; return 1; }
    ! grep -rIlF -e "$stage" "$stage" || { echo "these name DESTDIR"; return 1; }
    made uninstall "$@" || return 1
    listed "$stage" >"$work/after"
    diff "$work/before" "$work/after" || { echo "uninstall leaves or takes something"; return 1; }
    ! find "$stage" -type d -name '*ptpbmca*' | grep . || { echo "uninstall leaves directories"; return 1; }
    # A second time there is nothing to do, and nothing to complain of.
    made uninstall "$@"
}

# Somebody else's path to a library directory outside of the prefix is kept as it is.
scattered() {
    need make pkg-config
    made install PREFIX="$work/s/usr" LIBDIR="$work/s/libraries" INCLUDEDIR="$work/s/headers" || return 1
    PKG_CONFIG_PATH=$work/s/libraries/pkgconfig
    export PKG_CONFIG_PATH
    outside
    # shellcheck disable=SC2046
    $CC program.c $(pkg-config --cflags --libs ptpbmca) -o scattered && LD_LIBRARY_PATH=$work/s/libraries leads ./scattered ||
        return 1
    if have cmake; then
        cmake_builds "$work/s/libraries/cmake" || return 1
    fi
    made uninstall PREFIX="$work/s/usr" LIBDIR="$work/s/libraries" INCLUDEDIR="$work/s/headers" && ! listed "$work/s" | grep .
}

removed() {
    need make
    made uninstall PREFIX="$prefix" || return 1
    ! listed "$prefix" | grep . || { echo "uninstall leaves these"; return 1; }
}

# Libs.private is what the compiler says of an archive, less what every compiler links by itself.
private_libraries() {
    need rustc
    echo >"$work/nothing.rs"
    says=$(rustc --crate-type staticlib --print native-static-libs -o "$work/nothing.a" "$work/nothing.rs" 2>&1 |
        sed -n 's/.*native-static-libs: //p')
    [ -n "$says" ] || { echo "rustc does not say"; return 1; }
    wanted_libraries=$(echo "$says" | tr ' ' '\n' | grep -vx -e '-lgcc_s' -e '-lc' | LC_ALL=C sort -u | tr '\n' ' ')
    ours=$(sed -n 's/^Libs\.private: //p' "$prefix/lib/pkgconfig/ptpbmca.pc" | tr ' ' '\n' | LC_ALL=C sort -u | tr '\n' ' ')
    [ "$wanted_libraries" = "$ours" ] || { echo "Libs.private is $ours, rustc says $says"; return 1; }
}

# --- Programs ---------------------------------------------------------------------------------------------------------

# moved: an installation that lies elsewhere than it was made for, in $there, and an empty directory to build in. What
# names the place it was made for finds nothing.
there=$work/moved/nowhere/ptpbmca
moved() {
    need make
    [ -d "$there" ] || made install PREFIX=/nowhere/ptpbmca DESTDIR="$work/moved" || return 1
    PKG_CONFIG_PATH=$there/lib/pkgconfig
    export PKG_CONFIG_PATH
    outside
}

# shellcheck disable=SC2046 # Flags are words.
with_pkg_config() {
    need pkg-config
    moved || return
    [ "$(pkg-config --modversion ptpbmca)" = "$version" ] || { echo "pkg-config says another version"; return 1; }
    # shellcheck disable=SC2086
    $CC -std=c99 $warnings program.c $(pkg-config --cflags --libs ptpbmca) -o shared || return 1
    linked shared yes || return 1
    ! $guard ./shared >/dev/null 2>&1 || { echo "it runs without the library: another one is installed"; return 1; }
    LD_LIBRARY_PATH=$there/lib leads ./shared
}

# With the archive, and with nothing shared at all.
# shellcheck disable=SC2046
with_pkg_config_static() {
    need pkg-config
    moved || return
    flags=$(pkg-config --static --cflags --libs ptpbmca)
    # shellcheck disable=SC2086
    $CC -std=c99 $warnings program.c $(echo "$flags" | sed 's/-lptpbmca/-Wl,-Bstatic & -Wl,-Bdynamic/') -o archive || return 1
    linked archive no && leads ./archive || return 1
    # glibc warns that it would load name services at run time; the library asks for none.
    # shellcheck disable=SC2086
    $CC -std=c99 program.c -static $flags -o static || return 1
    ! readelf -d static | grep NEEDED && leads ./static
}

# shellcheck disable=SC2046
with_cpp() {
    need pkg-config
    moved || return
    have "$CXX" || { echo "no $CXX here"; return 77; }
    hpp=
    [ ! -e "$there/include/ptpbmca.hpp" ] || hpp=-DWITH_HPP
    # shellcheck disable=SC2086
    $CXX -x c++ -std=c++17 $warnings $hpp program.c -x none $(pkg-config --cflags --libs ptpbmca) -o cpp || return 1
    LD_LIBRARY_PATH=$there/lib leads ./cpp
}

# cmake_builds PREFIX: the project outside, against what CMake finds there ("": where it looks by itself).
cmake_builds() {
    rm -rf build
    cmake -S . -B build -DEXPECTED_VERSION="$version" ${1:+"-DCMAKE_PREFIX_PATH=$1"} >configured 2>&1 || { cat configured; return 1; }
    cmake --build build >built 2>&1 || { cat built; return 1; }
    linked build/shared yes && linked build/static no && linked build/static-cpp no || return 1
    # CMake gives programs in the build tree the way to the library.
    leads build/shared && leads build/static && leads build/static-cpp
}

with_cmake() {
    need cmake
    moved || return
    have "$CXX" || { echo "no $CXX here"; return 77; }
    cmake_builds "$there" || return 1
    # Through a link to the directory, as /lib is one on many systems.
    mkdir -p "$work/linked" && ln -sfn "$there/lib" "$work/linked/lib" || return 1
    cmake_builds "$work/linked"
}

# Through the installed module: a Python that is told of its directory finds the library that belongs to it.
with_python() {
    need python3
    outside
    cat >program.py <<'EOF'
import sys

import ptpbmca

if ptpbmca.version() != sys.argv[1]:
    sys.exit("the library says " + ptpbmca.version())
config = ptpbmca.Config(role=ptpbmca.RolePolicy.LEAD, local_address="127.0.41.1", event_port=22841, general_port=22842)
with ptpbmca.Session("127.0.41.3", config) as session:
    session.await_sync(5000)
    if session.offset().role != ptpbmca.Role.LEADING:
        sys.exit("not leading")
EOF
    unset PTPBMCA_LIBRARY
    module=$(find "$prefix" -name ptpbmca.py ! -path '*/share/*')
    [ -n "$module" ] || { echo "the module is not installed"; return 1; }
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$(dirname "$module") $guard python3 program.py "$version" || return 1
    # The copy among the documents, too.
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$prefix/share/doc/ptpbmca/bindings/python $guard python3 program.py "$version"
}

# What README and the host guide show whole is accepted as it stands there.
documented() {
    need python3
    for page in README.md docs/host-guide.md; do
        for language in c cpp python; do
            awk -v name="$work/shown-$(basename $page .md)" -v begin="\`\`\`$language" -v suffix=".$language" '
                $0 == begin { on = 1; file = name "-" ++count suffix; printf "" >file; next }
                /^```$/ { on = 0 }
                on { print >file }' "$prefix/share/doc/ptpbmca/$page"
        done
    done
    checked=0
    for file in "$work"/shown-*; do
        case $file in
        # shellcheck disable=SC2086
        *.c) $CC -std=c99 $warnings -I"$prefix/include" -fsyntax-only "$file" ;;
        # shellcheck disable=SC2086
        *.cpp) have "$CXX" || continue; $CXX -std=c++17 $warnings -I"$prefix/include" -fsyntax-only "$file" ;;
        *.python) python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$file" ;;
        esac || return 1
        checked=$((checked + 1))
    done
    [ $checked -ge 4 ] || { echo "only $checked programs found"; return 1; }
}

# What is read is there too, and every link in it leads somewhere.
documents() {
    documents=$prefix/share/doc/ptpbmca
    find "$documents" -name '*.md' >"$work/pages"
    [ "$(wc -l <"$work/pages")" -ge 8 ] || { cat "$work/pages"; echo "documents are missing"; return 1; }
    while IFS= read -r page; do
        grep -o '](\([^)#]*\)' "$page" | sed 's/^](//' | grep -v '^https*:' | while IFS= read -r link; do
            [ -e "$(dirname "$page")/$link" ] || echo "${page#"$documents"/} leads to $link"
        done
    done <"$work/pages" >"$work/broken"
    [ ! -s "$work/broken" ] || { cat "$work/broken"; echo "links lead nowhere"; return 1; }
}

# A module map names the header where it lies now.
with_modules() {
    need clang
    map=$(find "$prefix/include" -name module.modulemap | head -n 1)
    [ -n "$map" ] || { echo "no module map is installed"; return 77; }
    module=$(basename "$(dirname "$map")")
    outside
    printf '@import %s;\nint main(void) { return ptpbmca_version() == 0; }\n' "$module" >module.m
    clang -fmodules -fmodules-cache-path="$work/modules" -I"$prefix/include" -x objective-c -c module.m -o module.o
}

with_cargo_c() {
    need cargo cargo-cinstall
    (cd "$root" && cargo cinstall --release -p ptpbmca --prefix="$work/cargo-c" --libdir=lib --target-dir "$CARGO_TARGET_DIR") ||
        return 1
    for file in lib/libptpbmca.so.0 lib/libptpbmca.a include/ptpbmca.h lib/pkgconfig/ptpbmca.pc; do
        [ -e "$work/cargo-c/$file" ] || { echo "$file is not there"; return 1; }
    done
    need pkg-config
    PKG_CONFIG_PATH=$work/cargo-c/lib/pkgconfig
    export PKG_CONFIG_PATH
    outside
    # shellcheck disable=SC2046
    $CC program.c $(pkg-config --cflags --libs ptpbmca) -o cargo-c || return 1
    linked cargo-c yes && LD_LIBRARY_PATH=$work/cargo-c/lib leads ./cargo-c
}

# --- Sockets handed over ----------------------------------------------------------------------------------------------

# player: the example, built against the installation, with the way to it inside.
player() {
    # shellcheck disable=SC2086
    $CC -std=c99 $warnings -I"$prefix/include" "$root/examples/socket-activation.c" -o "$work/player" \
        -L"$prefix/lib" -lptpbmca -Wl,-rpath,"$prefix/lib" &&
        $CC -std=c11 $warnings "$here/launcher.c" -o "$work/launcher"
}

# follows EVENT GENERAL COMMAND...: what the command prints while a simulated receiver at 127.0.41.2 speaks to 127.0.41.1.
follows() {
    event=$1 general=$2
    shift 2
    [ -x "$out/examples/receiver" ] || { echo "the simulated receiver is not built"; return 77; }
    "$out/examples/receiver" --address 127.0.41.2 --event-port "$event" --general-port "$general" --peer 127.0.41.1 \
        --duration 60 >"$work/receiver" 2>&1 &
    receiver=$!
    $guard "$@" >"$work/player.says" 2>&1
    status=$?
    kill $receiver 2>/dev/null
    wait $receiver 2>/dev/null
    cat "$work/player.says"
    [ $status -eq 0 ] || { tail -n 3 "$work/receiver"; tail -n 1 "$work/player.says"; return $status; }
    grep -q "^event messages on UDP $event, general ones on $general\$" "$work/player.says" ||
        { echo "the sockets are confused"; return 1; }
    grep -q "^the receiver's clock reads [1-9][0-9]* ns\$" "$work/player.says" || { echo "it never knew the time"; return 1; }
}

activation() {
    player || return 1
    # Nobody handed anything over.
    "$work/player" 127.0.41.2 >"$work/refused" 2>&1
    [ $? -eq 1 ] && grep -q 'no UDP sockets for ports 319 and 320' "$work/refused" ||
        { cat "$work/refused"; echo "it starts without sockets"; return 1; }
    # Somebody did, but to its parent.
    # shellcheck disable=SC2016
    $guard "$work/launcher" 127.0.41.1 22843 22844 /bin/sh -c '"$@"; exit $?' sh "$work/player" 127.0.41.2 --ports 22843 22844 \
        --seconds 1 >"$work/refused" 2>&1
    [ $? -eq 1 ] && grep -q 'no UDP sockets for ports 22843 and 22844' "$work/refused" ||
        { cat "$work/refused"; echo "it takes its parent's sockets"; return 1; }
    follows 22843 22844 "$work/launcher" 127.0.41.1 22843 22844 "$work/player" 127.0.41.2 --ports 22843 22844 --seconds 2
}

# The true ports, for somebody who may not bind them.
activation_privileged() {
    [ "$(id -u)" = 0 ] || { echo "ports 319 and 320 take a privilege"; return 77; }
    player || return 1
    follows 319 320 "$work/launcher" 127.0.41.1 319 320 "$work/player" 127.0.41.2 --seconds 2
}

activation_systemd() {
    need systemd-socket-activate
    player || return 1
    # It starts the program when something arrives.
    follows 22845 22846 systemd-socket-activate --datagram -l 127.0.41.1:22845 -l 127.0.41.1:22846 --fdname=ptp:ptp \
        "$work/player" 127.0.41.2 --ports 22845 22846 --seconds 2
}

units() {
    need systemd-analyze
    player || return 1
    mkdir -p "$work/units"
    cp "$root/packaging/systemd/player.socket" "$work/units"
    sed "s|^ExecStart=[^ ]*|ExecStart=$work/player|" "$root/packaging/systemd/player.service" >"$work/units/player.service"
    systemd-analyze verify --man=no --recursive-errors=no "$work/units/player.socket" "$work/units/player.service" \
        >"$work/verified" 2>&1 && ! [ -s "$work/verified" ] || { cat "$work/verified"; return 1; }
}

# --- Debian packages --------------------------------------------------------------------------------------------------

deb_builds() {
    need dpkg-deb dpkg-architecture objdump strip make cargo
    made deb >"$work/made" 2>&1 || { cat "$work/made"; return 1; }
    cp "$out"/deb/*.deb "$work/"
    library=$(ls "$work"/libptpbmca0_*.deb) && development=$(ls "$work"/libptpbmca-dev_*.deb) || return 1
    dpkg-deb -I "$library" shlibs | grep -qx "libptpbmca 0 libptpbmca0 (>= $version)" || { echo "shlibs are wrong"; return 1; }
    dpkg-deb -I "$library" triggers | grep -q ldconfig || { echo "ldconfig is not run"; return 1; }
    # What is linked in has owners of its own.
    dpkg-deb --fsys-tarfile "$library" | tar xO ./usr/share/doc/libptpbmca0/copyright >"$work/copyright"
    grep -q '^ - mio v' "$work/copyright" && grep -q 'Carl Lerche' "$work/copyright" || { echo "copyright names no crates"; return 1; }
    # No file in two packages, and all of the installation in one of them.
    for deb in "$work"/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar t | grep -v '/$'; done | LC_ALL=C sort >"$work/packed"
    [ -z "$(uniq -d "$work/packed")" ] || { echo "in two packages: $(uniq -d "$work/packed")"; return 1; }
    for file in $(listed "$prefix" | grep -v -e '/doc/' -e '/lib/' | sed 's|^\./||; s|site-functions|vendor-completions|'); do
        grep -q -e "/usr/$file\(\.gz\)*\$" "$work/packed" || { echo "in no package: $file"; return 1; }
    done
    # Equal sources, equal packages.
    made deb >/dev/null 2>&1 && for deb in "$out"/deb/*.deb; do cmp "$deb" "$work/${deb##*/}" || return 1; done
}

# purged: the packages are gone, whatever happened.
purged() { dpkg --purge python3-ptpbmca ptpbmca-tools libptpbmca-dev libptpbmca0 >"$work/purge" 2>&1 || { cat "$work/purge"; return 1; }; }

# shellcheck disable=SC2046
deb_works() {
    need dpkg pkg-config
    [ "$(id -u)" = 0 ] || { echo "packages are installed by root"; return 77; }
    ls "$work"/libptpbmca0_*.deb >/dev/null 2>&1 || { echo "no packages were built"; return 77; }
    ! dpkg-query -W -f '${Status}\n' libptpbmca0 libptpbmca-dev ptpbmca-tools python3-ptpbmca 2>/dev/null | grep -q installed ||
        { echo "the packages are installed already, and stay"; return 77; }
    trap 'purged >/dev/null 2>&1' EXIT
    trap 'exit 1' INT TERM
    attempts=0
    until dpkg -i "$work"/*.deb >"$work/dpkg" 2>&1; do
        # Another installation is under way.
        attempts=$((attempts + 1))
        [ $attempts -lt 20 ] && grep -q 'lock' "$work/dpkg" || { cat "$work/dpkg"; return 1; }
        sleep 3
    done
    dpkg -V libptpbmca0 libptpbmca-dev | grep . && { echo "files are not as packed"; return 1; }
    outside
    flags=$(pkg-config --cflags --libs ptpbmca)
    # The compiler looks in /usr/include by itself, and naming it breaks #include_next.
    case $flags in
    *-I* | *-L*) echo "pkg-config names the system's directories: $flags"; return 1 ;;
    esac
    # shellcheck disable=SC2086
    $CC -std=c99 $warnings program.c $flags -o shared && linked shared yes && leads ./shared || return 1
    # shellcheck disable=SC2086
    $CC -std=c99 program.c -static $(pkg-config --static --libs ptpbmca) -o static && leads ./static || return 1
    if have cmake && have "$CXX"; then
        cmake_builds "" || return 1
    fi
    if have dpkg-shlibdeps; then
        # A package of the program gets the right dependency by itself.
        mkdir debian && printf 'Source: outside\n\nPackage: outside\nArchitecture: any\n' >debian/control
        dpkg-shlibdeps -O ./shared 2>shlibdeps | grep -q "libptpbmca0 (>= $version)" ||
            { cat shlibdeps; echo "no dependency on libptpbmca0"; return 1; }
    fi
    if have python3; then
        said=$(/usr/bin/python3 -c 'import ptpbmca; print(ptpbmca.version(), ptpbmca.__file__)' 2>&1)
        [ "$said" = "$version /usr/lib/python3/dist-packages/ptpbmca.py" ] || { echo "Python says: $said"; return 1; }
    fi
    [ ! -x "$out/ptpbmca" ] || /usr/bin/ptpbmca --help >/dev/null || { echo "the tool does not run"; return 1; }
    dpkg -L libptpbmca0 libptpbmca-dev python3-ptpbmca | grep ptpbmca >"$work/owned"
    purged || return 1
    while read -r file; do
        [ ! -e "$file" ] && [ ! -L "$file" ] || { echo "purge leaves $file"; return 1; }
    done <"$work/owned"
    ! ldconfig -p | grep libptpbmca || { echo "the loader still knows it"; return 1; }
}

# Every other test builds against this.
made install PREFIX="$prefix" >"$work/first" 2>&1 || { tail -n 1 "$work/first"; echo "FAIL install: see above"; exit 1; }

run install installs
run install-staged staged
run install-scattered scattered
run install-private-libraries private_libraries
run install-pkg-config with_pkg_config
run install-pkg-config-static with_pkg_config_static
run install-c++ with_cpp
run install-cmake with_cmake
run install-python with_python
run install-modules with_modules
run install-documents documents
run install-documented documented
run install-cargo-c with_cargo_c
run activation activation
run activation-privileged activation_privileged
run activation-systemd activation_systemd
run activation-units units
run deb-build deb_builds
run deb-use deb_works
run uninstall removed

conclude
