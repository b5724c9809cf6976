# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""The model registry: full rounds of the real client, and every refusal in MLflow's own words."""

import json
import os
import urllib.parse

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException

from conftest import refused, unique

S3 = "s3://bucket/model"


@pytest.fixture
def name(api):
    """A registered model of this test alone."""
    name = unique("model")
    ok(api.post("registered-models/create", {"name": name}))
    return name


def ok(reply):
    assert reply.status_code == 200, reply.text
    return reply.json()


def version(api, name, source=S3, **more):
    return ok(api.post("model-versions/create", {"name": name, "source": source, **more}))[
        "model_version"
    ]


# ---- the client's rounds ----


def test_round(client):
    name = unique("model")
    made = client.create_registered_model(name, {"a": "1", "b": ""}, "what it is")
    assert (made.name, made.tags, made.description) == (name, {"a": "1", "b": ""}, "what it is")
    assert made.creation_timestamp == made.last_updated_timestamp > 0

    first = client.create_model_version(name, S3, tags={"k": "v"}, description="one")
    assert (first.version, first.status, first.current_stage) == ("1", "READY", "None")
    second = client.create_model_version(name, S3 + "/2")
    assert second.version == "2"

    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_alias(name, "challenger", "1")
    assert client.get_model_version(name, "1").aliases == ["challenger", "champion"]
    assert client.get_model_version_by_alias(name, "champion").version == "1"
    assert client.get_model_version_by_alias(name, "latest").version == "2"
    client.set_registered_model_alias(name, "champion", "2")
    assert client.get_registered_model(name).aliases == {"champion": "2", "challenger": "1"}
    client.delete_registered_model_alias(name, "challenger")
    client.delete_registered_model_alias(name, "challenger")

    client.set_model_version_tag(name, "1", "t", "x")
    client.set_model_version_tag(name, "1", "t", "y")
    assert client.get_model_version(name, "1").tags == {"k": "v", "t": "y"}
    client.delete_model_version_tag(name, "1", "t")
    client.delete_model_version_tag(name, "1", "t")
    assert client.get_model_version(name, "1").tags == {"k": "v"}
    client.set_registered_model_tag(name, "c", "3")
    client.delete_registered_model_tag(name, "a")
    client.delete_registered_model_tag(name, "a")
    assert client.get_registered_model(name).tags == {"b": "", "c": "3"}

    assert client.update_model_version(name, "1", "changed").description == "changed"
    assert client.update_registered_model(name, "new words").description == "new words"
    assert client.get_model_version_download_uri(name, "2") == S3 + "/2"

    moved = client.transition_model_version_stage(name, "1", "production")
    assert moved.current_stage == "Production"
    client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    assert client.get_model_version(name, "1").current_stage == "Archived"
    assert [v.version for v in client.get_latest_versions(name, ["Production"])] == ["2"]

    other = unique("renamed")
    client.rename_registered_model(name, other)
    renamed = client.get_registered_model(other)
    assert renamed.name == other and renamed.aliases == {"champion": "2"}
    assert {v.name for v in renamed.latest_versions} == {other}
    with pytest.raises(MlflowException, match="not found"):
        client.get_registered_model(name)

    client.delete_model_version(other, "2")
    assert client.get_registered_model(other).aliases == {}
    assert client.create_model_version(other, S3).version == "3"
    client.delete_registered_model(other)
    with pytest.raises(MlflowException, match=f"Registered Model with name={other} not found"):
        client.get_registered_model(other)
    assert client.create_registered_model(other).latest_versions == []
    assert client.create_model_version(other, S3).version == "1"


def test_wire(api):
    """Which members appear: MLflow's proto2 presence."""
    name = unique("model")
    made = ok(api.post("registered-models/create", {"name": name}))["registered_model"]
    assert set(made) == {"name", "creation_timestamp", "last_updated_timestamp"}
    v = version(api, name)
    assert v == {
        "name": name,
        "version": "1",
        "creation_timestamp": v["creation_timestamp"],
        "last_updated_timestamp": v["creation_timestamp"],
        "current_stage": "None",
        "description": "",
        "source": S3,
        "run_id": "",
        "status": "READY",
        "run_link": "",
    }
    got = ok(api.get("model-versions/get", {"name": name, "version": "01"}))["model_version"]
    assert got == v
    body = {"name": name, "version": "1"}
    updated = ok(api.send("PATCH", "model-versions/update", body))["model_version"]
    assert "description" not in updated
    model = ok(api.get("registered-models/get", {"name": name}))["registered_model"]
    assert model["latest_versions"] == [updated] and "tags" not in model and "aliases" not in model
    assert ok(api.send("DELETE", "model-versions/delete", body)) == {}


