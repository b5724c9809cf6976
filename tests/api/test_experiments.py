# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

import pytest
from mlflow.entities import ExperimentTag, ViewType
from mlflow.exceptions import MlflowException

from conftest import refused, unique


def test_default_experiment(client):
    default = client.get_experiment("0")
    assert default.name == "Default"
    assert default.lifecycle_stage == "active"
    assert client.get_experiment_by_name("Default").experiment_id == "0"


def test_create_and_get(client, server):
    name = unique("café ☃ ")
    made = client.create_experiment(name, tags={"team": "vision", "empty": ""})
    got = client.get_experiment(made)
    assert (got.name, got.experiment_id, got.lifecycle_stage) == (name, made, "active")
    assert got.tags["team"] == "vision"
    assert got.creation_time == got.last_update_time > 1_600_000_000_000
    assert got.artifact_location == f"mlflow-artifacts:/{made}"
    assert client.get_experiment_by_name(name).experiment_id == made


def test_ids_are_strings_and_times_numbers(api, fresh_experiment):
    body = api.get("experiments/get", {"experiment_id": fresh_experiment}).json()["experiment"]
    assert isinstance(body["experiment_id"], str)
    assert isinstance(body["creation_time"], int)


def test_own_artifact_location(client):
    made = client.create_experiment(unique(), artifact_location="mlflow-artifacts:/elsewhere/here")
    assert client.get_experiment(made).artifact_location == "mlflow-artifacts:/elsewhere/here"


@pytest.mark.parametrize("location", ["mlflow-artifacts:/a#b", "http://h/#/../../etc"])
def test_artifact_location_tricks(api, location):
    refused(api.post("experiments/create", {"name": unique(), "artifact_location": location}))


def test_same_name_twice(api, client, fresh_experiment):
    name = client.get_experiment(fresh_experiment).name
    for delete in (True, False):
        reply = api.post("experiments/create", {"name": name})
        assert (reply.status_code, reply.json()["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")
        if delete:
            client.delete_experiment(fresh_experiment)


def test_name_limit(api):
    assert api.post("experiments/create", {"name": unique() + "x" * 200}).status_code == 200
    refused(api.post("experiments/create", {"name": "x" * 501}))
    refused(api.post("experiments/create", {"name": ""}))
    refused(api.post("experiments/create", {}), text="Missing value for required parameter 'name'")
    refused(
        api.post("experiments/create", {"name": 123}), text="Invalid value 123 for parameter 'name'"
    )


def test_missing(api):
    refused(
        api.get("experiments/get", {"experiment_id": "123456789"}), "RESOURCE_DOES_NOT_EXIST", 404
    )
    refused(
        api.get("experiments/get-by-name", {"experiment_name": unique()}),
        "RESOURCE_DOES_NOT_EXIST",
        404,
    )
    refused(
        api.post("experiments/delete", {"experiment_id": "123456789"}),
        "RESOURCE_DOES_NOT_EXIST",
        404,
    )
    refused(api.get("experiments/get", {}))


def test_rename(client, api, fresh_experiment):
    before = client.get_experiment(fresh_experiment)
    name = unique("renamed")
    client.rename_experiment(fresh_experiment, name)
    after = client.get_experiment(fresh_experiment)
    assert after.name == name
    assert after.last_update_time >= before.last_update_time
    reply = api.post(
        "experiments/update", {"experiment_id": fresh_experiment, "new_name": "Default"}
    )
    assert reply.status_code == 400
    assert client.get_experiment(fresh_experiment).name == name


def test_delete_and_restore(client, api):
    made = client.create_experiment(unique())
    runs = [client.create_run(made).info.run_id for _ in range(2)]
    client.delete_run(runs[0])
    client.delete_experiment(made)
    assert client.get_experiment(made).lifecycle_stage == "deleted"
    assert client.get_run(runs[1]).info.lifecycle_stage == "deleted"
    assert api.post("experiments/delete", {"experiment_id": made}).status_code == 404
    assert api.post("runs/create", {"experiment_id": made}).status_code == 400
    assert api.post(
        "experiments/update", {"experiment_id": made, "new_name": unique()}
    ).status_code in (400, 500)
    client.restore_experiment(made)
    assert client.get_experiment(made).lifecycle_stage == "active"
    # restoring an experiment restores all of its runs
    assert [client.get_run(r).info.lifecycle_stage for r in runs] == ["active", "active"]
    assert api.post("experiments/restore", {"experiment_id": made}).status_code == 404


def test_by_name_prefers_nothing_deleted_but_finds_it(client, fresh_experiment):
    name = client.get_experiment(fresh_experiment).name
    client.delete_experiment(fresh_experiment)
    assert client.get_experiment_by_name(name).lifecycle_stage == "deleted"


def test_tags(client, api, fresh_experiment):
    client.set_experiment_tag(fresh_experiment, "a.b/c d", "1")
    client.set_experiment_tag(fresh_experiment, "a.b/c d", "two\nlines")
    assert client.get_experiment(fresh_experiment).tags["a.b/c d"] == "two\nlines"
    client.delete_experiment_tag(fresh_experiment, "a.b/c d")
    assert "a.b/c d" not in client.get_experiment(fresh_experiment).tags
    reply = api.post(
        "experiments/delete-experiment-tag", {"experiment_id": fresh_experiment, "key": "never"}
    )
    assert reply.status_code == 404
    long = {"experiment_id": fresh_experiment, "key": "k" * 251, "value": "v"}
    refused(api.post("experiments/set-experiment-tag", long))
    value = {"experiment_id": fresh_experiment, "key": "k", "value": "v" * 20001}
    refused(api.post("experiments/set-experiment-tag", value))
    client.delete_experiment(fresh_experiment)
    refused(
        api.post(
            "experiments/set-experiment-tag",
            {"experiment_id": fresh_experiment, "key": "k", "value": "v"},
        )
    )


@pytest.fixture(scope="module")
def five(request, server):
    """Five experiments named alike, with tags; the fourth is deleted."""
    from mlflow import MlflowClient

    client = MlflowClient(server.url)
    prefix = unique("five")
    made = [
        client.create_experiment(f"{prefix}-{i}", tags={"n": str(i), "set": prefix})
        for i in range(5)
    ]
    client.delete_experiment(made[3])
    return prefix, made


def names(page):
    return [e.name.rsplit("-", 1)[1] for e in page]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("name LIKE '{p}-%'", "4210"),
        ("name ILIKE '{P}-%'", "4210"),
        ("name = '{p}-2'", "2"),
        ("name != '{p}-2' AND tags.set = '{p}'", "410"),
        ("tags.set = '{p}' AND tags.n LIKE '%1%'", "1"),
        ("tags.set = '{p}' and tag.`n` != '0'", "421"),
        ("tags.set = '{p}' AND creation_time > 0", "4210"),
        ("tags.set = '{p}' AND creation_time < 0", ""),
        ('attribute.name = "{p}-0"', "0"),
    ],
)
def test_search(client, five, text, expected):
    prefix, _ = five
    found = client.search_experiments(filter_string=text.format(p=prefix, P=prefix.upper()))
    assert names(found) == list(expected)


