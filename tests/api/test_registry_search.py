# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""registered-models/search, model-versions/search and get-latest-versions, by the real client and as they stand."""

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from conftest import Api, refused, unique

PROMPT = "tags.`mlflow.prompt.is_prompt`"

# name, tags, description
MODELS = [
    ("anna", {"team": "red", "note": "100%_sure"}, "the first"),
    ("Bert", {"team": "blue", "a b": "quoted"}, None),
    ("carl", {"team": "Red"}, ""),
    ("dora", {}, None),
    ("prompt", {"mlflow.prompt.is_prompt": "true", "team": "red"}, None),
]

# model, run_id, source, tags
VERSIONS = [
    ("anna", "run1", "s3://bucket/a/1", {"kind": "x", "mark": "1"}),
    ("anna", "run2", "s3://bucket/a/2", {"kind": "y"}),
    ("Bert", "run1", "s3://other/b/1", {"kind": "x"}),
    ("anna", None, "s3://bucket/a/3", {"mark": "2"}),
    ("prompt", None, "placeholder", {"mlflow.prompt.is_prompt": "true", "mlflow.prompt.text": "ask"}),
]


class World:
    """Models whose names begin with a prefix of their own."""

    def __init__(self, url):
        self.client, self.api, self.prefix = MlflowClient(url), Api(url), unique("s")
        for name, tags, description in MODELS:
            body = {"name": self.prefix + name, "tags": [{"key": k, "value": v} for k, v in tags.items()]}
            if description is not None:
                body["description"] = description
            reply = self.api.post("registered-models/create", body)  # the client would refuse the prompt
            assert reply.status_code == 200, reply.text
        for name, run, source, tags in VERSIONS:
            body = {"name": self.prefix + name, "source": source, "run_id": run and run + self.prefix}
            body["tags"] = [{"key": k, "value": v} for k, v in tags.items()]
            if name == "prompt":
                body["source"] = "dummy-source"
            reply = self.api.post("model-versions/create", {k: v for k, v in body.items() if v})
            assert reply.status_code == 200, reply.text
        self.client.transition_model_version_stage(self.prefix + "anna", "1", "Staging")
        self.client.set_registered_model_alias(self.prefix + "anna", "best", "1")

    def models(self, text="", **arguments):
        text = text.replace("$", self.prefix)
        found = self.client.search_registered_models(text or None, **arguments)
        return "".join(m.name[len(self.prefix)] for m in found if m.name.startswith(self.prefix))

    def versions(self, text="", **arguments):
        text = text.replace("$", self.prefix)
        found = self.client.search_model_versions(text or None, **arguments)
        return " ".join(
            m.name[len(self.prefix)] + m.version for m in found if m.name.startswith(self.prefix)
        )


@pytest.fixture(scope="module")
def world(server):
    return World(server.url)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("name LIKE '$%'", "Bacd"),
        ("name = '$anna'", "a"),
        ("attribute.name = \"$anna\"", "a"),
        ("name != '$anna' AND name LIKE '$%'", "Bcd"),
        ("name ilike '$b%'", "B"),
        ("name like '$b%'", ""),
        ("name IN ('$anna', '$dora', '$prompt')", "ad"),
        ("name not in ('$anna') and name LIKE '$%'", "Bcd"),
        ("tags.team = 'red' AND name LIKE '$%'", "a"),
        ("tag.team ILIKE 'RED' AND name LIKE '$%'", "ac"),
        ("tags.team != 'red' AND name LIKE '$%'", "Bc"),
        ("tags.note LIKE '100\\%%' AND name LIKE '$%'", "a"),
        ("tags.`a b` = 'quoted' AND name LIKE '$%'", "B"),
        ("tags.\"a b\" = 'quoted' AND name LIKE '$%'", "B"),
        ("tags.team = 'red' AND tags.note LIKE '%sure' AND name LIKE '$%'", "a"),
        (PROMPT + " = 'true' AND name LIKE '$%'", "p"),
        (PROMPT + " != 'false' AND name LIKE '$%'", "p"),
        (PROMPT + " = 'false' AND name LIKE '$%'", "Bacd"),
        (PROMPT + " != 'true' AND name LIKE '$%'", "Bacd"),
        (PROMPT + " = 'true' AND tags.team = 'red' AND name LIKE '$%'", "p"),
    ],
)
def test_models(world, text, expected):
    assert world.models(text) == expected


