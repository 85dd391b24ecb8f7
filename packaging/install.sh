#!/bin/sh
# install.sh install|uninstall: puts what was built in OUT below PREFIX, or takes exactly that away again. `make install`
# and `make uninstall` call it.
#
# From the environment: OUT, PREFIX (/usr/local), LIBDIR (PREFIX/lib), INCLUDEDIR (PREFIX/include), DESTDIR (put before
# every path, named in no file), PYTHONDIR (where Python looks for modules), LIBS_PRIVATE (what a program that links the
# archive links too).
set -eu
case ${1-} in
install | uninstall) what=$1 ;;
*) echo "usage: $0 install|uninstall" >&2; exit 2 ;;
esac
cd "$(dirname "$0")/.."
PREFIX=${PREFIX:-/usr/local}
PREFIX=${PREFIX%/}
LIBDIR=${LIBDIR:-$PREFIX/lib}
INCLUDEDIR=${INCLUDEDIR:-$PREFIX/include}
DESTDIR=${DESTDIR:-}
# Where the Python of this host looks below the prefix; a prefix that it does not know is laid out as its own one.
[ -n "${PYTHONDIR:-}" ] || PYTHONDIR=$(python3 - "$PREFIX" 2>/dev/null <<'EOF'
import site, sys

known = [path for path in site.getsitepackages() if path.startswith(sys.argv[1] + "/")]
print(known[0] if known else "%s/lib/python%d.%d/site-packages" % (sys.argv[1], *sys.version_info[:2]))
EOF
) || PYTHONDIR=$PREFIX/lib/python3/site-packages
for directory in "$PREFIX" "$LIBDIR" "$INCLUDEDIR" "$PYTHONDIR"; do
    case $directory in
    '' | /*) ;;
    *) echo "$0: not an absolute path: $directory" >&2; exit 2 ;;
    esac
done
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
abi=$(sed -n 's/.*-soname,libptpbmca\.so\.\([0-9]*\)".*/\1/p' build.rs)
[ -n "$version" ] && [ -n "$abi" ] || { echo "$0: no version in Cargo.toml or no soname in build.rs" >&2; exit 1; }

# What a program linked to libptpbmca.a needs: what `rustc --print native-static-libs` says, without -lgcc_s and -lc. A
# compiler brings both by itself, and the archive of the unwinder where all is static: -lgcc_s fails there.
case $(uname -s) in
Darwin)
    built=libptpbmca.dylib real=libptpbmca.$version.dylib soname=libptpbmca.$abi.dylib plain=libptpbmca.dylib
    private='-liconv -lSystem -lm'
    ;;
*)
    built=libptpbmca.so real=libptpbmca.so.$version soname=libptpbmca.so.$abi plain=libptpbmca.so
    private='-lutil -lrt -lpthread -lm -ldl'
    ;;
esac
private=${LIBS_PRIVATE:-$private}

# --- Where the package files look for the rest ------------------------------------------------------------------------

# below_prefix DIRECTORY: whether it moves along with the prefix.
below_prefix() {
    case $1 in
    "$PREFIX"/*) return 0 ;;
    *) return 1 ;;
    esac
}

# up DIRECTORY: the way from a directory below the prefix back to it.
up() { echo "${1#"$PREFIX"/}" | sed 's|[^/][^/]*|..|g'; }

# Files say where they are relative to themselves, so that an installation can be moved; only directories outside of the
# prefix are named as they are. The system's own prefix is not moved either, and pkg-config leaves out /usr/include, as it
# must, only where it reads just that.
if below_prefix "$LIBDIR"; then
    pc_prefix="\${pcfiledir}/$(up "$LIBDIR/pkgconfig")"
    cmake_prefix="\${ptpbmca_here}/$(up "$LIBDIR/cmake/ptpbmca")"
else
    pc_prefix=$PREFIX
    cmake_prefix=$PREFIX
fi
[ "$PREFIX" != /usr ] || pc_prefix=$PREFIX
# in_prefix DIRECTORY PREFIX: the directory, as PREFIX names its part.
in_prefix() {
    if below_prefix "$1"; then echo "$2/${1#"$PREFIX"/}"; else echo "$1"; fi
}

# quoted TEXT: for the right side of a sed command with | between its parts.
quoted() { printf '%s' "$1" | sed 's/[\\&|]/\\&/g'; }

# fill TEMPLATE: with the names and places of this installation.
fill() {
    sed -e "s|@version@|$(quoted "$version")|g" -e "s|@real@|$(quoted "$real")|g" -e "s|@soname@|$(quoted "$soname")|g" \
        -e "s|@pc_prefix@|$(quoted "$pc_prefix")|g" \
        -e "s|@pc_includedir@|$(quoted "$(in_prefix "$INCLUDEDIR" "\${prefix}")")|g" \
        -e "s|@pc_libdir@|$(quoted "$(in_prefix "$LIBDIR" "\${prefix}")")|g" \
        -e "s|@cmake_prefix@|$(quoted "$cmake_prefix")|g" \
        -e "s|@cmake_includedir@|$(quoted "$(in_prefix "$INCLUDEDIR" "\${ptpbmca_prefix}")")|g" \
        -e "s|@cmake_libdir@|$(quoted "$(in_prefix "$LIBDIR" "\${ptpbmca_prefix}")")|g" \
        -e "s|@libs_private@|$(quoted "$private")|g" -e "s|@cmake_libs_private@|$(quoted "$(echo "$private" | tr ' ' ';')")|g" \
        "$1"
}

# --- One file, one link -----------------------------------------------------------------------------------------------

# put MODE SOURCE DIRECTORY [NAME]: what is not there is not installed, and removed all the same: it may have been there.
put() {
    target=$DESTDIR$3/${4:-${2##*/}}
    if [ "$what" = uninstall ]; then
        rm -f "$target"
    elif [ -e "$2" ]; then
        mkdir -p "$DESTDIR$3"
        install -m "$1" "$2" "$target"
    fi
}