def test_tags_of_a_creation_repeat(api):
    name = unique("model")
    tags = [{"key": "a", "value": "1"}, {"key": "b"}, {"key": "a", "value": "2"}]
    made = ok(api.post("registered-models/create", {"name": name, "tags": tags}))
    expected = [{"key": "a", "value": "2"}, {"key": "b", "value": ""}]
    assert made["registered_model"]["tags"] == expected
    assert version(api, name, tags=tags)["tags"] == expected


def test_run_and_pyfunc(client, run, tmp_path):
    """log_model and registration as users do it, and back by alias."""
    name = unique("model")
    with mlflow.start_run(run_id=run.info.run_id):
        info = mlflow.pyfunc.log_model(
            name="m", python_model=lambda model_input: model_input, pip_requirements=[]
        )
    made = mlflow.register_model(info.model_uri, name)
    assert made.version == "1" and made.run_id == run.info.run_id
    client.set_registered_model_alias(name, "champion", 1)
    path = mlflow.artifacts.download_artifacts(f"models:/{name}@champion", dst_path=str(tmp_path))
    assert os.path.exists(os.path.join(path, "MLmodel"))
    logged = client.get_logged_model(info.model_id)
    # The number is the server's entry, the text the client's own.
    told = [{"name": name, "version": 1}, {"name": name, "version": "1"}]
    assert logged.tags["mlflow.modelVersions"] == json.dumps(told)

    assert mlflow.register_model(info.model_uri, name).version == "2"
    logged = client.get_logged_model(info.model_id)
    told += [{"name": name, "version": 2}, {"name": name, "version": "2"}]
    assert logged.tags["mlflow.modelVersions"] == json.dumps(told)


def test_copy(client):
    source, target = unique("source"), unique("target")
    client.create_registered_model(source)
    first = client.create_model_version(source, S3, tags={"k": "v"}, description="d")
    copy = client.copy_model_version(f"models:/{source}/1", target)
    assert (copy.name, copy.version, copy.source) == (target, "1", f"models:/{source}/1")
    assert (copy.tags, copy.description) == ({"k": "v"}, "d")
    assert client.get_model_version_download_uri(target, "1") == S3
    client.set_registered_model_alias(source, "champion", "1")
    again = client.copy_model_version(f"models:/{source}@champion", target)
    assert (again.version, again.source) == ("2", f"models:/{source}/1")
    # A copy of a copy leads to the same artifacts, also when what it was made of is gone.
    third = client.copy_model_version(f"models:/{target}/1", unique("further"))
    client.delete_registered_model(source)
    client.delete_registered_model(target)
    assert client.get_model_version_download_uri(third.name, "1") == first.source


def test_prompts(client):
    name = unique("prompt")
    made = mlflow.genai.register_prompt(name, "Hello {{who}}", commit_message="first")
    assert (made.version, made.template) == (1, "Hello {{who}}")
    second = mlflow.genai.register_prompt(name, "Hi {{who}}", tags={"a": "b"})
    assert second.version == 2
    mlflow.genai.set_prompt_alias(name, "production", 1)
    assert mlflow.genai.load_prompt(f"prompts:/{name}@production").template == "Hello {{who}}"
    assert mlflow.genai.load_prompt(f"prompts:/{name}/2").template == "Hi {{who}}"
    mlflow.genai.delete_prompt_alias(name, "production")
    with pytest.raises(MlflowException):
        client.create_registered_model(name)
    client.set_prompt_tag(name, "k", "v")
    assert client.get_prompt(name).tags["k"] == "v"


# ---- refusals: what MLflow's source says ----


def missing(parameter):
    return (
        f"Missing value for required parameter '{parameter}'. "
        "See the API docs for more information about request parameters."
    )


def says(reply, message, code="INVALID_PARAMETER_VALUE", status=400):
    assert refused(reply, code, status)["message"] == message


