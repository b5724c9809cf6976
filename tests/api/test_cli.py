# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""The command line: flags, environment, help, errors that say what to do, and the commands beside serve."""

import os
import re
import socket
import threading

import pytest
from mlflow import MlflowClient

import capstan_server
from capstan_server import run, wait_for
from conftest import unique

pytestmark = pytest.mark.ours


def failed(result, text, code=1):
    """One clear line on standard error."""
    assert result.returncode == code, (result.returncode, result.stderr)
    assert not capstan_server.SANITIZER.search(result.stderr), result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("capstan")]
    assert len(lines) == 1 and re.search(text, lines[0], re.I), result.stderr
    return lines[0]


def test_version():
    for arguments in (["version"], ["--version"]):
        result = run(*arguments)
        assert result.returncode == 0 and re.fullmatch(r"capstan \d+\.\d+\.\d+\n", result.stdout)


def test_help():
    for arguments in (["--help"], []):
        result = run(*arguments)
        assert result.returncode == 0
        for word in ("serve", "gc", "db upgrade", "version"):
            assert word in result.stdout
    text = run("serve", "--help").stdout
    for flag in (
        "--backend-store-uri",
        "-h, --host",
        "-p, --port",
        "--no-serve-artifacts",
        "--data-dir",
        "--allowed-hosts",
        "MLFLOW_BACKEND_STORE_URI",
        "127.0.0.1",
    ):
        assert flag in text
    assert max(map(len, text.splitlines())) <= 100
    assert run("server", "--help").stdout == text
    assert "--older-than" in run("gc", "--help").stdout
    assert "[URL]" in run("db", "upgrade", "--help").stdout


def test_help_is_the_documented_table():
    table = run("serve", "--help-markdown").stdout
    document = capstan_server.ROOT / "docs" / "operations.md"
    assert table in document.read_text()


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["nonsense"], "no such command"),
        (["serve", "--nonsense"], "No such option: '--nonsense'"),
        (["serve", "--port", "x"], "--port must be a whole number"),
        (["serve", "--port"], "needs an argument"),
        (["serve", "extra"], "unexpected argument"),
        (["serve", "--log-level", "loud"], "one of debug"),
        (["serve", "--app-name", "oidc-auth"], "basic-auth"),
        (["gc", "--port", "1"], "No such option"),
        (["db"], "no such command"),
        (["db", "downgrade"], "no such command"),
    ],
)
def test_wrong_use(arguments, text):
    failed(run(*arguments), text, 2)


@pytest.mark.parametrize(
    "uri, text",
    [
        ("sqlite:///mlflow.db", "sqlite|PostgreSQL"),
        ("mysql+pymysql://u@h/d", "mysql|PostgreSQL"),
        ("./mlruns", "PostgreSQL"),
        ("postgresql://u@127.0.0.1:1/d", "connect|refused"),
        ("postgresql://u@no-such-host.invalid/d", "no-such-host|host"),
        ("postgresql://u@h:port/d", "port|URI|invalid"),
    ],
)
def test_bad_uri(tmp_path, uri, text):
    result = run(
        "serve", "--data-dir", str(tmp_path / "d"), "--backend-store-uri", uri, "--port", "0"
    )
    failed(result, text)


def test_wrong_password(tmp_path, postgres):
    result = run(
        "serve",
        "--data-dir",
        str(tmp_path / "d"),
        "--backend-store-uri",
        postgres.uri("postgres", "wrong secret"),
        "--port",
        "0",
    )
    line = failed(result, "password|authentication")
    assert "wrong secret" not in result.stderr and "wrong%20secret" not in result.stderr, line


def test_missing_database(tmp_path, postgres):
    failed(
        run(
            "serve",
            "--data-dir",
            str(tmp_path / "d"),
            "--backend-store-uri",
            postgres.uri("absent"),
            "--port",
            "0",
        ),
        "absent",
    )


def test_missing_postgres(tmp_path):
    failed(
        run(
            "serve", "--data-dir", str(tmp_path / "d"), "--pg-bin-dir", str(tmp_path), "--port", "0"
        ),
        "PostgreSQL|initdb|postgres",
    )


def test_unwritable_data_dir(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    failed(run("serve", "--data-dir", str(file / "d"), "--port", "0"), "director")


def test_newer_schema(postgres, new_server):
    uri = postgres.database(unique("newer"))
    server = new_server(backend=uri)
    server.stop()
    name = uri.rsplit("/", 1)[1]
    connection = postgres.connect(name)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns"
            " WHERE column_name = 'version' AND table_schema = 'capstan'"
        )
        schema, table, column = cursor.fetchone()
        cursor.execute(
            f"SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
            f" AND column_name <> %s AND is_nullable = 'NO' AND column_default IS NULL",
            (schema, table, column),
        )
        others = [row[0] for row in cursor.fetchall()]
        columns = ", ".join([column, *others])
        cursor.execute(
            f"INSERT INTO {schema}.{table} ({columns}) SELECT 9999{''.join(', ' + o for o in others)}"
            f" FROM {schema}.{table} LIMIT 1"
        )
    connection.close()
    failed(
        run("serve", "--data-dir", server.data_dir, "--backend-store-uri", uri, "--port", "0"),
        "newer|9999",
    )
    failed(run("db", "upgrade", uri), "newer|9999")


def test_port_in_use(server, tmp_path):
    result = (
        run(
            "serve",
            "--data-dir",
            str(tmp_path / "d"),
            "--port",
            str(server.port),
            "--backend-store-uri",
            server.backend,
        )
        if server.backend
        else None
    )
    if result is None:
        data_dir = capstan_server.temporary_dir()
        result = run("serve", "--data-dir", data_dir, "--port", str(server.port))
        assert not capstan_server.Server(data_dir=data_dir).processes()
    failed(result, "in use|taken")


