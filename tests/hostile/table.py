# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""The daemon's own route table, and for each row a request that it answers well."""

import re
import subprocess
from typing import NamedTuple
from urllib.parse import quote

import capstan_server
from wire import arguments

PREFIX = {"api": "/api/", "ajax-api": "/ajax-api/", "root": ""}


class Field(NamedTuple):
    name: str
    kind: str
    required: bool
    alias: bool
    fields: tuple


def fields(text):
    """The dump's "name:type!{...},..." as Fields."""

    def read(at):
        found = []
        while at < len(text) and text[at] != "}":
            m = re.compile(r"(\w+):(\w+)(!?)(=?)").match(text, at)
            at, inner = m.end(), ()
            if text[at:at + 1] == "{":
                inner, at = read(at + 1)
                at += 1
            found.append(Field(m[1], m[2], bool(m[3]), bool(m[4]), inner))
            at += text[at:at + 1] == ","
        return tuple(found), at

    return read(0)[0]


def rows():
    text = subprocess.run([capstan_server.binary(), "routes"], capture_output=True, text=True, check=True,
                          env=capstan_server.environment()).stdout
    names, *lines = [line.split("\t") for line in text.splitlines() if line]
    return [dict(zip(names, line)) for line in lines]


ROWS = rows()


def name(row):
    return f"{row['method']} {row['path']}"


def path(row, values, mount=None):
    mount = mount or row["mounts"].split(",")[0]
    return PREFIX[mount] + re.sub(r"\{(\w+)\}", lambda m: quote(str(values.get(m[1], "x")), safe="/"), row["path"])


def in_path(row):
    return set(re.findall(r"\{(\w+)\}", row["path"]))


EVENT = {"entity": "MODEL_VERSION_TAG", "action": "SET"}


def registry(row, world):
    """What the rows of the registry and of webhooks ask for."""
    if "registered-models" in row["path"] or "model-versions" in row["path"]:
        values = {"name": world.registered, "version": "1", "alias": "champion", "source": "s3://bucket/model", "run_link": "https://example.com/r",
                  "stage": "Staging", "archive_existing_versions": True, "reason": "because", "stages": ["None"], "description": "d",
                  "filter": "name LIKE 'hostile%'", "order_by": ["name ASC"], "tags": [{"key": "k", "value": "v"}]}
        if row["path"].endswith("registered-models/create"):
            values["name"] = world.new("model")
        return values
    if "webhooks" in row["path"]:
        return {"name": "hook", "url": "http://127.0.0.1:9/hook", "events": [EVENT], "event": EVENT, "description": "d", "secret": "s", "status": row["path"].endswith("deliveries") and "PENDING" or "DISABLED",
                "webhook_id": "{webhook_id}" in row["path"] and world.webhook, "delivery_id": "{delivery_id}" in row["path"] and world.delivery}
    return {}


def accounts_of(row, world):
    """What the rows of users and roles ask for; of a world on a daemon that has them."""
    if not of_accounts(row):
        return {}
    fresh = row["path"].endswith(("users/create", "roles/create"))
    if row["path"].endswith("permissions/revoke"):
        world.client.post("/api/3.0/mlflow/users/permissions/grant", {"username": world.user, "resource_type": "experiment", "resource_id": world.experiment, "permission": "READ"})
    if row["path"].endswith("unassign"):
        world.client.post("/api/3.0/mlflow/roles/assign", {"username": world.user, "role_id": world.role})
    return {"username": world.new("user") if fresh else world.user, "password": "a long enough password", "current_password": "a user's long password", "is_admin": False,
            "resource_type": "experiment", "resource_id": world.experiment, "resource_pattern": world.experiment if row["method"] == "GET" else "77", "permission": "READ",
            "name": world.new("role"), "workspace": ["default"] if row["handler"] == "auth_role_list" else "default", "description": "d",
            "role_id": "role_id" in row["request"] and world.role, "role_permission_id": "role_permission_id" in row["request"] and world.role_permission}


def of_accounts(row):
    return row["handler"].startswith(("auth_", "http_signup"))