NO_MODEL = "Registered Model with name={} not found"
NO_VERSION = "Model Version (name={}, version={}) not found"
GONE = ("RESOURCE_DOES_NOT_EXIST", 404)


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("POST", "registered-models/create", ["name"]),
        ("GET", "registered-models/get", ["name"]),
        ("POST", "registered-models/rename", ["name", "new_name"]),
        ("PATCH", "registered-models/update", ["name"]),
        ("DELETE", "registered-models/delete", ["name"]),
        ("POST", "registered-models/set-tag", ["name", "key"]),
        ("DELETE", "registered-models/delete-tag", ["name", "key"]),
        ("POST", "registered-models/alias", ["name", "alias", "version"]),
        ("GET", "registered-models/alias", ["name", "alias"]),
        ("DELETE", "registered-models/alias", ["name", "alias"]),
        ("POST", "model-versions/create", ["name", "source"]),
        ("GET", "model-versions/get", ["name", "version"]),
        ("PATCH", "model-versions/update", ["name", "version"]),
        ("DELETE", "model-versions/delete", ["name", "version"]),
        ("POST", "model-versions/set-tag", ["name", "version", "key"]),
        ("DELETE", "model-versions/delete-tag", ["name", "version", "key"]),
        ("POST", "model-versions/transition-stage", ["name", "version", "stage"]),
    ],
)
def test_required(api, method, path, body):
    """Each required parameter left out, and empty."""
    whole = {field: "1" for field in body}
    for field in body:
        for value in (None, ""):
            given = {k: v for k, v in whole.items() if k != field}
            if value is not None:
                given[field] = value
            reply = api.get(path, given) if method == "GET" else api.send(method, path, given)
            says(reply, missing(field))


def test_names(api):
    for bad in ("a/b", "a:b", "/", ":"):
        text = f"Invalid model name '{bad}'. Names cannot contain '/' or ':'."
        says(api.post("registered-models/create", {"name": bad}), text)
        says(api.get("registered-models/get", {"name": bad}), text)
    blank = "Missing value for required parameter 'name'."
    says(api.post("registered-models/create", {"name": " \t"}), blank)
    says(api.get("model-versions/get-download-uri", {"version": "1"}), blank)
    for bad in (".", "..", "..x"):
        says(
            api.post("registered-models/create", {"name": bad}),
            f"Invalid value {json.dumps(bad)} for parameter 'name' supplied: Names may be treated"
            " as files in certain cases, and must not resolve to other names when treated as such."
            f" This name would resolve to {bad!r}",
        )
    text = "'name' exceeds the maximum length of 256 characters"
    says(api.post("registered-models/create", {"name": "n" * 257}), text)


def test_taken(api, name):
    says(
        api.post("registered-models/create", {"name": name}),
        f"Registered Model (name={name}) already exists.",
        "RESOURCE_ALREADY_EXISTS",
    )
    prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    both = "MLflow does not allow creating a model and a prompt with the same name."
    says(
        api.post("registered-models/create", {"name": name, "tags": prompt}),
        f"Tried to create a prompt with name {name!r}, but the name is already taken by a "
        f"registered model. {both}",
        "RESOURCE_ALREADY_EXISTS",
    )
    other = unique("prompt")
    ok(api.post("registered-models/create", {"name": other, "tags": prompt}))
    says(
        api.post("registered-models/create", {"name": other, "tags": prompt}),
        f"Prompt (name={other}) already exists.",
        "RESOURCE_ALREADY_EXISTS",
    )
    says(
        api.post("registered-models/create", {"name": other}),
        f"Tried to create a registered model with name {other!r}, but the name is already taken "
        f"by a prompt. {both}",
        "RESOURCE_ALREADY_EXISTS",
    )
    refused(
        api.post("registered-models/rename", {"name": name, "new_name": other}),
        "RESOURCE_ALREADY_EXISTS",
        400,
        f"Registered Model (name={other}) already exists.",
    )
    same = ok(api.post("registered-models/rename", {"name": name, "new_name": name}))
    assert same["registered_model"]["name"] == name


