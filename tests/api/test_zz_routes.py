# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Last: every route of the daemon was asked for, under every mount, and answered like MLflow."""

import os
import re

import pytest

import exchange
from conftest import REFERENCE

pytestmark = [pytest.mark.ours, pytest.mark.skipif(bool(REFERENCE), reason="about our routes")]

PREFIX = {"api": "/api/", "ajax-api": "/ajax-api/", "root": ""}
PARTIAL = 500  # fewer requests than that: not the whole suite ran
ERROR = ["error_class", "error_code", "message", "sqlstate"]


def paths(row):
    """One path per mount, with something in place of each {field}."""
    filled = re.sub(r"\{[^}]*\}", "0", row["path"])
    return [PREFIX[mount] + filled for mount in row["mounts"].split(",")]


def pattern(row):
    tail = re.sub(
        r"\\\{(\w+)\\\}",
        lambda m: ".+" if "path" in m.group(1) else "[^/]+",
        re.escape(row["path"].lstrip("/")).replace(r"\_", "_"),
    )
    return re.compile(rf"^/(?:api/|ajax-api/)?{tail}$")


@pytest.fixture(scope="module")
def rows():
    return [row for row in exchange.routes() if row["kind"] != "absent"]


def test_every_mount_answers(api, rows):
    """An empty request is refused or answered; never a 404 of an unknown route, a 405 or a 500."""
    for row in rows:
        for path in paths(row):
            body = {} if row["method"] in ("POST", "PUT", "PATCH", "DELETE") else None
            if row["method"] == "DELETE" and "artifacts/{path}" in row["path"]:
                body = None
            reply = api.send(row["method"], path, body)
            where = (row["method"], path, reply.status_code, reply.text[:300])
            assert reply.status_code not in (405, 500), where
            if reply.status_code == 404:
                assert "html" not in reply.headers.get("Content-Type", ""), where


def test_every_route_was_used(rows):
    if len(exchange.log) < PARTIAL or os.environ.get("CAPSTAN_TEST_PART"):
        pytest.skip("only a part of the suite ran")
    unused = []
    for row in rows:
        fits = pattern(row)
        # always refused: a directory has no presigned addresses, the one workspace cannot be changed
        refused = "/workspaces" in row["path"] and row["method"] != "GET"
        most = 501 if "presigned" in row["path"] else 404 if refused else 299
        if not any(
            m == row["method"] and fits.match(p) and s <= most for m, p, s, _ in exchange.log
        ):
            unused.append(f"{row['method']} {row['path']}")
    assert not unused, "never answered with success: " + ", ".join(unused)


def test_nothing_was_a_server_error():
    broken = sorted(
        {
            (m, re.sub("[0-9a-f]{32}", "*", p), s)
            for m, p, s, _ in exchange.log
            if s >= 500 and s not in (501, 503)
        }
    )
    assert [b for b in broken if not b[1].endswith("experiments/update")] == []


def test_replies_fit_their_records(rows):
    known = [
        (row["method"], pattern(row), exchange.fields(row["reply"])) for row in rows if row["reply"]
    ]
    found = set()
    for method, path, status, body in exchange.log:
        if status != 200 or body is None:
            continue
        for m, fits, record in known:
            if m == method and fits.match(path):
                found |= {f"{path}: {each}" for each in exchange.misfits(body, record)}
                break
    assert not found, "\n".join(sorted(found)[:50])


def test_errors_have_the_fields_of_errors():
    for method, path, status, body in exchange.log:
        if (
            status >= 400
            and body is not None
            and method != "HEAD"
            and path.startswith(("/api", "/ajax-api"))
            and "detail" not in body
        ):
            assert isinstance(body, dict), (method, path, status, body)
            assert {"error_code", "message"} <= set(body) <= set(ERROR), (
                method,
                path,
                status,
                body,
            )
