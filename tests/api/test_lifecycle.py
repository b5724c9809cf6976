# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Starts, stops, deaths: of the daemon, of its PostgreSQL, of both."""

import os
import signal
import subprocess
import threading
import time

import pytest
import requests
from mlflow import MlflowClient

import capstan_server
from capstan_server import alive, run, wait_for
from conftest import unique

pytestmark = pytest.mark.ours


def write(server, experiment="0"):
    client = MlflowClient(server.url)
    made = client.create_run(experiment)
    client.log_metric(made.info.run_id, "m", 1.5, timestamp=1, step=2)
    client.log_text(made.info.run_id, "kept", "note.txt")
    return made.info.run_id


def check(server, run_id):
    client = MlflowClient(server.url)
    assert client.get_run(run_id).data.metrics == {"m": 1.5}
    assert [f.path for f in client.list_artifacts(run_id)] == ["note.txt"]


def test_second_start_finds_the_data(new_server):
    server = new_server()
    run_id = write(server)
    server.restart()
    check(server, run_id)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_leaves_nothing(new_server, number):
    server = new_server()
    postmaster = server.postmaster()
    assert postmaster and alive(postmaster)
    server.stop(number)
    assert server.processes() == []
    assert "stopped" in server.log()


def test_second_signal_is_quick(new_server):
    server = new_server()
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGINT)
    server.process.wait(10)
    wait_for(lambda: server.processes() == [], 10, "end of everything")


def test_requests_in_flight_are_answered(new_server):
    server = new_server()
    client = MlflowClient(server.url)
    run_id = client.create_run("0").info.run_id
    results, stopping = [], threading.Event()

    def load(n):
        session = requests.Session()
        for i in range(10_000):
            body = {"run_id": run_id, "key": f"k{n}", "value": i, "timestamp": i, "step": i}
            try:
                reply = session.post(
                    server.url + "/api/2.0/mlflow/runs/log-metric", json=body, timeout=20
                )
            except requests.ConnectionError as e:
                # refused, or closed between two requests: nothing was promised
                if stopping.is_set():
                    return
                results.append(repr(e))
                return
            results.append(reply.status_code)

    threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    wait_for(lambda: len(results) > 50, what="some load")
    stopping.set()
    server.stop()
    for t in threads:
        t.join(30)
    assert set(results) <= {200, 503}, set(results)


def test_kill_daemon(new_server):
    server = new_server()
    run_id = write(server)
    server.kill()
    server.start()
    check(server, run_id)
    write(server)
    server.stop()
    assert server.processes() == []


def test_kill_daemon_and_postgres(new_server):
    server = new_server()
    run_id = write(server)
    postmaster = server.postmaster()
    server.kill()
    os.kill(postmaster, signal.SIGKILL)
    server.start()
    check(server, run_id)
    server.stop()
    assert server.processes() == []


def test_kill_postgres(new_server):
    server = new_server()
    run_id = write(server)
    postmaster = server.postmaster()
    os.kill(postmaster, signal.SIGKILL)
    wait_for(lambda: not alive(postmaster), what="its death")
    statuses = set()

    def well():
        try:
            reply = requests.get(
                server.url + "/api/2.0/mlflow/runs/get", {"run_id": run_id}, timeout=20
            )
        except requests.ConnectionError as e:
            statuses.add(repr(e))
            return False
        statuses.add(reply.status_code)
        if reply.status_code == 503:
            assert int(reply.headers["Retry-After"]) > 0
            assert "TEMPORARILY_UNAVAILABLE" in reply.text
        return reply.status_code == 200

    wait_for(well, 30, "recovery")
    assert statuses <= {200, 503}, statuses
    assert requests.get(server.url + "/livez", timeout=20).status_code == 200
    assert server.postmaster() != postmaster
    check(server, run_id)
    write(server)


def test_external_postgres_goes_and_comes(new_server):
    cluster = capstan_server.Postgres().start()
    try:
        server = new_server(backend=cluster.database("away"))
        run_id = write(server)
        cluster.kill()
        wait_for(
            lambda: requests.get(server.url + "/readyz", timeout=20).status_code == 503,
            what="not ready",
        )
        assert requests.get(server.url + "/health", timeout=20).status_code == 200
        reply = requests.get(
            server.url + "/api/2.0/mlflow/runs/get", {"run_id": run_id}, timeout=20
        )
        assert reply.status_code == 503 and "Retry-After" in reply.headers
        assert "postgres" not in reply.text.lower()
        reply = requests.post(
            server.url + "/api/2.0/mlflow/runs/log-metric",
            json={"run_id": run_id, "key": "k", "value": 1, "timestamp": 1},
            timeout=20,
        )
        assert reply.status_code == 503
        cluster.revive()
        began = time.monotonic()
        wait_for(
            lambda: requests.get(
                server.url + "/api/2.0/mlflow/runs/get", {"run_id": run_id}, timeout=20
            ).status_code
            == 200,
            what="recovery",
        )
        assert time.monotonic() - began < 5 * capstan_server.SLOW
        check(server, run_id)
        server.stop()
    finally:
        cluster.close()


def test_database_without_the_daemon_in_front(postgres, new_server):
    """Two daemons on one external database see one another's writes."""
    uri = postgres.database(unique("shared"))
    first, second = new_server(backend=uri), new_server(backend=uri)
    run_id = MlflowClient(first.url).create_run("0").info.run_id
    MlflowClient(second.url).log_metric(run_id, "m", 1.0)
    assert MlflowClient(first.url).get_run(run_id).data.metrics == {"m": 1.0}


def test_second_daemon_is_refused(new_server):
    server = new_server()
    result = run("serve", "--data-dir", server.data_dir, "--port", "0")
    assert (
        result.returncode == 1
        and "Another capstan" in result.stderr
        and str(server.pid) in result.stderr
    )
    write(server)


def test_no_tcp_for_the_private_database(new_server):
    server = new_server()
    family = [server.postmaster()]
    listed = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout
    for pid in family:
        assert f"pid={pid}," not in listed
    status = open(f"/proc/{server.postmaster()}/status").read()
    uid = int(status.split("Uid:")[1].split()[0])
    assert uid != 0


def test_idle_start_and_memory(new_server):
    server = new_server()
    status = open(f"/proc/{server.pid}/status").read()
    threads = int(status.split("Threads:")[1].split()[0])
    sessions = [requests.Session() for _ in range(60)]
    for s in sessions:
        assert s.get(server.url + "/health", timeout=20).status_code == 200
    status = open(f"/proc/{server.pid}/status").read()
    assert int(status.split("Threads:")[1].split()[0]) == threads
