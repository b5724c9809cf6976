#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# From a fresh Debian machine to a trained, tracked and reloaded model: installs what is missing, builds capstan, starts
# it with nothing configured, trains, and shows what was tracked. The server goes on until Ctrl-C.
#
#   sh examples/quickstart.sh [--port PORT] [--once] [--stop]
#
#   --port PORT   listen on this port (5000)
#   --once        stop the server at the end instead of waiting for Ctrl-C
#   --stop        stop the server of an earlier call and leave
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
binary=$root/build/release/capstan
data=$root/capstan-data
port=5000
once=
stop=

usage() {
	sed -n '8,12s/^# \{0,1\}//p' "$0"
}

while [ $# -gt 0 ]; do
	case $1 in
	--port)
		[ $# -ge 2 ] || { usage >&2; exit 2; }
		port=$2
		shift
		;;
	--port=*) port=${1#--port=} ;;
	--once) once=1 ;;
	--stop) stop=1 ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
url=http://127.0.0.1:$port

say() {
	printf '\n\033[1m== %s\033[0m\n' "$*"
}

if [ -n "$stop" ]; then
	[ -x "$binary" ] || { echo "nothing was built here yet"; exit 0; }
	exec "$binary" serve --stop --data-dir "$data"
fi

build() {
	say "Building capstan"
	sh "$root/tools/packages.sh" install run build example
	cd "$root"
	[ -f build/release/build.ninja ] || cmake --preset release >"$root/build-configure.log" 2>&1 || {
		cat "$root/build-configure.log" >&2
		exit 1
	}
	rm -f "$root/build-configure.log"
	cmake --build --preset release --target capstan
}

pid=
leave() {
	status=$?
	trap - EXIT INT TERM HUP
	if [ -n "$pid" ]; then
		say "Stopping capstan"
		kill -TERM "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	fi
	exit "$status"
}

# The daemon says when it listens; until then it must be alive.
start() {
	say "Starting capstan on $url"
	trap leave EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	"$binary" serve --port "$port" --data-dir "$data" &
	pid=$!
	tries=0
	until curl -fsS -o /dev/null "$url/health" 2>/dev/null; do
		kill -0 "$pid" 2>/dev/null || { pid=; echo "capstan did not start" >&2; exit 1; }
		tries=$((tries + 1))
		[ "$tries" -lt 600 ] || { echo "capstan does not answer" >&2; exit 1; }
		sleep 0.1
	done
}

show() {
	say "The run, by curl"
	curl -fsS "$url/api/2.0/mlflow/runs/get?run_id=$run_id" | "$python" -m json.tool | head -n 40
	echo "    ..."
	say "The run, by the MLflow client; the model loaded back from the server"
	"$python" -W ignore - "$url" "$run_id" "$model_uri" <<'PYTHON'
import sys

import mlflow

url, run_id, model_uri = sys.argv[1:]
mlflow.set_tracking_uri(url)
run = mlflow.get_run(run_id)
print("params   ", run.data.params)
print("metrics  ", {k: round(v, 3) for k, v in run.data.metrics.items()})
print("dataset  ", [d.dataset.name for d in run.inputs.dataset_inputs])
print("artifacts", [f.path for f in mlflow.MlflowClient().list_artifacts(run_id)])
model = mlflow.pyfunc.load_model(model_uri)
print("predicts ", [int(p) for p in model.predict(model.input_example)])
PYTHON
}

build
python=$(sh "$root/tools/venv.sh" 3.17.2)
start
export GIT_PYTHON_REFRESH=quiet MLFLOW_DISABLE_TELEMETRY=true MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false
say "Training"
told=$("$python" -W ignore "$here/train/train.py" --tracking-uri "$url")
echo "$told" | sed '$d'
run_id=$(echo "$told" | sed -n '$s/.*"run_id": "\([^"]*\)".*/\1/p')
model_uri=$(echo "$told" | sed -n '$s/.*"model_uri": "\([^"]*\)".*/\1/p')
show
say "Where to look"
cat <<END
server     $url            (MLFLOW_TRACKING_URI=$url)
run        $url/api/2.0/mlflow/runs/get?run_id=$run_id
metrics    $url/metrics
data       $data
again      sh examples/quickstart.sh
stop       Ctrl-C here, or: sh examples/quickstart.sh --stop
END
[ -z "$once" ] || exit 0
echo
echo "capstan goes on; Ctrl-C stops it."
wait "$pid" || :
pid=