@pytest.mark.parametrize(
    "order, expected",
    [
        (["name DESC"], "dcaB"),
        (["timestamp"], "cdBa"),
        (["timestamp DESC", "name ASC"], "aBdc"),
        (["last_updated_timestamp DESC"], "aBdc"),
    ],
)
def test_models_order(world, order, expected):
    assert world.models("name LIKE '$%'", order_by=order) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("name LIKE '$%'", "a1 a3 B1 a2"),
        ("name = '$anna'", "a1 a3 a2"),
        ("name = '$anna' AND version_number > 1", "a3 a2"),
        ("name = '$anna' AND version_number != '1'", "a3 a2"),
        ("name = '$nobody'", ""),
        ("run_id = 'run1$'", "a1 B1"),
        ("run_id IN ('run1$', 'run2$')", "a1 B1 a2"),
        ("run_id LIKE 'run_$' AND name IN ('$anna')", "a1 a2"),
        ("source_path = 's3://other/b/1' AND name LIKE '$%'", "B1"),
        ("source_path LIKE 's3://bucket/%' AND name LIKE '$%'", "a1 a3 a2"),
        ("source_path ILIKE '%/A/_' AND name LIKE '$%'", "a1 a3 a2"),
        ("tags.kind = 'x' AND name LIKE '$%'", "a1 B1"),
        ("tags.kind = 'x' AND tags.mark != '2' AND name LIKE '$%'", "a1"),
        ("tag.kind != 'x' AND name LIKE '$%'", "a2"),
        (PROMPT + " = 'true' AND name LIKE '$%'", "p1"),
    ],
)
def test_versions(world, text, expected):
    assert world.versions(text) == expected


@pytest.mark.parametrize(
    "order, expected",
    [
        (["name ASC"], "B1 a3 a2 a1"),
        (["name DESC", "version_number ASC"], "a1 a2 a3 B1"),
        (["version_number DESC", "name"], "a3 a2 B1 a1"),
        (["creation_timestamp"], "a1 a2 B1 a3"),
        (["last_updated_timestamp ASC"], "a2 B1 a3 a1"),
    ],
)
def test_versions_order(world, order, expected):
    assert world.versions("name LIKE '$%'", order_by=order) == expected


@pytest.mark.ours
@pytest.mark.parametrize(
    "text, expected",
    [
        ("name = '$anna' OR tags.team = 'blue' AND name LIKE '$%'", "Ba"),
        ("name LIKE '$%' AND NOT (name = '$anna' OR tags.team = 'blue')", "cd"),
        ("name LIKE '$%' AND tags.team IS NULL", "d"),
        ("name LIKE '$%' AND (name = '$anna' OR " + PROMPT + " = 'true')", "ap"),
        ("tags.team IN ('red', 'blue') AND name LIKE '$%'", "Ba"),
    ],
)
def test_more_than_mlflow(world, text, expected):
    assert world.models(text) == expected


def test_pages(world):
    seen, token = [], None
    while True:
        page = world.client.search_registered_models(f"name LIKE '{world.prefix}%'", 1, ["name DESC"], token)
        seen += [m.name[len(world.prefix)] for m in page]
        token = page.token
        if not token:
            break
        assert len(page) == 1
    assert seen == list("dcaB")
    seen, token = [], None
    while True:
        page = world.client.search_model_versions(f"name LIKE '{world.prefix}%'", 3, page_token=token)
        seen += [m.name[len(world.prefix)] + m.version for m in page]
        token = page.token
        if not token:
            break
    assert seen == ["a1", "a3", "B1", "a2"]