def test_no_model(api):
    name = unique("nobody")
    text = NO_MODEL.format(name)
    one = {"name": name}
    says(api.get("registered-models/get", one), text, *GONE)
    says(api.send("PATCH", "registered-models/update", one), text, *GONE)
    says(api.send("DELETE", "registered-models/delete", one), text, *GONE)
    says(api.post("registered-models/rename", {**one, "new_name": "x"}), text, *GONE)
    says(api.post("registered-models/set-tag", {**one, "key": "k"}), text, *GONE)
    says(api.send("DELETE", "registered-models/delete-tag", {**one, "key": "k"}), text, *GONE)
    says(api.get("registered-models/alias", {**one, "alias": "a"}), text, *GONE)
    says(api.get("registered-models/alias", {**one, "alias": "latest"}), text, *GONE)
    says(api.send("DELETE", "registered-models/alias", {**one, "alias": "a"}), text, *GONE)
    says(api.post("model-versions/create", {**one, "source": S3}), text, *GONE)
    text = NO_VERSION.format(name, 1)
    says(api.post("registered-models/alias", {**one, "alias": "a", "version": "1"}), text, *GONE)


@pytest.mark.parametrize("number, shown", [("7", "7"), ("007", "7"), ("-1", "-1"), ("0", "0")])
def test_no_version(api, name, number, shown):
    version(api, name)
    text = NO_VERSION.format(name, shown)
    one = {"name": name, "version": number}
    says(api.get("model-versions/get", one), text, *GONE)
    says(api.get("model-versions/get-download-uri", one), text, *GONE)
    says(api.send("PATCH", "model-versions/update", one), text, *GONE)
    says(api.send("DELETE", "model-versions/delete", one), text, *GONE)
    says(api.post("model-versions/set-tag", {**one, "key": "k"}), text, *GONE)
    says(api.send("DELETE", "model-versions/delete-tag", {**one, "key": "k"}), text, *GONE)
    says(api.post("model-versions/transition-stage", {**one, "stage": "Staging"}), text, *GONE)
    says(api.post("registered-models/alias", {**one, "alias": "a"}), text, *GONE)


@pytest.mark.parametrize("number", ["1.0", "x", "1e1", "0x1"])
def test_version_is_a_number(api, name, number):
    text = f"Parameter 'version' must be an integer, got '{number}'."
    one = {"name": name, "version": number}
    says(api.get("model-versions/get", one), text)
    says(api.get("model-versions/get-download-uri", one), text)
    says(api.send("DELETE", "model-versions/delete", one), text)
    says(api.post("registered-models/alias", {**one, "alias": "a"}), text)
    says(api.post("model-versions/transition-stage", {**one, "stage": "None"}), text)


def test_deleted_version_is_gone(api, name):
    version(api, name)
    one = {"name": name, "version": "1"}
    ok(api.send("DELETE", "model-versions/delete", one))
    text = NO_VERSION.format(name, 1)
    says(api.get("model-versions/get", one), text, *GONE)
    says(api.send("DELETE", "model-versions/delete", one), text, *GONE)
    says(api.get("model-versions/get-download-uri", one), text, *GONE)
    says(api.post("model-versions/set-tag", {**one, "key": "k"}), text, *GONE)
    says(
        api.get("registered-models/alias", {"name": name, "alias": "latest"}),
        f"Latest version not found for model {name}.",
        *GONE,
    )
    assert version(api, name)["version"] == "2"


def test_aliases(api, name):
    version(api, name)
    body = {"name": name, "version": "1"}
    for bad in ("a b", "a.b", "a/b", "@"):
        text = (
            f"Invalid alias name: '{bad}'. Names may only contain alphanumerics, underscores (_),"
            " and dashes (-)."
        )
        says(api.post("registered-models/alias", {**body, "alias": bad}), text)
        says(api.get("registered-models/alias", {"name": name, "alias": bad}), text)
        says(api.send("DELETE", "registered-models/alias", {"name": name, "alias": bad}), text)
    for bad in ("latest", "LATEST"):
        says(
            api.post("registered-models/alias", {**body, "alias": bad}),
            "'latest' alias name (case insensitive) is reserved.",
        )
    for bad in ("v1", "V22"):
        says(
            api.post("registered-models/alias", {**body, "alias": bad}),
            f"Version alias name '{bad}' is reserved.",
        )
    says(
        api.post("registered-models/alias", {**body, "alias": "a" * 256}),
        "'Registered model alias name' exceeds the maximum length of 255 characters",
    )
    says(
        api.get("registered-models/alias", {"name": name, "alias": "nobody"}),
        "Registered model alias nobody not found.",
    )


