# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Probes, version, server-info, metrics."""

import re

import pytest


def test_health(api):
    reply = api.get("/health")
    assert (reply.status_code, reply.text) == (200, "OK")


def test_version(api):
    reply = api.get("/version")
    assert reply.status_code == 200 and re.fullmatch(r"\d+\.\d+\.\d+", reply.text)


def test_server_info(api):
    for mount in ("api", "ajax-api"):
        info = api.get(f"/{mount}/3.0/mlflow/server-info").json()
        assert info["store_type"] and isinstance(info["workspaces_enabled"], bool)


@pytest.mark.ours
def test_probes(api):
    assert api.get("/livez").status_code == 200
    assert api.get("/readyz").status_code == 200
    verbose = api.get("/readyz?verbose").text
    assert re.search("database|store|postgres", verbose, re.I), verbose


@pytest.mark.ours
def test_metrics(api, run):
    api.get("runs/get", {"run_id": run.info.run_id})
    text = api.get("/metrics").text
    samples = [line for line in text.splitlines() if line and not line.startswith("#")]
    for line in samples:
        assert re.fullmatch(
            r'[a-z_:][a-z0-9_:]*(\{([a-z_]+="[^"]*",?)*\})? [-+0-9.eENaInf]+', line
        ), line
    assert run.info.run_id not in text
    assert any(
        "runs/get" in line and 'status="200"' in line or "runs/get" in line and "200" in line
        for line in samples
    )
    for word in ("_bucket{", "_sum", "_count"):
        assert word in text
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert all(any(line.startswith(f) for f in families) for line in samples)