@pytest.mark.ours
def test_page_tokens_are_bound(world):
    like = {"filter": f"name LIKE '{world.prefix}%'", "max_results": 1}
    token = world.api.get("registered-models/search", like).json()["next_page_token"]
    other = {**like, "filter": "name LIKE 'x%'", "page_token": token}
    refused(world.api.get("registered-models/search", other), text="another query")
    refused(world.api.get("model-versions/search", {**like, "page_token": token}), text="another query")
    forged = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    refused(world.api.get("registered-models/search", {**like, "page_token": forged}), text="Invalid page token")


def test_messages(world):
    """What is there and what is not, and in which order."""
    name = world.prefix + "anna"
    found = world.api.get("registered-models/search", {"filter": f"name = '{name}'"}).json()
    (model,) = found["registered_models"]
    assert list(found) == ["registered_models"]
    assert list(model) == [
        "name", "creation_timestamp", "last_updated_timestamp", "description", "latest_versions", "tags", "aliases",
    ]
    assert model["aliases"] == [{"alias": "best", "version": "1"}]
    assert sorted(v["version"] for v in model["latest_versions"]) == ["1", "3"]
    assert isinstance(model["creation_timestamp"], int)
    found = world.api.get("model-versions/search", {"filter": f"name = '{name}' and version_number = 3"}).json()
    (version,) = found["model_versions"]
    stamp = version["creation_timestamp"]
    assert list(version.items()) == [
        ("name", name),
        ("version", "3"),
        ("creation_timestamp", stamp),
        ("last_updated_timestamp", stamp),
        ("current_stage", "None"),
        ("description", ""),
        ("source", "s3://bucket/a/3"),
        ("run_id", ""),
        ("status", "READY"),
        ("tags", [{"key": "mark", "value": "2"}]),
        ("run_link", ""),
    ]
    for bare in ("Bert", "carl", "dora"):
        reply = world.api.get("registered-models/search", {"filter": f"name = '{world.prefix}{bare}'"}).json()
        assert "description" not in reply["registered_models"][0]
    nothing = {"filter": f"name = '{world.prefix}nobody'"}
    assert world.api.get("registered-models/search", nothing).json() == {}
    assert world.api.get("model-versions/search", nothing).json() == {}


def test_gone(server):
    client, name = MlflowClient(server.url), unique("gone")
    client.create_registered_model(name)
    for n in range(2):
        client.create_model_version(name, f"s3://b/{n}")
    client.delete_model_version(name, "2")
    assert [v.version for v in client.search_model_versions(f"name = '{name}'")] == ["1"]
    (model,) = client.search_registered_models(f"name = '{name}'")
    assert [v.version for v in model.latest_versions] == ["1"]
    client.rename_registered_model(name, name + "-new")
    assert not client.search_model_versions(f"name = '{name}'")
    assert [v.version for v in client.search_model_versions(f"name = '{name}-new'")] == ["1"]
    client.delete_registered_model(name + "-new")
    assert not client.search_model_versions(f"name = '{name}-new'")
    assert not client.search_registered_models(f"name = '{name}-new'")


def test_latest_versions(world):
    name = world.prefix + "anna"
    latest = world.client.get_latest_versions(name)
    assert {v.current_stage: v.version for v in latest} == {"Staging": "1", "None": "3"}
    assert {v.version: v.aliases for v in latest} == {"1": ["best"], "3": []}
    assert [v.version for v in world.client.get_latest_versions(name, ["staging"])] == ["1"]
    assert world.client.get_latest_versions(name, ["Production"]) == []
    assert world.client.get_latest_versions(world.prefix + "dora") == []
    for send in (world.api.get, world.api.post):
        body = {"name": name, "stages": ["NONE", "Archived"]}
        reply = send("registered-models/get-latest-versions", body).json()
        assert [v["version"] for v in reply["model_versions"]] == ["3"]
    refused(
        world.api.get("registered-models/get-latest-versions", {"name": name, "stages": "x"}),
        text="Invalid Model Version stage: x. Value must be one of None, Staging, Production, Archived.",
    )
    refused(
        world.api.get("registered-models/get-latest-versions", {"name": world.prefix + "nobody"}),
        "RESOURCE_DOES_NOT_EXIST",
        404,
        f"Registered Model with name={world.prefix}nobody not found",
    )
    refused(
        world.api.get("registered-models/get-latest-versions", {"name": "a/b"}),
        text="Invalid model name 'a/b'. Names cannot contain '/' or ':'.",
    )
    refused(world.api.get("registered-models/get-latest-versions"), text="Missing value for required parameter 'name'.")