def test_tags(api, name):
    version(api, name)
    for path, more in (("registered-models", {}), ("model-versions", {"version": "1"})):
        body = {"name": name, **more}
        says(
            api.post(path + "/set-tag", {**body, "key": "a!", "value": "x"}),
            "Invalid value \"a!\" for parameter 'key' supplied: Names may only contain"
            " alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and"
            " slashes (/).",
        )
        says(
            api.post(path + "/set-tag", {**body, "key": "k" * 251}),
            "'key' exceeds the maximum length of 250 characters",
        )
        says(
            api.post(path + "/set-tag", {**body, "key": "k", "value": "v" * 100001}),
            "'value' exceeds the maximum length of 100000 characters",
        )
    says(
        api.post(
            "model-versions/set-tag",
            {"name": name, "version": "1", "key": "mlflow.prompt.text", "value": "v" * 100001},
        ),
        "Prompt text exceeds max length of 100000 characters.",
    )


def test_stages(api, name):
    version(api, name)
    body = {"name": name, "version": "1"}
    says(
        api.post("model-versions/transition-stage", {**body, "stage": "Deleted_Internal"}),
        "Invalid Model Version stage: Deleted_Internal. Value must be one of None, Staging, "
        "Production, Archived.",
    )


@pytest.mark.ours
def test_archiving_needs_a_stage(api, name):
    """A 500 in MLflow."""
    version(api, name)
    body = {"name": name, "version": "1"}
    for stage in ("None", "archived"):
        refused(
            api.post(
                "model-versions/transition-stage",
                {**body, "stage": stage, "archive_existing_versions": True},
            ),
            text="Model version transition cannot archive existing model versions because "
            f"'{stage}' is not an Active stage. Valid stages are ['Staging', 'Production']",
        )


@pytest.mark.ours
def test_lengths(api, name):
    for field, most in (("source", 500), ("run_link", 500), ("run_id", 32), ("description", 5000)):
        body = {"name": name, "source": S3, field: "s3://b/" + "x" * most}
        says(
            api.post("model-versions/create", body),
            f"'{field}' exceeds the maximum length of {most} characters",
        )


# ---- sources ----

CONTAINS = (
    "Invalid model version source: '{}'. The {} request parameter must identify the resource that "
    "contains the source."
)
LOCAL = (
    "Invalid model version source: '{}'. To use a local path as a model version source, the run_id "
    "request parameter has to be specified and the local path has to be contained within the "
    "artifact directory of the run specified by the run_id."
)
ABSOLUTE = (
    "Invalid model version source: '{}'. If supplying a source as an http, https, local file path, "
    "ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative "
    "path references present. Please provide an absolute path."
)


# MLflow's text shows where a local source leads to on its machine; ours only what was sent.
@pytest.mark.ours
@pytest.mark.parametrize(
    "source, text",
    [
        ("/etc/passwd", LOCAL),
        ("/no/such/file", LOCAL),
        ("file:///etc/passwd", LOCAL),
        ("//proc/self/root", LOCAL),
        ("relative", LOCAL),
        ("s3://bucket/../x", ABSOLUTE),
        ("s3://bucket/%252e%252e/x", ABSOLUTE),
        ("mlflow-artifacts:/..%2f..%2fetc", ABSOLUTE),
        ("runs:/r/../x", ABSOLUTE),
    ],
)
def test_hostile_sources(api, name, run, source, text):
    for run_id in (None, run.info.run_id):
        body = {"name": name, "source": source, **({"run_id": run_id} if run_id else {})}
        says(api.post("model-versions/create", body), text.format(source))


def test_prompt_tag_opens_nothing(api, name):
    """CVE-2026-2614: a tag of the request does not switch the checks off."""
    for source in ("/etc/passwd", "file:///etc", "s3://bucket/x", "http://169.254.169.254/"):
        body = {
            "name": name,
            "source": source,
            "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}],
        }
        says(
            api.post("model-versions/create", body),
            f"Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder.",
        )


def test_hosts(api, name):
    for source in ("http://host/x", "https://169.254.169.254/x", "ftp://h/x", "hdfs:/x"):
        scheme = source.split(":")[0]
        refused(
            api.post("model-versions/create", {"name": name, "source": source}),
            text=f"'source' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a "
            "host other than the tracking server's configured artifact storage",
        )


