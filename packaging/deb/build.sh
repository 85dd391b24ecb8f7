#!/bin/sh
# build.sh OUT: makes Debian packages of what was built in OUT, in OUT/deb: libptpbmca0, libptpbmca-dev, python3-ptpbmca, and
# ptpbmca-tools where the tool was built. Needs dpkg-deb, objdump and strip; root is not needed. `make deb` calls it.
#
# DEBFULLNAME and DEBEMAIL name the maintainer; DEB_BUILD_OPTIONS=nostrip keeps the debug information.
set -eu
[ $# = 1 ] || { echo "usage: $0 OUT" >&2; exit 2; }
OUT=$(cd "$1" && pwd)
export OUT
cd "$(dirname "$0")/../.."
for tool in dpkg-deb dpkg-architecture objdump strip; do
    command -v $tool >/dev/null || { echo "$0: there is no $tool here (dpkg, dpkg-dev, binutils)" >&2; exit 1; }
done
crate_version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
version=$crate_version-1
architecture=$(dpkg-architecture -qDEB_HOST_ARCH)
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
maintainer="${DEBFULLNAME:-The ptpbmca authors} <${DEBEMAIL:-ptpbmca@localhost}>"
# Equal sources give equal packages: files are no younger than this. Not every copy of the sources has its history.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date -r CHANGELOG.md +%s)}
export SOURCE_DATE_EPOCH
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/stage
packages=$OUT/deb
rm -rf "$packages"
mkdir -p "$packages"

PREFIX=/usr LIBDIR=/usr/lib/$multiarch INCLUDEDIR=/usr/include PYTHONDIR=/usr/lib/python3/dist-packages \
    DESTDIR=$stage sh packaging/install.sh install >/dev/null

# --- What the binaries contain and need -------------------------------------------------------------------------------

# lighter FLAG FILE: without debug information, as Debian wants it; said aloud.
lighter() {
    case " ${DEB_BUILD_OPTIONS-} " in
    *nostrip*) return ;;
    esac
    strip --remove-section=.comment --remove-section=.note "$1" "$2"
    echo "stripped ($1): ${2#"$stage"}"
}

# needs FILE: the packages it depends on. It may need no library but these; the version of libc6 is that of the newest
# symbol.
needs() {
    foreign=$(objdump -p "$1" | awk '$1 == "NEEDED" && $2 !~ /^(libc|libm|libgcc_s|ld-linux[-a-z0-9_]*)\.so\./ { print $2 }')
    [ -z "$foreign" ] || { echo "$0: $1 needs a library of an unknown package: $foreign" >&2; return 1; }
    glibc=$(objdump -T "$1" | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -uV | tail -n 1)
    printf 'libc6 (>= %s), libgcc-s1 (>= 4.2)' "$glibc"
}

# contents CRATE: what is linked into its binary, each with its licence and whose it is.
contents() {
    host=$(rustc -vV | sed -n 's/^host: //p')
    "${CARGO:-cargo}" metadata --locked --filter-platform "$host" --format-version 1 | tr ',{}' '\n\n\n' |
        sed -n 's/^"manifest_path":"\(.*\)\/Cargo\.toml"$/\1/p' >"$work/sources"
    "${CARGO:-cargo}" tree --locked -p "$1" -e normal --prefix none -f '{p}|{l}' | sed 's/ ([^)]*)//g' | LC_ALL=C sort -u >"$work/crates"
    while IFS='|' read -r name licence; do
        directory=$(grep "/$(echo "$name" | sed 's/ v/-/')\$" "$work/sources" | head -n 1)
        # Ours is the subject of the rest of the file.
        [ -n "$directory" ] || continue
        echo " - $name, $licence"
        find "$directory" -maxdepth 1 -iname 'licen[sc]e*' -exec sed -n 's/^ *\(Copyright (c) .*\)/   \1/p' {} + |
            LC_ALL=C sort -u
    done <"$work/crates"
}

# --- One package ------------------------------------------------------------------------------------------------------