# symlink TEXT DIRECTORY NAME
symlink() {
    if [ "$what" = uninstall ]; then rm -f "$DESTDIR$2/$3"; else ln -sf "$1" "$DESTDIR$2/$3"; fi
}

# filled TEMPLATE DIRECTORY NAME
filled() {
    fill "$1" >"$work/$3"
    put 644 "$work/$3" "$2"
}

# put_tree SOURCE DIRECTORY: all files of a directory of ours, as they lie there, but what tools leave behind.
put_tree() {
    (cd "$1" && find . -name node_modules -prune -o -name __pycache__ -prune -o -type f -print) >"$work/files"
    while IFS= read -r file; do
        case $file in
        ./*/*) put 644 "$1/$file" "$2/$(dirname "${file#./}")" ;;
        *) put 644 "$1/$file" "$2" ;;
        esac
    done <"$work/files"
    [ "$what" = install ] || [ ! -d "$DESTDIR$2" ] || find "$DESTDIR$2" -depth -type d -exec rmdir {} + 2>/dev/null || true
}

# own DIRECTORY: one that is named after the library goes when it is empty. The others may have been there before.
own() { [ "$what" = install ] || rmdir "$DESTDIR$1" 2>/dev/null || true; }

# --- All of it --------------------------------------------------------------------------------------------------------

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ "$what" = install ]; then
    for file in "$built" libptpbmca.a; do
        [ -e "$OUT/$file" ] || { echo "$0: there is no $OUT/$file: build it first" >&2; exit 1; }
    done
fi
share=$PREFIX/share

put 755 "$OUT/$built" "$LIBDIR" "$real"
symlink "$real" "$LIBDIR" "$soname"
symlink "$soname" "$LIBDIR" "$plain"
put 644 "$OUT/libptpbmca.a" "$LIBDIR"
filled packaging/ptpbmca.pc.in "$LIBDIR/pkgconfig" ptpbmca.pc
filled packaging/cmake/ptpbmcaConfig.cmake.in "$LIBDIR/cmake/ptpbmca" ptpbmcaConfig.cmake
filled packaging/cmake/ptpbmcaConfigVersion.cmake.in "$LIBDIR/cmake/ptpbmca" ptpbmcaConfigVersion.cmake
own "$LIBDIR/cmake/ptpbmca"
for header in include/*.h include/*.hpp; do
    [ ! -e "$header" ] || put 644 "$header" "$INCLUDEDIR"
done

# A module map lies in a folder with its module's name, where `clang -I INCLUDEDIR` and Swift look for it.
find bindings/swift -name module.modulemap 2>/dev/null | while IFS= read -r map; do
    module=$(awk '!/^ *[\/*]/ { for (i = 1; i < NF; i++) if ($i == "module") { print $(i + 1); exit } }' "$map")
    [ -n "$module" ] || { echo "$0: $map names no module" >&2; exit 1; }
    sed 's|"[^"]*/\(ptpbmca\.h\)"|"../\1"|; s|"\(ptpbmca\.h\)"|"../\1"|' "$map" >"$work/module.modulemap"
    put 644 "$work/module.modulemap" "$INCLUDEDIR/$module"
    for header in "${map%/*}"/*.h; do
        # The library's own header is there already.
        [ ! -e "$header" ] || [ "${header##*/}" = ptpbmca.h ] || put 644 "$header" "$INCLUDEDIR/$module"
    done
    own "$INCLUDEDIR/$module"
done

put 755 "$OUT/ptpbmca" "$PREFIX/bin"
# A manual without its command would only puzzle.
if [ "$what" = uninstall ] || [ -e "$OUT/ptpbmca" ]; then
    for page in packaging/man/*.1; do
        [ ! -e "$page" ] || put 644 "$page" "$share/man/man1"
    done
    put 644 packaging/completions/ptpbmca "$share/bash-completion/completions"
    put 644 packaging/completions/_ptpbmca "$share/zsh/site-functions"
    put 644 packaging/completions/ptpbmca.fish "$share/fish/vendor_completions.d"
fi

# Python finds its module by itself; the other bindings are files to copy, beside the documents.
put 644 bindings/python/ptpbmca.py "$PYTHONDIR"
# Headers lie elsewhere than in the source tree.
sed "s|](include/|]($(up "$share/doc/ptpbmca")/include/|g" README.md >"$work/README.md"
put 644 "$work/README.md" "$share/doc/ptpbmca"
for file in CHANGELOG.md LICENSE-APACHE LICENSE-MIT; do put 644 "$file" "$share/doc/ptpbmca"; done
put_tree docs "$share/doc/ptpbmca/docs"
put_tree bindings "$share/doc/ptpbmca/bindings"
for file in examples/*.c examples/*.cpp examples/*.m examples/*.py packaging/systemd/player.socket \
    packaging/systemd/player.service; do
    [ ! -e "$file" ] || put 644 "$file" "$share/doc/ptpbmca/examples"
done
own "$share/doc/ptpbmca/examples"
own "$share/doc/ptpbmca"

# The loader's cache: a program that is linked now shall start now. Nobody's business where this is only staged.
if [ -z "$DESTDIR" ] && [ "$(id -u)" = 0 ] && command -v ldconfig >/dev/null 2>&1; then ldconfig 2>/dev/null || true; fi
case $what in
install) echo "installed ptpbmca $version in $DESTDIR${PREFIX:-/}" ;;
uninstall) echo "removed ptpbmca $version from $DESTDIR${PREFIX:-/}" ;;
esac
