#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# All tests, from a fresh checkout on Debian: installs what is missing, builds, and runs them. Each step prints its
# time; the last line is "N passed, N failed".
#
#   sh tests/run.sh [--quick] [--full]
#
#   --quick   unit tests and the API suite against the release build with a private PostgreSQL: a few minutes
#   --full    the long ones too
#
# Output of each step: build/tests/<step>.log
set -u

cd "$(dirname "$0")/.." || exit 1
root=$(pwd)
mode=
for argument in "$@"; do
	case $argument in
	--quick | --full) mode=${argument#--} ;;
	*)
		sed -n '8,11s/^# \{0,1\}//p' "$0" >&2
		exit 2
		;;
	esac
done

logs=$root/build/tests
mkdir -p "$logs"
passed=0
failed=0
broken=
began=$(date +%s)
export PYTHONDONTWRITEBYTECODE=1 MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true GIT_PYTHON_REFRESH=quiet

# count PASSED FAILED: adds to the sums. A step that failed without a failed test counts as one.
count() {
	passed=$((passed + $1))
	failed=$((failed + $2))
}

# step NAME COMMAND...: its output to a log; the end of that on failure.
step() {
	name=$1
	shift
	at=$(date +%s)
	"$@" >"$logs/$name.log" 2>&1 </dev/null
	result=$?
	printf '%-28s %5ss  %s\n' "$name" "$(($(date +%s) - at))" "$([ $result = 0 ] && echo ok || echo "FAILED ($result)")"
	if [ $result != 0 ]; then
		broken="$broken $name"
		echo "---- the end of build/tests/$name.log"
		tail -n 60 "$logs/$name.log"
		echo "----"
	fi
	return $result
}

# The number before a word on the last summary line of a log.
number() {
	grep -E '(passed|failed|error).* in [0-9.]+s' "$logs/$1.log" | tail -n 1 | grep -oE "[0-9]+ $2" | cut -d' ' -f1
}

# pytest_step NAME [VARIABLE=value...] -- ARGUMENT...
pytest_step() {
	name=$1
	shift
	variables=
	while [ "$1" != -- ]; do
		variables="$variables $1"
		shift
	done
	shift
	step "$name" env $variables "$python" -m pytest -q -p no:cacheprovider -W ignore --tb=short --durations=10 "$@"
	result=$?
	good=$(number "$name" passed)
	bad=$(($(number "$name" failed | grep . || echo 0) + $(number "$name" error | grep . || echo 0)))
	[ $result = 0 ] || [ "$bad" -gt 0 ] || bad=1
	count "${good:-0}" "$bad"
}

# ctest_step PRESET
ctest_step() {
	step "unit-$1" ctest --test-dir "build/$1" --output-on-failure -j 2 --timeout 300
	result=$?
	total=$(grep -oE 'out of [0-9]+' "$logs/unit-$1.log" | grep -oE '[0-9]+')
	bad=$(grep -oE '[0-9]+ tests failed' "$logs/unit-$1.log" | cut -d' ' -f1)
	[ $result = 0 ] || [ "${bad:-0}" -gt 0 ] || bad=1
	count "$((${total:-0} - ${bad:-0}))" "${bad:-0}"
}

# one_step NAME COMMAND...: counts as one test.
one_step() {
	if step "$@"; then
		count 1 0
	else
		count 0 1
	fi
}

build() {
	cmake --preset "$1" && cmake --build --preset "$1"
}

# What cannot do without is a failure and the end.
need() {
	step "$@" && return
	count 0 1
	finish
}

finish() {
	echo "total $(($(date +%s) - began)) s"
	[ -z "$broken" ] || echo "failed steps:$broken"
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
	exit
}

fuzz() {
	seconds=$1
	# The same inputs each time, so that a change is judged by itself; --full looks further.
	seed=1
	[ "$mode" != full ] || seed=0
	build fuzz || return
	crashed=0
	for program in build/fuzz/tests/fuzz/fuzz_*; do
		[ -x "$program" ] && [ -f "$program" ] || continue
		target=${program##*/fuzz_}
		found=$root/build/tests/fuzz-$target
		mkdir -p "$found"
		echo "== $target"
		"$program" -seed="$seed" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$found/" "$found" \
			"tests/fuzz/corpus/$target" >"$logs/fuzz-$target.log" 2>&1 || {
			crashed=1
			tail -n 25 "$logs/fuzz-$target.log"
		}
	done
	return "$crashed"
}