# package NAME CRATE: takes what stands in $work/NAME, gives it its papers, and builds it.
package() {
    tree=$work/$1
    papers=$tree/usr/share/doc/$1
    mkdir -p "$tree/DEBIAN" "$papers"
    contents "$2" >"$work/contents"
    [ -s "$work/contents" ] || { echo "$0: cargo does not say what $1 contains" >&2; exit 1; }
    sed -e "/^@contents@\$/{r $work/contents" -e 'd}' packaging/deb/copyright >"$papers/copyright"
    sed "s|@version@|$version|; s|@maintainer@|$maintainer|; s|@date@|$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")|" \
        packaging/deb/changelog | gzip -9n >"$papers/changelog.Debian.gz"
    gzip -9n <CHANGELOG.md >"$papers/changelog.gz"
    size=$(du -k -s --apparent-size --exclude=DEBIAN "$tree" | cut -f 1)
    sed "s|@version@|$version|; s|@architecture@|$architecture|; s|@maintainer@|$maintainer|; s|@size@|$size|
        s|@needs@|$needed|" "packaging/deb/$1.control" >"$tree/DEBIAN/control"
    (cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
    find "$tree" -newermt "@$SOURCE_DATE_EPOCH" -print0 | xargs -0r touch -h -d "@$SOURCE_DATE_EPOCH"
    dpkg-deb --root-owner-group --build "$tree" \
        "$packages/${1}_${version}_$(sed -n 's/^Architecture: //p' "$tree/DEBIAN/control").deb"
}

# move PACKAGE FILE...: from the stage into a package; what is not there stays away.
move() {
    into=$work/$1
    shift
    for file in "$@"; do
        [ -e "$file" ] || [ -L "$file" ] || continue
        directory=$into$(dirname "${file#"$stage"}")
        mkdir -p "$directory"
        mv "$file" "$directory/"
    done
}

library=$stage/usr/lib/$multiarch
soname=$(objdump -p "$library/libptpbmca.so" | awk '$1 == "SONAME" { print $2 }')
abi=${soname##*.}
[ "$abi" = 0 ] || { echo "$0: the ABI number is $abi: the packages are named after 0" >&2; exit 1; }
lighter --strip-unneeded "$library/libptpbmca.so.$crate_version"
lighter --strip-debug "$library/libptpbmca.a"

needed=$(needs "$library/libptpbmca.so.$crate_version")
chmod 644 "$library/libptpbmca.so.$crate_version"
move libptpbmca0 "$library/libptpbmca.so.$crate_version" "$library/$soname"
mkdir -p "$work/libptpbmca0/DEBIAN"
echo "libptpbmca $abi libptpbmca0 (>= $crate_version)" >"$work/libptpbmca0/DEBIAN/shlibs"
echo "activate-noawait ldconfig" >"$work/libptpbmca0/DEBIAN/triggers"
package libptpbmca0 ptpbmca

needed=
if [ -e "$stage/usr/bin/ptpbmca" ]; then
    lighter --strip-unneeded "$stage/usr/bin/ptpbmca"
    needed=$(needs "$stage/usr/bin/ptpbmca")
    [ ! -d "$stage/usr/share/man" ] || find "$stage/usr/share/man" -type f -exec gzip -9n {} +
    move ptpbmca-tools "$stage/usr/bin" "$stage/usr/share/man" "$stage/usr/share/bash-completion" "$stage/usr/share/fish"
    # Debian's zsh looks elsewhere than the others.
    if [ -d "$stage/usr/share/zsh/site-functions" ]; then
        mv "$stage/usr/share/zsh/site-functions" "$stage/usr/share/zsh/vendor-completions"
        move ptpbmca-tools "$stage/usr/share/zsh"
    fi
    package ptpbmca-tools ptpbmca-tools
fi

needed="libptpbmca0 (>= $crate_version), python3 (>= 3.8)"
move python3-ptpbmca "$stage/usr/lib/python3"
# What Python compiles beside the module goes with it.
mkdir -p "$work/python3-ptpbmca/DEBIAN"
printf '#!/bin/sh\nset -e\npy3compile -p python3-ptpbmca\n' >"$work/python3-ptpbmca/DEBIAN/postinst"
printf '#!/bin/sh\nset -e\npy3clean -p python3-ptpbmca\n' >"$work/python3-ptpbmca/DEBIAN/prerm"
chmod 755 "$work/python3-ptpbmca/DEBIAN/postinst" "$work/python3-ptpbmca/DEBIAN/prerm"
package python3-ptpbmca ptpbmca

# The rest is what one builds with.
needed=
mkdir -p "$stage/usr/share/doc/libptpbmca-dev"
for part in README.md docs examples bindings; do
    mv "$stage/usr/share/doc/ptpbmca/$part" "$stage/usr/share/doc/libptpbmca-dev/"
done
rm -rf "$stage/usr/share/doc/ptpbmca"
mv "$stage" "$work/libptpbmca-dev"
package libptpbmca-dev ptpbmca