def sample(row, world):
    """A request record that this row takes, with few exceptions (501s of a local destination)."""
    values = {
        "experiment_id": world.experiment, "experiment_ids": [world.experiment], "run_id": world.run, "model_id": world.model,
        "run_ids": [world.run], "experiment_name": "Default", "name": "n" + world.run, "new_name": "r" + world.run, "key": "k", "value": "1",
        "timestamp": 1, "step": 0, "start_time": 1, "end_time": 2, "max_results": 10, "view_type": "ALL", "run_view_type": "ALL",
        "status": "FINISHED", "metric_key": "m", "path": "a/b", "artifact_path": "a", "num_parts": 1, "tag_key": "k",
        "start_step": 0, "end_step": 5, "expiration": 60, "allow_deleted": "false", "run_name": "r", "user_id": "u",
        **registry(row, world), **accounts_of(row, world),
    }
    own = {
        "3.0/mlflow/workspaces": {"name": "team"},
        "3.0/mlflow/workspaces/{workspace_name}": {"workspace_name": "default", "description": "d"},
        "2.0/mlflow/runs/log-metric": {"key": "m", "value": 1.5},
        "2.0/mlflow/runs/log-parameter": {"key": "p", "value": "1"},
        "2.0/mlflow/runs/outputs": {"models": [{"model_id": world.model, "step": 0}]},
        "2.0/mlflow/runs/log-inputs": {"datasets": [{"tags": [{"key": "mlflow.data.context", "value": "train"}], "dataset": {
            "name": "d", "digest": "1", "source_type": "local", "source": "{}", "schema": "{}", "profile": "{}"}}],
            "models": [{"model_id": world.model}]},
        "2.0/mlflow/runs/log-model": {"model_json": '{"artifact_path": "m", "flavors": {}, "utc_time_created": "2020-01-01 00:00:00", "run_id": "%s"}' % world.run},
        "2.0/mlflow/runs/log-batch": {"metrics": [{"key": "m", "value": 1, "timestamp": 1, "step": 0}],
                                      "params": [{"key": "p", "value": "1"}], "tags": [{"key": "k", "value": "1"}]},
        "2.0/mlflow/runs/create": {"tags": [{"key": "k", "value": "1"}]},
        "2.0/mlflow/experiments/create": {"tags": [{"key": "k", "value": "1"}]},
        "2.0/mlflow/metrics/get-history-bulk": {"run_id": [world.run]},
        "2.0/mlflow/logged-models": {"name": "m", "model_type": "t", "source_run_id": world.run, "params": [{"key": "p", "value": "1"}],
                                     "tags": [{"key": "k", "value": "1"}]},
        "2.0/mlflow/logged-models/search": {"order_by": [{"field_name": "creation_timestamp", "ascending": True}],
                                            "datasets": [{"dataset_name": "d", "dataset_digest": "1"}], "filter": "name = 'm'"},
        "2.0/mlflow/logged-models/{model_id}": {"status": "LOGGED_MODEL_READY"},
        "2.0/mlflow/logged-models/{model_id}/params": {"params": [{"key": "p2", "value": "1"}]},
        "2.0/mlflow/logged-models/{model_id}/tags": {"tags": [{"key": "k", "value": "1"}]},
        "2.0/mlflow/runs/search": {"order_by": ["metrics.m DESC"], "filter": "metrics.m > 0"},
        "2.0/mlflow/experiments/search": {"order_by": ["name"], "filter": "name LIKE '%'"},
        "2.0/mlflow-artifacts/mpu/complete/{artifact_path}": {"upload_id": "0" * 48, "parts": [{"part_number": 1, "etag": "x", "url": "u"}]},
        "2.0/mlflow-artifacts/mpu/abort/{artifact_path}": {"upload_id": "0" * 48},
    }
    body = {}
    for field in fields(row["request"]):
        if field.alias or field.name == "page_token":
            continue
        value = own.get(row["path"], {}).get(field.name, values.get(field.name))
        if value is not None:
            body[field.name] = value
    if row["path"].endswith("tags/{tag_key}"):
        world.client.ask("PATCH", f"/api/2.0/mlflow/logged-models/{world.model}/tags", {"tags": [{"key": "k", "value": "1"}]})
    if row["path"].endswith("experiments/restore"):
        world.client.post("experiments/delete", {"experiment_id": world.experiment})
    if row["path"].endswith("presigned-upload-url"):
        body.pop("model_id")
    return body


def send(client, row, values, body=None, mount=None, *lines, host="localhost"):
    """The row's request with these values; body: bytes instead of them."""
    target = path(row, values, mount)
    rest = {k: v for k, v in values.items() if k not in in_path(row)}
    if row["method"] == "GET":
        return client.ask("GET", target + arguments(rest), None, *lines, host=host)
    return client.ask(row["method"], target, rest if body is None else body, *lines, host=host)