def test_environment_and_precedence(new_server):
    server = new_server(start=False)
    server.env = {
        "MLFLOW_PORT": "1",
        "MLFLOW_SERVER_X_FRAME_OPTIONS": "DENY",
        "MLFLOW_WORKERS": "4",
    }
    server.start()  # --port wins
    import requests

    assert requests.get(server.url + "/version", timeout=30).headers["X-Frame-Options"] == "DENY"
    assert "MLFLOW_WORKERS" in server.log()


def test_value_from_file(tmp_path, postgres, new_server):
    secret = tmp_path / "uri"
    secret.write_text(postgres.database(unique("fromfile")) + "\n")
    server = new_server(start=False)
    server.env = {"MLFLOW_BACKEND_STORE_URI_FILE": str(secret)}
    server.start()
    assert server.postmaster() is None
    assert capstan_server.PASSWORD not in server.log()
    with open(f"/proc/{server.pid}/cmdline", "rb") as f:
        assert b"password" not in f.read()


def test_json_log(new_server):
    import json

    server = new_server("--log-format", "json", "--workers", "2")
    lines = [json.loads(line) for line in server.log().splitlines()]
    assert any("listening" in line.values() for line in lines)


def test_stop(new_server):
    server = new_server()
    assert run("serve", "--stop", "--data-dir", server.data_dir).returncode == 0
    assert server.process.wait(10) == 0
    assert server.processes() == []
    again = run("serve", "--stop", "--data-dir", server.data_dir)
    assert again.returncode == 0 and "No capstan" in again.stdout
    assert run("serve", "--stop", "--data-dir", "/nonexistent").returncode == 0


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_notify(tmp_path, new_server, abstract):
    name = f"\0{unique()}" if abstract else str(tmp_path / "notify")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(name)
    got = []
    threading.Thread(
        target=lambda: [got.append(listener.recv(4096).decode()) for _ in range(1000)], daemon=True
    ).start()
    server = new_server(start=False)
    server.env = {"NOTIFY_SOCKET": name.replace("\0", "@"), "WATCHDOG_USEC": "200000"}
    server.env["WATCHDOG_PID"] = ""
    server.start()
    wait_for(
        lambda: any("READY=1" in g and f"MAINPID={server.pid}" in g for g in got), what="READY"
    )
    wait_for(lambda: sum("WATCHDOG=1" in g for g in got) >= 2, what="WATCHDOG")
    server.stop()
    wait_for(lambda: any("STOPPING=1" in g for g in got), what="STOPPING")


def files_below(path):
    return sum(len(files) for _, _, files in os.walk(path))


def test_gc(new_server):
    server = new_server()
    client = MlflowClient(server.url)
    kept = client.create_run("0").info.run_id
    client.log_text(kept, "kept", "a.txt")
    dead = [client.create_run("0").info.run_id for _ in range(3)]
    for run_id in dead:
        client.log_metric(run_id, "m", 1.0)
        client.log_text(run_id, "x" * 1000, "d/a.txt")
        client.delete_run(run_id)
    experiment = client.create_experiment("doomed")
    inside = client.create_run(experiment).info.run_id
    client.log_text(inside, "y" * 500, "b.txt")
    client.delete_experiment(experiment)

    young = run("gc", "--data-dir", server.data_dir, "--older-than", "1h")
    assert young.returncode == 0 and " 0 bytes" in young.stdout, young.stderr
    failed(run("gc", "--data-dir", server.data_dir, "--run-ids", kept), "not in `deleted`")
    failed(run("gc", "--data-dir", server.data_dir, "--run-ids", "f" * 32), "not found")
    failed(run("gc", "--data-dir", server.data_dir, "--older-than", "soon"), "Could not parse")
    failed(
        run("gc", "--data-dir", server.data_dir, "--older-than", "1h", "--run-ids", dead[0]),
        "older",
    )

    one = run("gc", "--data-dir", server.data_dir, "--run-ids", dead[0])
    assert one.returncode == 0 and "1000 bytes" in one.stdout, one.stderr
    server.stop()  # and with the daemon away
    rest = run("gc", "--data-dir", server.data_dir)
    assert rest.returncode == 0, rest.stderr
    assert "2500 bytes" in rest.stdout
    for gone in (*dead[1:], inside, experiment):
        assert f"ID {gone} has been permanently deleted" in rest.stdout
    assert [p for p in server.processes()] == []

    server.start()
    client = MlflowClient(server.url)
    assert client.get_run(kept).info.lifecycle_stage == "active"
    assert client.get_experiment_by_name("doomed") is None
    client.create_experiment("doomed")
    assert files_below(os.path.join(server.data_dir, "artifacts")) == 1


def test_gc_where_there_is_nothing(tmp_path):
    failed(run("gc", "--data-dir", str(tmp_path / "none")), "no database")


def test_upgrade(postgres):
    uri = postgres.database(unique("upgrade"))
    first = run("db", "upgrade", uri)
    assert first.returncode == 0 and "from version 0" in first.stdout, first.stderr
    second = run("db", "upgrade", uri)
    assert second.returncode == 0 and "up to date" in second.stdout
    failed(run("db", "upgrade", "sqlite:///x"), "PostgreSQL|sqlite")


def test_routes_are_dumped():
    import exchange

    rows = exchange.routes()
    assert len(rows) > 40 and all(row["needs"] for row in rows)
