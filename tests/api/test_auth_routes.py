# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Every row of the route table: strangers get 401, users without grants 403 or an empty page, admins an answer."""

import re

import pytest
import requests

import accounts
import exchange
from conftest import REFERENCE, unique

pytestmark = [pytest.mark.ours, pytest.mark.skipif(bool(REFERENCE), reason="about our routes")]

PREFIX = {"api": "/api/", "ajax-api": "/ajax-api/", "root": ""}
OPEN = {"NOTHING", "UPLOAD_PART"}
# MLflow: without workspaces anybody may create, unless a DENY says otherwise
CREATES = {"CREATE_EXPERIMENT", "CREATE_REGISTERED_MODEL"}
# decided by the handler, or nothing to decide
ANYBODY = {"SIGNED_IN", "ACCOUNTS"} | CREATES
CHALLENGE = 'Basic realm="mlflow"'


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A daemon whose users may nothing by default, things of the admin's, and a user without a grant."""
    import capstan_server

    directory = tmp_path_factory.mktemp("auth")
    daemon = capstan_server.Server(
        *accounts.FLAGS, env=accounts.environment(directory, "NO_PERMISSIONS")
    ).start()
    try:
        yield World(daemon)
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


class World:
    def __init__(self, daemon):
        self.daemon = daemon
        self.accounts = accounts.Accounts(daemon.url)
        self.admin = self.accounts.admin
        self.user = self.accounts.user()
        self.rows = exchange.routes()
        self.make()

    def make(self):
        """What every request below names: each field that a row may be judged by."""
        ok = self.admin.ok
        self.name = unique("experiment")
        experiment = ok("POST", "experiments/create", {"name": self.name})["experiment_id"]
        run = ok("POST", "runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
        model = ok("POST", "logged-models", {"experiment_id": experiment, "name": "m"})
        self.model = model["model"]["info"]["model_id"]
        self.experiment, self.run = experiment, run
        self.registered = unique("model")
        for path, body in (
            ("registered-models/create", {"name": self.registered}),
            ("model-versions/create", {"name": self.registered, "source": "s3://bucket/m"}),
            (
                "registered-models/alias",
                {"name": self.registered, "alias": "champion", "version": "1"},
            ),
        ):
            if any(row["path"].endswith(path) for row in self.rows):
                ok("POST", path, body)
        self.admin.session.put(
            f"{self.daemon.url}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/a",
            data=b"x",
        ).raise_for_status()

    def request(self, row, mount):
        """(method, path, query, body) that names the admin's things wherever the row can."""
        fields = {
            "model_id": self.model,
            "path": f"{self.experiment}/{self.run}/artifacts/a",
            "artifact_path": f"{self.experiment}/{self.run}/artifacts/a",
            "name": self.registered,
        }
        path = PREFIX[mount] + re.sub(
            r"\{(\w+)\}", lambda m: fields.get(m.group(1), "x"), row["path"]
        )
        said = {
            "experiment_id": self.experiment,
            "experiment_ids": [self.experiment],
            "experiment_name": self.name,
            "run_id": self.run,
            "run_ids": [self.run],
            "run_uuid": self.run,
            "model_id": self.model,
            "path": f"{self.experiment}/x",
            "metric_key": "k",
            "max_results": 10,
            "version": "1",
            "alias": "champion",
            "source": "s3://bucket/other",
        }
        if "presigned-upload" in row["path"]:
            del said["model_id"]
        if row["needs"] in CREATES:
            said["name"] = unique("new")
        elif row["request"].startswith("name:") or ",name:" in row["request"] or "version" in row["path"]:
            said["name"] = self.registered
        if row["method"] == "GET" or row["kind"].startswith("stream"):
            said.pop("run_uuid" if row["path"] != "/get-artifact" else "run_id")
            return row["method"], path, said, None
        return row["method"], path, None, said

    def send(self, who, row, mount):
        method, path, query, body = self.request(row, mount)
        data = b"x" if row["kind"].startswith("stream") and method != "GET" else None
        return who.session.request(
            method, self.daemon.url + path, params=query, json=body, data=data, timeout=60
        )

    def each(self, *needs, without=()):
        for row in self.rows:
            if (needs and row["needs"] not in needs) or row["needs"] in without:
                continue
            for mount in row["mounts"].split(","):
                yield row, mount


def test_no_row_answers_strangers(world):
    seen = 0
    for row, mount in world.each():
        for headers in (
            {},
            {"Authorization": "Bearer x"},
            {"Authorization": "Basic !"},
            {"Authorization": "Basic"},
        ):
            who = world.accounts.nobody
            who.session.headers.pop("Authorization", None)
            who.session.headers.update(headers)
            reply = world.send(who, row, mount)
            who.session.headers.pop("Authorization", None)
            where = (row["path"], row["needs"], headers, reply.status_code, reply.text[:200])
            if row["needs"] in OPEN:
                assert reply.status_code != 401, where
                continue
            seen += 1
            assert reply.status_code == 401, where
            assert reply.headers["WWW-Authenticate"] == CHALLENGE, where
            assert reply.text.startswith("You are not authenticated. Please see "), where
    assert seen > 200


def test_the_open_rows_are_these(world):
    paths = sorted(row["path"] for row in world.rows if row["needs"] in OPEN)
    assert paths == [
        "/health",
        "/livez",
        "/readyz",
        "2.0/mlflow-artifacts/mpu/part/{path}",
        "3.0/mlflow/server-info",
    ]


def test_wrong_passwords_and_unknown_users(world):
    for auth in (
        (accounts.ADMIN[0], "not the password"),
        ("nobody-at-all", accounts.PASSWORD),
        (world.user.name, ""),
        ("", ""),
    ):
        reply = requests.get(
            world.daemon.url + "/api/2.0/mlflow/runs/get",
            params={"run_id": world.run},
            auth=auth,
            timeout=60,
        )
        assert reply.status_code == 401, (auth, reply.text)
        assert reply.headers["WWW-Authenticate"] == CHALLENGE


def test_paths_that_do_not_exist_are_not_told_to_strangers(world):
    url = world.daemon.url
    for method, path in (
        ("GET", "/nothing"),
        ("GET", "/api/2.0/mlflow/nothing"),
        ("POST", "/api/2.0/mlflow/experiments/get"),
        ("GET", "/api/2.0/mlflow/runs/get/"),
        ("OPTIONS", "/api/2.0/mlflow/runs/get"),
    ):
        assert requests.request(method, url + path, timeout=60).status_code == 401, path
        assert world.admin.send(method, path).status_code in (204, 404, 405), path


def test_no_grant_no_answer(world):
    """403 in MLflow's words for everything that is somebody's."""
    seen = 0
    for row, mount in world.each(without=OPEN | ANYBODY):
        if row["needs"].startswith("FILTER_"):
            continue
        reply = world.send(world.user, row, mount)
        where = (row["method"], row["path"], row["needs"], reply.status_code, reply.text[:300])
        assert (reply.status_code, reply.text) == (403, "Permission denied"), where
        seen += 1
    assert seen > 60


def test_no_grant_no_rows(world):
    for row, mount in world.each():
        if not row["needs"].startswith("FILTER_"):
            continue
        reply = world.send(world.user, row, mount)
        where = (row["path"], reply.status_code, reply.text[:300])
        assert reply.status_code == 200, where
        assert not any(isinstance(v, list) and v for v in reply.json().values()), where
        assert world.name not in reply.text and world.registered not in reply.text, where


def test_whoever_may_create_may(world):
    for row, mount in world.each(*CREATES):
        assert world.send(world.user, row, mount).status_code == 200, row["path"]


def test_incomplete_requests_tell_users_without_a_grant_nothing_more(world):
    """The judgement comes before what else is wrong with a request."""
    world.user.refused("POST", "experiments/update", {"experiment_id": world.experiment})
    world.user.refused("POST", "runs/log-metric", {"run_id": world.run})
    world.user.refused("POST", "runs/log-metric", {"run_id": world.run, "key": 7})
    world.user.refused("POST", "runs/update", {"run_id": "no such run"})
    reply = world.user.post("runs/log-metric", {"key": "k"})
    assert reply.status_code == 400 and "run_id" in reply.json()["message"]


def test_admins_pass(world):
    """Last: it deletes what the others looked at."""
    for row, mount in world.each(without=OPEN):
        if re.search(r"/users/|/roles/", row["path"]):
            continue
        reply = world.send(world.admin, row, mount)
        where = (row["method"], row["path"], row["needs"], reply.status_code, reply.text[:300])
        assert reply.status_code not in (401, 403), where
