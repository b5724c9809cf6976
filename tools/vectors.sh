#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# The published test vectors for signatures, of pinned versions, outside of the repository. Prints their directory:
#
#   sigv4/CASE/...           Signature Version 4, of the crate aws-sigv4
#   gcs/v4_signatures.json   V4 signed URLs of Cloud Storage, of the Go module cloud.google.com/go/storage
#   gcs/service-account      whose (inactive, public) key they are signed with
#
# Tests find it through the environment: CAPSTAN_VECTORS=$(sh tools/vectors.sh).
# GOPROXY=<url>[,...] names another registry of Go modules.
set -eu

crate=aws-sigv4-1.6.4
crate_sum=f385da9b7757ed4c8214797ad663ff534fb622006143530aa80e21f8e06ff85c
module=1.70.0
module_sum=3def1dd1938be169fe8581f9952cdaad0b0d1c0a4af5bc4893ee79523089c65b

cache=${XDG_CACHE_HOME:-${HOME:?neither XDG_CACHE_HOME nor HOME is set}/.cache}/capstan
registry=${GOPROXY:-https://proxy.golang.org}
registry=${registry%%[,|]*}
# Its name says which versions are in it.
vectors=$cache/vectors-${crate##*-}-$module

fetch() {
	curl -fsSL --retry 3 -o "$1" "$2"
	echo "$3  $1" | sha256sum -c --quiet - >&2
}

mkdir -p "$cache"
exec 9>"$cache/vectors.lock"
flock 9
if ! [ -f "$vectors/gcs/service-account" ]; then
	work=$(mktemp -d "$cache/vectors-new.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	mkdir "$work/made" "$work/made/gcs"
	fetch "$work/crate" "https://static.crates.io/crates/${crate%-*}/$crate.crate" $crate_sum
	tar -xzf "$work/crate" -C "$work" "$crate/aws-signing-test-suite/v4"
	mv "$work/$crate/aws-signing-test-suite/v4" "$work/made/sigv4"
	fetch "$work/module" "$registry/cloud.google.com/go/storage/@v/v$module.zip" $module_sum
	python3 -m zipfile -e "$work/module" "$work/module.d" >&2
	for file in v4_signatures.json service-account; do
		mv "$work/module.d/cloud.google.com/go/storage@v$module/internal/test/conformance/$file" "$work/made/gcs"
	done
	rm -rf "$vectors"
	mv "$work/made" "$vectors"
fi
echo "$vectors"
