#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# The Debian packages that the project needs, in one place.
#
#   sh tools/packages.sh list [run|build|test|clients|example|bench]...    print them
#   sh tools/packages.sh install [run|build|test|clients|example|bench]... install what is missing (with sudo unless root)
set -eu

run='postgresql libpq5 libcurl4 libjansson4 libyaml-0-2 libsqlite3-0 libssl3 libexpat1'
build='build-essential cmake ninja-build pkg-config libpq-dev libcurl4-openssl-dev libjansson-dev libyaml-dev libsqlite3-dev
libssl-dev libexpat1-dev libgnutls28-dev libcmocka-dev dpkg-dev ca-certificates'
test='postgresql python3 python3-venv python3-pip procps iproute2 curl clang clang-format strace golang-go'
clients='default-jdk-headless maven nodejs npm'
example='python3 python3-venv curl ca-certificates'
bench='wrk postgresql-contrib'

usage() {
	sed -n '5,8s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

names() {
	for group in "$@"; do
		case $group in
		run) echo $run ;;
		build) echo $build ;;
		test) echo $test ;;
		clients) echo $clients ;;
		example) echo $example ;;
		bench) echo $bench ;;
		*) usage ;;
		esac
	done | tr ' ' '\n' | sort -u
}

[ $# -ge 1 ] || usage
what=$1
shift
[ $# -ge 1 ] || set -- run build test
case $what in
list)
	names "$@"
	;;
install)
	missing=
	for package in $(names "$@"); do
		case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
		*' installed') ;;
		*) missing="$missing $package" ;;
		esac
	done
	[ -n "$missing" ] || exit 0
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	echo "installing:$missing" >&2
	# A cluster of Debian's own is not wanted: each daemon runs its own.
	$sudo mkdir -p /etc/postgresql-common
	if ! [ -e /etc/postgresql-common/createcluster.conf ]; then
		echo 'create_main_cluster = false' | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
	fi
	$sudo env DEBIAN_FRONTEND=noninteractive sh -ec "
		apt-get -qq update || true
		apt-get -qq -y --no-install-recommends install $missing" >&2
	;;
*)
	usage
	;;
esac
