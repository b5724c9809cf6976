#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# libmicrohttpd.sh — builds the HTTP library once, static, from Debian's source package; prints its prefix.
#
# Debian 12's own package has known holes (request smuggling, out-of-bounds writes; fixed by 1.0.10), so
# the source comes from Debian's unstable suite, from the mirror this machine already uses. apt checks it
# against Debian's archive keyring. Its lists and cache live in a private folder that is removed again:
# the machine's own apt never learns of that suite. Root is not needed.
#
# CAPSTAN_APT_MIRROR=<url of a Debian mirror> overrides the mirror.
set -eu

pinned=1.0.10           # the version we test with
oldest=1.0.10           # older ones are refused
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Everything we do not use is left out: TLS ends at the ingress, there are no forms and no HTTP passwords.
options='--enable-static --disable-shared --with-pic --disable-doc --disable-examples --disable-tools
 --disable-https --disable-dauth --disable-bauth --disable-postprocessor --disable-httpupgrade
 --disable-cookie --enable-epoll --disable-curl --disable-sendfile --disable-dependency-tracking'
cflags='-O2 -g1 -fPIE -fstack-protector-strong -fstack-clash-protection -U_FORTIFY_SOURCE
 -D_FORTIFY_SOURCE=3 -Wformat -Werror=format-security'
case $(uname -m) in
x86_64) cflags="$cflags -fcf-protection" ;;
esac

cache=${XDG_CACHE_HOME:-${HOME:?neither XDG_CACHE_HOME nor HOME is set}/.cache}/capstan
hash=$(printf '%s %s %s' "$options" "$cflags" "$(uname -m)" | sha256sum | cut -c1-12)

say() { echo "libmicrohttpd.sh: $*" >&2; }
die() { say "$*"; exit 1; }

# The finished build of this version, if there is one.
built() {
	prefix=$cache/libmicrohttpd-$1-$hash
	[ -f "$prefix/lib/libmicrohttpd.a" ] && [ -f "$prefix/include/microhttpd.h" ]
}

if built "$pinned"; then
	echo "$prefix"
	exit 0
fi
for other in "$cache"/libmicrohttpd-*-"$hash"; do
	version=${other##*/libmicrohttpd-}
	version=${version%-"$hash"}
	if built "$version" && dpkg --compare-versions "$version" ge "$oldest"; then
		echo "$prefix"
		exit 0
	fi
done

for tool in apt-get dpkg-source make cc; do
	command -v "$tool" >/dev/null || die "$tool is missing (apt-get install build-essential)"
done
[ -r "$keyring" ] || die "$keyring is missing (apt-get install debian-archive-keyring)"
mkdir -p "$cache"

# Two configures at once must not build into one folder.
exec 9>"$cache/libmicrohttpd.lock"
flock 9
if built "$pinned"; then
	echo "$prefix"
	exit 0
fi

work=$(mktemp -d "$cache/libmicrohttpd-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# The machine's own Debian mirrors; a security-only archive has no unstable suite.
mirrors() {
	if [ -n "${CAPSTAN_APT_MIRROR:-}" ]; then
		echo "$CAPSTAN_APT_MIRROR"
		return
	fi
	apt-get indextargets --format '$(CREATED_BY) $(COMPONENT) $(REPO_URI)' |
		sed -n 's/^Packages main //p' | grep -v -e '-security/*$' | sort -u |
		grep -e '/debian/*$' || :
}

private_apt() {
	command=$1
	shift
	"$command" -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=- \
		-o Dir::State="$work/state" -o Dir::State::Status="$work/status" \
		-o Dir::Cache="$work/cache" -o Dir::Log="$work" -o APT::Sandbox::User="$(id -un)" \
		-o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/source"
: >"$work/status"
found=
for mirror in $(mirrors); do
	echo "deb-src [signed-by=$keyring] $mirror unstable main" >"$work/sources.list"
	if private_apt apt-get update >"$work/log" 2>&1 && ! grep -q '^[EW]:' "$work/log"; then
		found=$mirror
		break
	fi
	sed 's/^/libmicrohttpd.sh:   /' "$work/log" >&2
done
[ -n "$found" ] || die 'no Debian mirror of this machine gave its unstable suite (CAPSTAN_APT_MIRROR=<url> names one)'

# The pinned version while the archive has it, else the newest.
choice=
newest=
for candidate in $(private_apt apt-cache showsrc libmicrohttpd | sed -n 's/^Version: //p'); do
	upstream=${candidate#*:}
	upstream=${upstream%-*}
	dpkg --compare-versions "$upstream" ge "$oldest" || continue
	if [ "$upstream" = "$pinned" ]; then
		choice=$candidate
	fi
	if [ -z "$newest" ] || dpkg --compare-versions "$candidate" gt "$newest"; then
		newest=$candidate
	fi
done
choice=${choice:-$newest}
[ -n "$choice" ] || die "the archive has no libmicrohttpd of $oldest or newer"
version=${choice#*:}
version=${version%-*}
[ "$version" = "$pinned" ] || say "the archive no longer has $pinned; taking $version"
if built "$version"; then
	echo "$prefix"
	exit 0
fi

say "building libmicrohttpd $version (once)"
(cd "$work/source" && private_apt apt-get source --download-only "libmicrohttpd=$choice") >"$work/log" 2>&1 ||
	{ cat "$work/log" >&2; die 'the source package could not be fetched'; }
# apt has checked the files against the signed index; the uploader's own key is not on this machine.
dpkg-source --no-check -x "$work/source"/*.dsc "$work/tree" >"$work/log" 2>&1 ||
	{ cat "$work/log" >&2; die 'the source package could not be unpacked'; }

# Patches may leave generated files older than their sources, which would call autotools.
find "$work/tree" -type f -exec touch -r "$work/tree/configure" {} +

prefix=$cache/libmicrohttpd-$version-$hash
# shellcheck disable=SC2086 # a list of words
(cd "$work/tree" &&
	./configure --prefix="$prefix" --libdir="$prefix/lib" $options CFLAGS="$(echo $cflags)" &&
	make -C src/include && make -C src/microhttpd libmicrohttpd.la &&
	make -C src/include install DESTDIR="$work/install" &&
	make -C src/microhttpd install-libLTLIBRARIES DESTDIR="$work/install") >"$work/log" 2>&1 ||
	{ tail -n 40 "$work/log" >&2; die 'the build failed'; }

# Whole or not at all.
rm -rf "$prefix"
mv "$work/install$prefix" "$prefix"
built "$version" || die 'the build left no library'
echo "$prefix"
