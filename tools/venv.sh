#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# A Python environment with one pinned MLflow client and what the tests and examples need; made once, outside of the
# repository. Prints its interpreter.
#
#   sh tools/venv.sh [3.17.2|2.22.0|clients|stores]
#
# clients: 3.17.2 with the programs of others that speak to it
# stores: 3.17.2 with the object stores' own clients
set -eu

version=${1:-3.17.2}
case $version in
3.17.2) more='scikit-learn pytest requests psycopg2-binary Flask-WTF<2' ;;
2.22.0) more='scikit-learn pytest requests' ;;
clients)
	version=3.17.2
	more='mlflow-export-import==1.2.0 tabulate==0.9.0 optuna==5.0.0 optuna-integration==5.0.0 scikit-learn pytest requests psycopg2-binary'
	;;
stores)
	version=3.17.2
	more='boto3==1.44.5 google-cloud-storage==3.17.1 PyJWT==2.15.1 cryptography==50.0.2 pytest-xdist==3.8.0 scikit-learn pytest requests psycopg2-binary'
	;;
*)
	echo "venv.sh: no such environment: $version" >&2
	exit 2
	;;
esac
cache=${XDG_CACHE_HOME:-$HOME/.cache}/capstan
venv=$cache/venv-${1:-$version}
# The mark tells the next run that this one was interrupted.
if ! [ -x "$venv/bin/pip" ]; then
	mkdir -p "$venv"
	touch "$venv/incomplete"
	echo "making the Python environment $venv" >&2
	python3 -m venv "$venv" >&2
fi
# An environment of an earlier list gets what is new in it.
if [ -e "$venv/incomplete" ] || [ "$(cat "$venv/holds" 2>/dev/null)" != "$more" ]; then
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "mlflow==$version" $more >&2
	echo "$more" >"$venv/holds"
	rm -f "$venv/incomplete"
fi
echo "$venv/bin/python"