full_flag=
[ "$mode" != full ] || full_flag=--full

need packages sh tools/packages.sh install run build test
need python sh tools/venv.sh 3.17.2
need python-old sh tools/venv.sh 2.22.0
python=$(sh tools/venv.sh 3.17.2)
need vectors sh tools/vectors.sh
CAPSTAN_VECTORS=$(sh tools/vectors.sh)
export CAPSTAN_VECTORS
need build-release build release
ctest_step release
pytest_step api-private -- tests/api $full_flag
[ "$mode" != quick ] || finish
need build-sanitize build sanitize
ctest_step sanitize
# Without what brings its databases along, or asks none.
pytest_step api-external CAPSTAN_TEST_POSTGRES=external CAPSTAN_TEST_PART=1 -- tests/api $full_flag --ignore=tests/api/test_lifecycle.py \
	--ignore=tests/api/test_cli.py --ignore=tests/api/test_old_client.py --ignore=tests/api/test_endpoints.py \
	--ignore=tests/api/test_import.py --ignore=tests/api/test_import_files.py --ignore=tests/api/test_promote.py \
	--ignore=tests/api/test_auth_users.py --ignore=tests/api/test_http_raw.py --ignore=tests/api/test_webhook_delivery.py
pytest_step api-sanitize CAPSTAN_BINARY="$root/build/sanitize/capstan" CAPSTAN_TEST_SLOW=4 CAPSTAN_TEST_PART=1 -- tests/api $full_flag \
	--ignore=tests/api/test_endpoints.py --ignore=tests/api/test_old_client.py \
	--deselect "tests/api/test_promote.py::test_whole[mlflow-capstan]" \
	--deselect "tests/api/test_promote.py::test_whole[second-mlflow]" \
	--deselect tests/api/test_http_raw.py::test_a_dripped_head_is_cut_after_ten_seconds
if [ -d tests/differential ]; then
	pytest_step differential -- tests/differential
fi
need python-clients sh tools/venv.sh clients
need others-clients sh tools/clients.sh
usual=$python
python=$(sh tools/venv.sh clients)
pytest_step clients -- tests/clients
python=$usual
need stores sh tools/stores.sh
need python-stores sh tools/venv.sh stores
python=$(sh tools/venv.sh stores)
pytest_step stores -- tests/stores
# They wait more than they compute.
pytest_step artifacts -- tests/artifacts -n 3 --dist loadfile $full_flag
pytest_step artifacts-sanitize CAPSTAN_BINARY="$root/build/sanitize/capstan" CAPSTAN_TEST_SLOW=4 CAPSTAN_TEST_STORES=versitygw,gcs -- \
	tests/artifacts -n 3 --dist loadfile --ignore=tests/artifacts/test_memory.py --deselect tests/artifacts/test_clients.py::test_models \
	-k "not minio and not 300_mib and not many_objects and not refresh and not old_keys and not for_good"
python=$usual
one_step checks sh tests/checks.sh build/release/capstan
# Faults and attacks: on the build that sees every memory error, and on the one that users run.
CAPSTAN_FULL=
[ "$mode" != full ] || CAPSTAN_FULL=1
export CAPSTAN_FULL
pytest_step faults -- tests/faults
pytest_step hostile -- tests/hostile
if [ "$mode" = full ]; then
	need build-thread-sanitize build thread-sanitize
	# base_error asks for more memory than there is, on purpose.
	export TSAN_OPTIONS=allocator_may_return_null=1
	ctest_step thread-sanitize
	pytest_step api-thread-sanitize CAPSTAN_BINARY="$root/build/thread-sanitize/capstan" CAPSTAN_TEST_SLOW=4 -- \
		tests/api/test_runs.py tests/api/test_batch.py tests/api/test_search.py tests/api/test_artifacts.py
fi
rounds=9
seconds=10
[ "$mode" != full ] || { rounds=60; seconds=600; }
one_step crash "$python" tests/crash/crash.py --rounds "$rounds"
one_step fuzz fuzz "$seconds"
[ "$mode" != full ] || one_step quickstart sh examples/quickstart.sh --port 5077 --once
finish