def test_max_results(world):
    models, versions = "registered-models/search", "model-versions/search"
    assert "registered_models" not in world.api.get(models, {"max_results": 0}).json()
    too_many = "Invalid value \"%d\" for parameter 'max_results' supplied:  Hint: Value was of type 'str'."
    for path, most in ((models, 1000), (versions, 200000)):
        assert world.api.get(path, {"max_results": most}).status_code == 200
        refused(world.api.get(path, {"max_results": most + 1}), text=too_many % (most + 1))
        refused(world.api.get(path, {"max_results": "x"}), text="Invalid value \"x\" for parameter 'max_results'")
    for n in (0, -1):
        refused(
            world.api.get(versions, {"max_results": n}),
            text=f"Invalid value for max_results. It must be a positive integer, but got {n}",
        )


@pytest.mark.ours
def test_max_results_below_zero(world):
    refused(world.api.get("registered-models/search", {"max_results": -1}), text="It must be a non-negative integer")


@pytest.mark.parametrize(
    "path, text, error",
    [
        ("registered-models", "run_id = 'x'", "Invalid attribute key 'run_id' specified. Valid keys are '{'name'}'"),
        ("registered-models", "param.a = 'x'", "Invalid entity type 'param'."),
        ("registered-models", "name = 5", "Expected a quoted string value or a list of quoted string values"),
        ("registered-models", "name > 'a'", "Invalid comparator for attribute: >"),
        ("registered-models", "tags.a > 'a'", "Invalid comparator for tag: >"),
        ("registered-models", "tags.a = 1", "Expected a quoted string value for tag (e.g. 'my-value'). Got value 1"),
        ("registered-models", "name IN (1)", "but got different type in list"),
        ("registered-models", "name ~ 'a'", "Invalid comparator for attribute: ~"),
        ("registered-models", "name", "Invalid clause(s) in filter string: name"),
        ("model-versions", "name = 5", "attributes support comparison with numeric values."),
        ("model-versions", "current_stage = 'x'", "Invalid attribute key 'current_stage' specified."),
        ("model-versions", "version_number = 1.5", "Invalid value for numeric attribute 'version_number': 1.5"),
        ("model-versions", "version_number = 'x'", "Invalid value for numeric attribute 'version_number': 'x'"),
        ("model-versions", "version_number LIKE '1'", "Invalid comparator for attribute version_number: LIKE"),
        ("model-versions", "source_path IN ('a')", "Only ['name', 'run_id'] attributes support comparison with a list"),
        ("model-versions", "run_id > 'a'", "Invalid comparator for attribute: >"),
    ],
)
def test_bad_filters(world, path, text, error):
    refused(world.api.get(path + "/search", {"filter": text}), text=error)


@pytest.mark.parametrize(
    "path, order, error",
    [
        ("registered-models", "creation_timestamp", "Invalid order by key 'creation_timestamp' specified."),
        ("registered-models", "name sideways", "Invalid order_by clause 'name sideways'" ),
        ("model-versions", "run_id", "Invalid attribute key 'run_id' specified."),
        ("model-versions", "tags.a", "Invalid order by key 'a' specified."),
    ],
)
def test_bad_orders(world, path, order, error):
    body = refused(world.api.get(path + "/search", {"order_by": order}))
    assert error in body["message"] or "Invalid ordering key in order_by clause" in body["message"]


def test_client_sees_errors(world):
    with pytest.raises(MlflowException, match="Invalid attribute key"):
        world.client.search_registered_models("stage = 'x'")
