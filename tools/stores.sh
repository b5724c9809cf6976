#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# The object stores that tests and benches talk to: real servers, of pinned versions, built once from their Go modules,
# outside of the repository. Prints their directory.
#
#   sh tools/stores.sh [versitygw|minio|fake-gcs-server]...      all of them without a name
#
# The builds are slow (minio takes about ten minutes on two cores), so each is kept when it is done.
# Modules come from where the machine's `go` gets them (go env GOPROXY).
set -eu

versitygw=github.com/versity/versitygw/cmd/versitygw@v1.8.0
minio=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
fake_gcs_server=github.com/fsouza/fake-gcs-server@v1.56.1

# Debian 12's own Go is too old for them, but fetches the right one, which is a module too.
toolchain=1.26.8
case $(uname -m) in
x86_64)
	machine=amd64
	sum=h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM=
	;;
aarch64)
	machine=arm64
	sum=h1:sYL/O6MqS68ML0kjsQ36WoYIpJqkw60TxizWUYUKQMc=
	;;
*)
	echo "stores.sh: no Go toolchain for $(uname -m)" >&2
	exit 1
	;;
esac

cache=${XDG_CACHE_HOME:-${HOME:?neither XDG_CACHE_HOME nor HOME is set}/.cache}/capstan
stores=$cache/stores
mkdir -p "$stores"

module() {
	case $1 in
	versitygw) echo "$versitygw" ;;
	minio) echo "$minio" ;;
	fake-gcs-server) echo "$fake_gcs_server" ;;
	*)
		echo "stores.sh: no such store: $1" >&2
		exit 2
		;;
	esac
}

# Its name says which version it is.
program() {
	echo "$stores/$1-$(module "$1" | sed 's/.*@v//' | tail -c 33)"
}

# A Go of the right version: the machine's, or one of our own.
find_go() {
	if [ "$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null)" = "go$toolchain" ]; then
		command -v go
		return
	fi
	own=$cache/go-$toolchain
	if ! [ -x "$own/bin/go" ]; then
		echo "fetching Go $toolchain" >&2
		tree=$(sh "$(dirname "$0")/module.sh" golang.org/toolchain "v0.0.1-go$toolchain.linux-$machine" "$sum" "$cache")
		chmod +x "$tree"/bin/* "$tree"/pkg/tool/*/*
		rm -rf "$own"
		mv "$tree" "$own"
		rm -rf "${tree%/pkg/mod/*}"
	fi
	echo "$own/bin/go"
}

[ $# -gt 0 ] || set -- versitygw fake-gcs-server minio
for store in "$@"; do
	module "$store" >/dev/null
done
exec 9>"$cache/stores.lock"
flock 9
go=
for store in "$@"; do
	made=$(program "$store")
	if ! [ -x "$made" ]; then
		echo "building $(module "$store")" >&2
		[ -n "$go" ] || go=$(find_go)
		work=$(mktemp -d "$cache/build.XXXXXX")
		trap 'chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT
		# Its modules and objects are ten times its size: they go when it is built.
		GOTOOLCHAIN=local GOFLAGS=-trimpath GOBIN=$work/bin GOPATH=$work/path GOCACHE=$work/cache CGO_ENABLED=0 \
			"$go" install -ldflags '-s -w' "$(module "$store")" >&2
		mv "$work/bin/$store" "$made"
		chmod -R u+w "$work"
		rm -rf "$work"
		trap - EXIT
	fi
	ln -sfn "$(basename "$made")" "$stores/$store"
done
echo "$stores"
