# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What users of a daemon with accounts may do in the model registry: MLflow's rules of 3.17.2."""

import pytest
from mlflow.exceptions import MlflowException

import accounts
import capstan_server
import conftest
from conftest import REFERENCE, unique

pytestmark = [pytest.mark.ours, pytest.mark.skipif(bool(REFERENCE), reason="about our daemon")]

PROMPT = {"key": "mlflow.prompt.is_prompt", "value": "true"}
TEXT = {"key": "mlflow.prompt.text", "value": "Hello"}
SOURCE = "s3://bucket/model"


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Default permission READ."""
    if accounts.REFERENCE:
        yield accounts.Accounts(conftest.Reference(accounts.REFERENCE).url)
        return
    daemon = capstan_server.Server(
        *accounts.FLAGS, env=accounts.environment(tmp_path_factory.mktemp("auth"))
    ).start()
    try:
        yield accounts.Accounts(daemon.url)
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


@pytest.fixture(scope="module")
def owner(people):
    return people.user()


@pytest.fixture(scope="module")
def other(people):
    return people.user()


def create_model(account, name=None, **more):
    name = name or unique("model")
    account.ok("POST", "registered-models/create", {"name": name, **more})
    return name


def create_version(account, name, **more):
    body = {"name": name, "source": SOURCE, **more}
    return account.ok("POST", "model-versions/create", body)["model_version"]


def create_run(account):
    experiment = account.ok("POST", "experiments/create", {"name": unique("e")})["experiment_id"]
    run = account.ok("POST", "runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    return experiment, run


@pytest.fixture
def model(owner):
    name = create_model(owner)
    create_version(owner, name)
    return name


def changes(name):
    version = {"name": name, "version": "1"}
    return [
        ("PATCH", "registered-models/update", {"name": name, "description": "x"}),
        ("POST", "registered-models/set-tag", {"name": name, "key": "a", "value": "b"}),
        ("DELETE", "registered-models/delete-tag", {"name": name, "key": "a"}),
        ("POST", "registered-models/alias", {"name": name, "alias": "a", "version": "1"}),
        ("POST", "model-versions/create", {"name": name, "source": SOURCE}),
        ("PATCH", "model-versions/update", {**version, "description": "x"}),
        ("POST", "model-versions/set-tag", {**version, "key": "a", "value": "b"}),
        ("POST", "model-versions/transition-stage", {**version, "stage": "Staging"}),
    ]


def removals(name):
    version = {"name": name, "version": "1"}
    return [
        ("DELETE", "registered-models/alias", {"name": name, "alias": "a"}),
        ("DELETE", "model-versions/delete-tag", {**version, "key": "a"}),
        ("DELETE", "model-versions/delete", version),
        ("DELETE", "registered-models/delete", {"name": name}),
    ]


def reads(name):
    version = {"name": name, "version": "1"}
    return [
        ("registered-models/get", {"name": name}),
        ("registered-models/get-latest-versions", {"name": name}),
        ("model-versions/get", version),
        ("model-versions/get-download-uri", version),
    ]


def test_creators_manage_editors_edit_readers_read(people, owner, other, model):
    editor = people.user(("registered_model", model, "EDIT"))
    stranger = people.user(("registered_model", model, "DENY"))
    for who, change, remove in ((stranger, 403, 403), (other, 403, 403), (editor, 200, 403)):
        for path, query in reads(model):
            expected = 403 if who is stranger else 200
            assert who.get(path, query).status_code == expected, (path, who.name)
        for request in changes(model):
            assert who.send(*request).status_code == change, request
        for request in removals(model):
            assert who.send(*request).status_code == remove, request
    for request in changes(model) + removals(model):
        owner.ok(*request)


def test_grants_follow_the_name(people, owner, other, model):
    renamed = unique("renamed")
    other.refused("POST", "registered-models/rename", {"name": model, "new_name": renamed})
    owner.ok("POST", "registered-models/rename", {"name": model, "new_name": renamed})
    owner.ok("PATCH", "registered-models/update", {"name": renamed, "description": "x"})
    # the old name is free, and no longer the old owner's
    create_model(other, model)
    owner.refused("PATCH", "registered-models/update", {"name": model, "description": "x"})
    owner.ok("DELETE", "registered-models/delete", {"name": renamed})
    create_model(other, renamed)
    owner.refused("PATCH", "registered-models/update", {"name": renamed, "description": "x"})


def test_missing_models(people, other):
    name = unique("none")
    assert other.get("registered-models/get", {"name": name}).status_code == 404
    other.refused("GET", "model-versions/get", params={"name": name, "version": "1"})
    other.refused("DELETE", "registered-models/delete", {"name": name})
    other.refused("POST", "model-versions/create", {"name": name, "source": SOURCE})
    other.refused("POST", "registered-models/alias", {"name": name, "alias": "a", "version": "1"})
    assert people.admin.get("model-versions/get", {"name": name, "version": "1"}).status_code == 404


def test_prompts_are_another_kind(people, owner):
    prompt = create_model(owner, tags=[PROMPT])
    update = ("PATCH", "registered-models/update", {"name": prompt, "description": "x"})
    owner.ok(*update)
    people.user(("registered_model", prompt, "MANAGE")).refused(*update)
    people.user(("prompt", prompt, "EDIT")).ok(*update)
    # the veto is that of what is created
    vetoed = people.user(("prompt", "*", "DENY"))
    vetoed.refused("POST", "registered-models/create", {"name": unique("p"), "tags": [PROMPT]})
    create_model(vetoed)
    vetoed.refused("GET", "registered-models/get", params={"name": prompt})


def test_versions_are_a_tier(people, owner, model):
    owner.ok("POST", "registered-models/alias", {"name": model, "alias": "a", "version": "1"})
    user = people.user(
        ("registered_model", model, "MANAGE"), ("registered_model_version", "*", "DENY")
    )
    got = user.ok("GET", "registered-models/get", params={"name": model})
    assert "latest_versions" not in got["registered_model"]
    assert owner.ok("GET", "registered-models/get", params={"name": model})["registered_model"][
        "latest_versions"
    ]
    found = user.ok("GET", "registered-models/search", params={"filter": f"name = '{model}'"})
    assert [m["name"] for m in found["registered_models"]] == [model]
    assert "latest_versions" not in found["registered_models"][0]
    updated = user.ok("PATCH", "registered-models/update", {"name": model, "description": "y"})
    assert "latest_versions" not in updated["registered_model"]
    assert user.ok("GET", "model-versions/search", params={"filter": f"name = '{model}'"}) == {}
    for path, query in reads(model)[1:]:
        user.refused("GET", path, params=query)
    user.refused("GET", "registered-models/alias", params={"name": model, "alias": "a"})
    for request in changes(model)[3:] + removals(model):
        user.refused(*request)
    lower = people.user(
        ("registered_model", model, "MANAGE"), ("registered_model_version", "*", "EDIT")
    )
    lower.refused("DELETE", "model-versions/delete", {"name": model, "version": "1"})
    lower.refused("DELETE", "registered-models/delete", {"name": model})
    lower.ok("PATCH", "model-versions/update", {"name": model, "version": "1", "description": "x"})


def test_a_version_is_made_of_what_its_maker_may_read(people, owner, model):
    experiment, run = create_run(owner)
    body = {"experiment_id": experiment, "name": "m"}
    logged = owner.ok("POST", "logged-models", body)["model"]["info"]["model_id"]
    denied = people.user(("experiment", experiment, "DENY"), ("registered_model", model, "DENY"))
    mine = create_model(denied)

    def make(account, **more):
        return account.post("model-versions/create", {"name": mine, "source": SOURCE, **more})

    for bad in (
        {"run_id": run},
        {"runId": run},
        {"run_id": "0" * 32},
        {"run_id": ""},
        {"model_id": logged},
        {"model_id": "m-" + "0" * 32},
        {"model_id": ""},
        {"source": f"models:/{logged}"},
        {"source": f"MODELS:/{logged}"},
        {"source": f"models:/{model}/1"},
        {"source": f"models:/{model}@a"},
        {"source": f"models:/{model}/latest"},
        {"source": f"models:/{unique('none')}/1"},
        # a readable container is no way to an unreadable run
        {"source": SOURCE, "run_id": run, "model_id": logged},
    ):
        reply = make(denied, **bad)
        assert (reply.status_code, reply.text) == (403, "Permission denied"), (bad, reply.text)
    for bad in ("models:/", "models:/a/b/c", "models:////", f"models://x/{model}/1", "models:/a@"):
        assert make(denied, source=bad).status_code == 400, bad
    people.grant(owner, "registered_model", mine, "EDIT")
    assert make(owner, run_id=run).status_code == 200
    people.revoke(denied, "registered_model", model)
    assert make(denied, source=f"models:/{model}/1").status_code == 200


def test_client_copies_a_version(people, owner, other, model):
    with other.client() as client:
        copied = client.copy_model_version(f"models:/{model}/1", unique("copy"))
        assert copied.source.startswith("models:/")
        with pytest.raises(MlflowException, match="Permission denied"):
            client.copy_model_version(f"models:/{copied.name}/1", model)


def test_replies_withhold_denied_siblings(people, owner):
    experiment, run = create_run(owner)
    body = {"experiment_id": experiment, "name": "m", "source_run_id": run}
    logged = owner.ok("POST", "logged-models", body)["model"]["info"]["model_id"]
    name = create_model(owner)
    create_version(owner, name, run_id=run, run_link="http://run", model_id=logged)
    whole = {"run_id": run, "run_link": "http://run"}

    def seen(account):
        query = {"name": name, "version": "1"}
        found = account.ok("GET", "model-versions/search", params={"filter": f"name='{name}'"})
        models = account.ok("GET", "registered-models/search", params={"filter": f"name='{name}'"})
        return [
            account.ok("GET", "model-versions/get", params=query)["model_version"],
            account.ok("GET", "registered-models/get", params={"name": name})["registered_model"][
                "latest_versions"
            ][0],
            account.ok("GET", "registered-models/get-latest-versions", params={"name": name})[
                "model_versions"
            ][0],
            found["model_versions"][0],
            models["registered_models"][0]["latest_versions"][0],
        ]

    for version in seen(owner):
        assert {k: version.get(k) for k in whole} == whole, version
    for version in seen(people.user(("run", "*", "DENY"))):
        assert not version.get("run_id") and not version.get("run_link"), version
        assert version["source"] == SOURCE
    for version in seen(people.user(("logged_model", "*", "DENY"))):
        assert version["run_id"] == run
        assert not version.keys() & {"model_id", "model_params", "model_metrics"}, version


def test_searches_show_what_may_be_read(people, owner):
    prefix = unique("rm")
    for i in range(10):
        create_version(owner, create_model(owner, f"{prefix}-{i}"))
    readable = [0, 3, 4, 5, 6, 8]
    user = people.user(
        *(("registered_model", f"{prefix}-{i}", "DENY") for i in range(10) if i not in readable)
    )
    for account, expected in ((owner, range(10)), (user, readable)):
        with account.client() as client:
            for size in (100, 4):
                names, token = [], None
                while True:
                    page = client.search_registered_models(
                        filter_string=f"name LIKE '{prefix}%'",
                        order_by=["name ASC"],
                        max_results=size,
                        page_token=token,
                    )
                    names += [m.name for m in page]
                    token = page.token
                    if not token:
                        break
                assert names == [f"{prefix}-{i}" for i in expected]
            found = client.search_model_versions(f"name LIKE '{prefix}%'")
            assert sorted(v.name for v in found) == [f"{prefix}-{i}" for i in expected]


def test_a_filter_by_run_tells_of_runs(people, owner, model):
    user = people.user(("run", "*", "DENY"))
    user.ok("GET", "model-versions/search", params={"filter": f"name = '{model}'"})
    user.refused("GET", "model-versions/search", params={"filter": "run_id = 'x'"})
    owner.ok("GET", "model-versions/search", params={"filter": "run_id = 'x'"})
