# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Host, Origin and framing checks, as MLflow's security middleware answers."""

import pytest
import requests


def ask(server, method="GET", path="/api/2.0/mlflow/experiments/get?experiment_id=0", **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    return requests.request(
        method,
        server.url + path,
        headers=headers,
        timeout=60,
        json={} if method == "POST" else None,
    )


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:5000",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]:5000",
        "10.1.2.3",
        "192.168.1.1:99",
        "172.16.0.1",
        "172.31.9.9:1",
    ],
)
def test_good_hosts(server, host):
    assert ask(server, Host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5000",
        "localhost.evil.example",
        "172.32.0.1",
        "172.15.0.1",
        "11.0.0.1",
        "0.0.0.0.evil",
        pytest.param("10.evil.example", marks=pytest.mark.ours),
        "1.127.0.0.1",
    ],
)
def test_bad_hosts(server, host):
    reply = ask(server, Host=host)
    assert reply.status_code == 403
    assert "Invalid Host header" in reply.text


@pytest.mark.parametrize("path", ["/health", "/version"])
def test_probes_need_no_host(server, path):
    assert ask(server, path=path, Host="evil.example").status_code == 200


@pytest.mark.ours
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/readyz?verbose"])
def test_own_probes_need_no_host(server, path):
    assert ask(server, path=path, Host="evil.example").status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:8080"]
)
def test_local_origins(server, origin):
    reply = ask(server, "POST", "/api/2.0/mlflow/experiments/search", Origin=origin)
    assert reply.status_code == 400  # max_results is missing: it went through
    assert reply.headers["Access-Control-Allow-Origin"] == origin
    reply = ask(server, Origin=origin)
    assert (
        reply.headers["Access-Control-Allow-Origin"] == origin and "Origin" in reply.headers["Vary"]
    )


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://localhost.evil.example", "http://evil.example:5000"]
)
def test_foreign_origins(server, origin):
    for path in ("/api/2.0/mlflow/experiments/search", "/ajax-api/2.0/mlflow/experiments/search"):
        reply = ask(server, "POST", path, Origin=origin)
        assert reply.status_code == 403 and "Cross-origin request blocked" in reply.text
        assert "Access-Control-Allow-Origin" not in reply.headers
    reply = ask(server, Origin=origin)
    assert reply.status_code == 200 and "Access-Control-Allow-Origin" not in reply.headers


@pytest.mark.ours
def test_null_origin_is_foreign(server):
    assert (
        ask(server, "POST", "/api/2.0/mlflow/experiments/search", Origin="null").status_code == 403
    )
    assert (
        ask(
            server, "PUT", "/api/2.0/mlflow-artifacts/artifacts/x", Origin="http://evil.example"
        ).status_code
        == 403
    )


def test_preflight(server):
    asked = {
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "content-type",
    }
    reply = ask(
        server, "OPTIONS", "/api/2.0/mlflow/runs/create", Origin="http://localhost:3000", **asked
    )
    assert reply.status_code == 200
    assert reply.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    reply = ask(
        server, "OPTIONS", "/api/2.0/mlflow/runs/create", Origin="http://evil.example", **asked
    )
    assert "Access-Control-Allow-Origin" not in reply.headers


def test_headers(server):
    reply = ask(server)
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.mark.ours
def test_own_lists(new_server):
    server = new_server(
        "--allowed-hosts",
        "tracking.example,*.inside.example,10.0.0.5:5000",
        "--cors-allowed-origins",
        "https://ui.example,http://notebook.example:8888",
        "--x-frame-options",
        "deny",
    )
    for host in ("tracking.example", "a.inside.example", "10.0.0.5:5000"):
        assert ask(server, Host=host).status_code == 200, host
    for host in ("evil.example", "127.0.0.2", "inside.example.evil"):
        assert ask(server, Host=host).status_code == 403, host
    path = "/api/2.0/mlflow/experiments/search"
    assert (
        ask(server, "POST", path, Host="tracking.example", Origin="https://ui.example").status_code
        == 400
    )
    assert (
        ask(
            server, "POST", path, Host="tracking.example", Origin="https://evil.example"
        ).status_code
        == 403
    )
    assert ask(server, Host="tracking.example").headers["X-Frame-Options"] == "DENY"


@pytest.mark.ours
def test_all_allowed(new_server):
    server = new_server(
        "--allowed-hosts", "*", "--cors-allowed-origins", "*", "--x-frame-options", "NONE"
    )
    reply = ask(
        server,
        "POST",
        "/api/2.0/mlflow/experiments/search",
        Host="any.example",
        Origin="http://evil.example",
    )
    assert reply.status_code == 400
    assert "X-Frame-Options" not in ask(server, Host="any.example").headers


@pytest.mark.ours
def test_disabled(new_server):
    server = new_server("--disable-security-middleware")
    assert (
        ask(
            server,
            "POST",
            "/api/2.0/mlflow/experiments/search",
            Host="any.example",
            Origin="http://evil.example",
        ).status_code
        == 400
    )
