#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# The published test vectors for signatures, of pinned versions, outside of the repository. Prints their directory:
#
#   sigv4/CASE/...           Signature Version 4, of the source package of awscrt
#   gcs/v4_signatures.json   V4 signed URLs of Cloud Storage, of the Go module cloud.google.com/go/storage
#   gcs/service-account      whose (inactive, public) key they are signed with
#
# Tests find it through the environment: CAPSTAN_VECTORS=$(sh tools/vectors.sh).
# They come from where the machine's `pip` and `go` get their packages.
set -eu

package=0.19.19         # later ones leave the vectors out
package_sum=1c1511535dee146a6c26a382ed3ead56259a105b3b7d7d823553ae567d038dfe
module=v1.70.0
module_sum=h1:LQNHn0rRF94jVFfF3e416IzdQqIufa5GfF6HilQxb80=

cache=${XDG_CACHE_HOME:-${HOME:?neither XDG_CACHE_HOME nor HOME is set}/.cache}/capstan
# Its name says which versions are in it.
vectors=$cache/vectors-$package-$module

mkdir -p "$cache"
exec 9>"$cache/vectors.lock"
flock 9
if ! [ -f "$vectors/gcs/service-account" ]; then
	work=$(mktemp -d "$cache/vectors-new.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	mkdir "$work/made" "$work/made/gcs"
	echo "awscrt==$package --hash=sha256:$package_sum" >"$work/wanted"
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary awscrt --require-hashes \
		-r "$work/wanted" -d "$work" >&2
	tests=awscrt-$package/crt/aws-c-auth/tests/aws-signing-test-suite/v4
	tar -xzf "$work/awscrt-$package.tar.gz" -C "$work" "$tests"
	mv "$work/$tests" "$work/made/sigv4"
	tree=$(sh "$(dirname "$0")/module.sh" cloud.google.com/go/storage $module $module_sum "$work")
	for file in v4_signatures.json service-account; do
		mv "$tree/internal/test/conformance/$file" "$work/made/gcs"
	done
	rm -rf "$vectors"
	mv "$work/made" "$vectors"
fi
echo "$vectors"