def test_runs(api, name, run):
    run_id = run.info.run_id
    source = f"runs:/{run_id}/model"
    for more in ({}, {"run_id": "0" * 32}, {"run_id": ""}):
        says(
            api.post("model-versions/create", {"name": name, "source": source, **more}),
            CONTAINS.format(source, "run_id"),
        )
    assert version(api, name, source, run_id=run_id)["run_id"] == run_id


@pytest.mark.ours
def test_proxied(client, api, name, run, tmp_path):
    """mlflow-artifacts: sources belong to the run that the request names; and are served."""
    (tmp_path / "f.txt").write_text("hello")
    client.log_artifact(run.info.run_id, str(tmp_path / "f.txt"), "model")
    root = run.info.artifact_uri
    assert root.startswith("mlflow-artifacts:/")
    other = client.create_run(run.info.experiment_id)
    for source, run_id in (
        (root + "/model", None),
        (root + "/model", other.info.run_id),
        (root + "/model", "0" * 32),
        (root + "X/model", run.info.run_id),
        (root.replace("/artifacts", ""), run.info.run_id),
        ("mlflow-artifacts:/", run.info.run_id),
    ):
        body = {"name": name, "source": source, **({"run_id": run_id} if run_id else {})}
        text = ABSOLUTE if source.endswith(":/") else CONTAINS
        says(api.post("model-versions/create", body), text.format(source, "run_id"))
    version(api, name, root + "/model", run_id=run.info.run_id)
    version(api, name, f"runs:/{run.info.run_id}/model", run_id=run.info.run_id)
    for number in "12":
        query = {"name": name, "version": number, "path": "f.txt"}
        got = api.get("/model-versions/get-artifact", query)
        assert (got.status_code, got.text) == (200, "hello")
        assert "attachment" in got.headers["Content-Disposition"]


@pytest.mark.ours
def test_get_artifact(api, name):
    """What was accepted as a source is judged again where it is read."""
    version(api, name)
    get = "/model-versions/get-artifact"
    for path in ("../x", "%2e%2e/x", "/etc/passwd", "a/../../x", "file:///etc/passwd", "a#b"):
        query = {"name": name, "version": "1", "path": path}
        says(api.get(get, query), "Invalid path")
    # A bucket, for which this server has no credentials; and what no server of ours opens.
    refused(api.get(get, {"name": name, "version": "1", "path": "MLmodel"}), "PERMISSION_DENIED", 403)
    version(api, name, "wasbs://c@account.blob.core.windows.net/x")
    refused(api.get(get, {"name": name, "version": "2", "path": "MLmodel"}), "NOT_IMPLEMENTED", 501)
    says(api.get(get, {"name": name, "version": "9", "path": "x"}), NO_VERSION.format(name, 9), *GONE)
    says(api.get(get, {"name": name, "version": "x", "path": "x"}),
         "Parameter 'version' must be an integer, got 'x'.")
    says(api.get(get, {"version": "1", "path": "x"}), "Missing value for required parameter 'name'.")
    assert api.get(get, {"name": name, "version": "1"}).status_code == 400


def test_models_sources(client, api, name, run):
    """models:/... takes the lineage of what it names, and nothing else."""
    run_id = run.info.run_id
    version(api, name, S3, run_id=run_id)
    copy = version(api, name, f"models:/{name}/1")
    assert (copy["source"], copy["run_id"]) == (f"models:/{name}/1", run_id)
    client.set_registered_model_alias(name, "champion", "1")
    assert version(api, name, f"models:/{name}@champion")["source"] == f"models:/{name}/1"
    assert version(api, name, f"models:/{name}/latest")["source"] == f"models:/{name}/3"
    client.transition_model_version_stage(name, "2", "Staging")
    assert version(api, name, f"models:/{name}/staging")["source"] == f"models:/{name}/2"

    create = lambda source, **more: api.post(  # noqa: E731
        "model-versions/create", {"name": name, "source": source, **more}
    )
    source = f"models:/{name}/1"
    differ = (
        f"Invalid model version source: '{source}'. The run_id and model_id request parameters "
        "must match the referenced model version."
    )
    assert create(source, run_id=run_id).status_code == 200
    says(create(source, run_id="0" * 32), differ)
    says(create(source, run_id=""), differ)
    says(create(source, model_id="m-1"), differ)
    says(create(f"models:/{name}/99"), NO_VERSION.format(name, 99), *GONE)
    says(create("models:/nobody-here/1"), NO_MODEL.format("nobody-here"), *GONE)
    says(create(f"models:/{name}@nobody"), "Registered model alias nobody not found.")
    for bad in ("models:/a/b/c", "models:/m-0123", "models:/a@"):
        says(create(bad), CONTAINS.format(bad, "model_id"))
    bad = "models://host/a/1"
    text = "Registered model sources must use the active model registry."
    says(create(bad), f"Invalid model version source: '{bad}'. {text}")