@pytest.mark.parametrize(
    "order, expected",
    [
        (["name ASC"], "0124"),
        (["name DESC"], "4210"),
        (["experiment_id"], "0124"),
        (["creation_time ASC", "name"], "0124"),
        (["last_update_time DESC", "experiment_id ASC"], "4210"),
    ],
)
def test_search_order(client, five, order, expected):
    found = client.search_experiments(filter_string=f"tags.set = '{five[0]}'", order_by=order)
    assert names(found) == list(expected)


def test_search_views(client, five):
    text = f"tags.set = '{five[0]}'"
    assert names(client.search_experiments(ViewType.DELETED_ONLY, filter_string=text)) == ["3"]
    assert names(client.search_experiments(ViewType.ALL, filter_string=text)) == list("43210")


def test_search_pages(client, five):
    text, token, seen = f"tags.set = '{five[0]}'", None, []
    for _ in range(10):
        page = client.search_experiments(
            filter_string=text, max_results=1, page_token=token, order_by=["name"]
        )
        seen += names(page)
        token = page.token
        if not token:
            break
    assert seen == list("0124")


def test_search_arguments(api):
    refused(api.get("experiments/search", {}))
    refused(api.get("experiments/search", {"max_results": 50001}))
    refused(api.get("experiments/search", {"max_results": -1}))
    refused(api.post("experiments/search", {"max_results": 1, "page_token": "forged"}))
    refused(api.post("experiments/search", {"max_results": 1, "filter": "name LIKE"}))
    refused(api.post("experiments/search", {"max_results": 1, "filter": "nonsense = 'x'"}))
    refused(api.post("experiments/search", {"max_results": 1, "order_by": ["nonsense"]}))
    refused(api.post("experiments/search", {"max_results": 1, "filter": "metrics.a > 1"}))
    assert api.get("experiments/search", {"max_results": 1}).json()["experiments"]
    assert (
        api.post(
            "experiments/search", {"max_results": 1, "filter": "name = 'none of these'"}
        ).json()
        == {}
    )


def test_wrong_view_type_is_ignored(api):
    reply = api.post("experiments/search", {"max_results": 1, "view_type": "NO_SUCH"})
    assert reply.status_code == 200


def test_create_experiment_with_entities(client):
    made = client.create_experiment(unique(), tags={"k": "v"})
    with pytest.raises(MlflowException):
        client.create_experiment(None)
    client._tracking_client.store.set_experiment_tag(made, ExperimentTag("x", "y"))
    assert client.get_experiment(made).tags["x"] == "y"
