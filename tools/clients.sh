#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# What tests/clients needs beside Python: MLflow's Java client with a compiled round, and the npm package, both outside of
# the repository. Prints the two directories, a line each.
#
#   sh tools/clients.sh
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/capstan
for command in javac mvn node npm; do
	command -v "$command" >/dev/null || {
		sh "$root/tools/packages.sh" install clients
		break
	}
done

# A directory per description of what is to be there, so that a change makes a new one.
digest() {
	cat "$@" | sha256sum | cut -c 1-12
}

java=$cache/clients-java-$(digest "$root/tests/clients/java/pom.xml")
if ! [ -d "$java" ]; then
	echo "fetching the Java client to $java" >&2
	rm -rf "$java.new"
	mvn -q -B -f "$root/tests/clients/java/pom.xml" -Dmaven.repo.local="$cache/maven" \
		org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -DoutputDirectory="$java.new/lib" >&2
	mv "$java.new" "$java"
fi
# javac takes a second: no need to know whether it has to.
mkdir -p "$java/classes"
javac -Xlint:-options -cp "$java/lib/*" -d "$java/classes" "$root/tests/clients/java/Round.java" >&2

npm=$cache/clients-npm-$(digest "$root/tests/clients/npm/package.json")
if ! [ -d "$npm" ]; then
	echo "fetching the npm client to $npm" >&2
	rm -rf "$npm.new"
	mkdir -p "$npm.new"
	cp "$root/tests/clients/npm/package.json" "$npm.new/"
	npm install --prefix "$npm.new" --cache "$cache/npm" --no-package-lock --no-audit --no-fund --ignore-scripts \
		--loglevel=error >&2
	mv "$npm.new" "$npm"
fi
printf '%s\n%s\n' "$java" "$npm"