@pytest.mark.ours
def test_stage_without_versions(api, name):
    """A 500 in MLflow."""
    says(
        api.post("model-versions/create", {"name": name, "source": f"models:/{name}/Production"}),
        f"No versions of model with name '{name}' and stage 'Production' found",
    )
    says(
        api.post("model-versions/create", {"name": name, "source": f"models:/{name}/latest"}),
        f"No versions of model with name '{name}' found",
    )


def test_prompt_is_no_source(api, name):
    prompt = unique("prompt")
    tag = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    ok(api.post("registered-models/create", {"name": prompt, "tags": tag}))
    version(api, prompt, "dummy-source", tags=tag)
    source = f"models:/{prompt}/1"
    says(
        api.post("model-versions/create", {"name": name, "source": source}),
        f"Invalid model version source: '{source}'. Prompt versions cannot be used as model "
        "version sources.",
    )


def test_logged_model_sources(client, api, name, fresh_experiment):
    model = client.create_logged_model(fresh_experiment)
    source = f"models:/{model.model_id}"
    body = {"name": name, "source": source}
    says(api.post("model-versions/create", body), CONTAINS.format(source, "model_id"))
    says(
        api.post("model-versions/create", {**body, "model_id": "m-other"}),
        CONTAINS.format(source, "model_id"),
    )
    version(api, name, source, model_id=model.model_id)
    uri = client.get_model_version_download_uri(name, "1")
    assert uri == model.artifact_location
    version(api, name, model.artifact_location + "/x", model_id=model.model_id)
    tags = client.get_logged_model(model.model_id).tags
    assert [v["version"] for v in json.loads(tags["mlflow.modelVersions"])] == [1, 2]
    says(
        api.post("model-versions/create", {"name": name, "source": S3, "model_id": "m-nobody"}),
        "Logged model with ID 'm-nobody' not found.",
        *GONE,
    )
    # Nothing of what was refused took a number.
    assert version(api, name)["version"] == "3"


@pytest.mark.ours
def test_local_destination(new_server, tmp_path):
    """Without the proxy: local paths inside of the run's own directory, and none outside."""
    root = tmp_path / "root"
    root.mkdir()
    os.chmod(tmp_path, 0o755)
    daemon = new_server("--no-serve-artifacts", "--default-artifact-root", str(root))
    mlflow.set_tracking_uri(daemon.url)
    client = mlflow.MlflowClient(daemon.url)
    run = client.create_run(client.create_experiment(unique()))
    client.create_registered_model("m")
    inside = urllib.parse.urlparse(run.info.artifact_uri).path + "/model"
    for source in (inside, "file://" + inside):
        assert client.create_model_version("m", source, run.info.run_id).source == source
    outside = tmp_path / "secret"
    outside.write_text("s")
    texts = set()
    for source in (str(outside), str(tmp_path / "missing"), str(root), inside + "/../../x"):
        with pytest.raises(MlflowException) as e:
            client.create_model_version("m", source, run.info.run_id)
        texts.add(str(e.value).replace(source, ""))
    # The same words, whether there is such a file or not.
    assert len(texts) == 1
    # A plain ".." is resolved, the result judged and kept.
    artifacts = run.info.artifact_uri.removeprefix("file://")
    for source in (inside + "/..", artifacts + "/a/./../model/..", artifacts + "/.."):
        try:
            kept = client.create_model_version("m", source, run.info.run_id).source
        except MlflowException as e:
            assert source == artifacts + "/.." and LOCAL.format(source) in str(e)
        else:
            assert kept == artifacts
    reply = requests.post(
        daemon.url + "/api/2.0/mlflow/model-versions/create",
        json={"name": "m", "source": "file://host" + inside, "run_id": run.info.run_id},
        timeout=60,
    )
    # Not a fault of ours, but the status that MLflow gives.
    assert reply.status_code == 500 and "is not a valid remote uri" in reply.json()["message"]
