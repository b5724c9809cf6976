# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Webhooks through MLflow's client and raw REST; what is delivered is in test_webhook_delivery.py."""

import concurrent.futures
import json
import os
import stat
import time

import mlflow
import pytest
from cryptography.fernet import Fernet
from mlflow import MlflowClient
from mlflow.entities.webhook import VALID_ENTITY_ACTIONS, WebhookEvent, WebhookStatus
from mlflow.exceptions import MlflowException
from mlflow.webhooks.types import get_example_payload_for_event

import capstan_server
import exchange
import webhook_receiver
from capstan_server import SLOW
from conftest import Api, refused, unique

ALL = [WebhookEvent(e, a) for e, actions in VALID_ENTITY_ACTIONS.items() for a in sorted(actions)]
EVENT = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
URL = "https://127.0.0.1:9/hook"


@pytest.fixture(scope="module")
def hooks():
    """A daemon whose webhooks may reach this machine, and which waits two seconds for targets."""
    daemon = capstan_server.Server(
        env={**webhook_receiver.ENVIRONMENT, "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "2"}
    )
    try:
        daemon.start()
        exchange.record(daemon.url)
        yield daemon
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


@pytest.fixture
def hook_api(hooks):
    return Api(hooks.url)


@pytest.fixture
def hook_client(hooks):
    mlflow.set_tracking_uri(hooks.url)
    mlflow.set_registry_uri(hooks.url)
    yield MlflowClient(hooks.url, hooks.url)
    mlflow.set_registry_uri(None)


@pytest.fixture
def receiver():
    receiver = webhook_receiver.Receiver()
    yield receiver
    receiver.close()


def made(api, **changes):
    body = {"name": "hook", "url": URL, "events": [EVENT], **changes}
    reply = api.post("webhooks", body)
    assert reply.status_code == 200, reply.text
    return reply.json()["webhook"]


def test_round_trip(hook_client):
    name = unique("hook")
    before = int(time.time() * 1000)
    webhook = hook_client.create_webhook(
        name, URL, ["model_version.created", "prompt_tag.set"], description="ä", secret="s"
    )
    assert len(webhook.webhook_id) == 36 and webhook.webhook_id.count("-") == 4
    assert (webhook.name, webhook.url, webhook.description) == (name, URL, "ä")
    assert [str(e) for e in webhook.events] == ["model_version.created", "prompt_tag.set"]
    assert webhook.status is WebhookStatus.ACTIVE and webhook.secret is None
    assert before <= webhook.creation_timestamp <= int(time.time() * 1000)
    assert webhook.last_updated_timestamp == webhook.creation_timestamp
    got = hook_client.get_webhook(webhook.webhook_id)
    assert repr(got) == repr(webhook) and got.description == "ä"

    changed = hook_client.update_webhook(
        webhook.webhook_id,
        name=name + "2",
        description="",
        url=URL + "/2",
        events=["prompt.created"],
        status="DISABLED",
    )
    assert (changed.name, changed.url, changed.description) == (name + "2", URL + "/2", None)
    assert [str(e) for e in changed.events] == ["prompt.created"]
    assert changed.status is WebhookStatus.DISABLED
    assert changed.creation_timestamp == webhook.creation_timestamp
    assert changed.last_updated_timestamp >= webhook.last_updated_timestamp
    # Nothing given: nothing changes.
    same = hook_client.update_webhook(webhook.webhook_id)
    assert (same.name, same.url, same.status) == (changed.name, changed.url, changed.status)
    assert same.events == changed.events

    hook_client.delete_webhook(webhook.webhook_id)
    for call in (hook_client.get_webhook, hook_client.delete_webhook, hook_client.test_webhook):
        with pytest.raises(MlflowException, match=f"Webhook with ID {webhook.webhook_id} not found."):
            call(webhook.webhook_id)
    with pytest.raises(MlflowException, match="not found"):
        hook_client.update_webhook(webhook.webhook_id, name="x")


def test_every_event(hook_client):
    webhook = hook_client.create_webhook("all", URL, ALL, status=WebhookStatus.DISABLED)
    assert webhook.events == ALL and webhook.status is WebhookStatus.DISABLED
    fewer = hook_client.update_webhook(webhook.webhook_id, events=[ALL[5], ALL[0], ALL[9]])
    assert fewer.events == [ALL[5], ALL[0], ALL[9]]
    hook_client.delete_webhook(webhook.webhook_id)


def test_messages_as_mlflow_writes_them(hook_api):
    webhook = made(hook_api, name="n", description="d")
    assert list(webhook) == [
        "webhook_id",
        "name",
        "description",
        "url",
        "events",
        "status",
        "creation_timestamp",
        "last_updated_timestamp",
    ]
    assert webhook["events"] == [EVENT] and webhook["status"] == "ACTIVE"
    path = "webhooks/" + webhook["webhook_id"]
    assert hook_api.get(path).json() == {"webhook": webhook}
    assert hook_api.get("/ajax-api/2.0/mlflow/" + path).json() == {"webhook": webhook}
    # Numbers of the enums, as protobuf allows.
    other = made(hook_api, events=[{"entity": 8, "action": 4}])
    assert other["events"] == [{"entity": "PROMPT_VERSION_TAG", "action": "SET"}]
    assert made(hook_api, status=2)["status"] == "DISABLED"
    assert made(hook_api, status="DISABLED")["status"] == "DISABLED"
    assert made(hook_api, status=None)["status"] == made(hook_api, status=1)["status"] == "ACTIVE"
    assert hook_api.send("DELETE", path).json() == {}


def test_pages(hook_client):
    for w in list(hook_client.list_webhooks(max_results=1000)):
        hook_client.delete_webhook(w.webhook_id)
    names = [f"page-{i}" for i in range(7)]
    for name in names:
        hook_client.create_webhook(name, URL, [ALL[0]])
    seen, token, pages = [], None, 0
    while True:
        page = hook_client.list_webhooks(max_results=3, page_token=token)
        seen += [w.name for w in page]
        pages, token = pages + 1, page.token
        if not token:
            break
        hook_client.create_webhook("new", URL, [ALL[0]])  # later pages do not shift
    assert seen == names[::-1] and pages == 3
    assert len(hook_client.list_webhooks()) == 9


@pytest.mark.parametrize("most", [-1, 1001, 10**9])
def test_wrong_max_results(hook_api, most):
    refused(
        hook_api.get("webhooks", {"max_results": most}),
        text="max_results must be between 1 and 1000.",
    )


@pytest.mark.parametrize("token", ["x", "eyJvZmZzZXQiOiAxfQ==", "AAAA"])
def test_wrong_page_token(hook_api, token):
    refused(hook_api.get("webhooks", {"page_token": token}), text="Invalid page token")


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", ".a", "a b", "a/b", "ä", "a" * 64, "a\n", "_", "a@b", " a"]
)
def test_wrong_names(hook_api, name):
    reply = hook_api.post("webhooks", {"name": name, "url": URL, "events": [EVENT]})
    if not name:
        refused(reply, text="Missing value for required parameter 'name'.")
    else:
        refused(reply, text=f"Webhook name {name!r} is invalid. It must start and end with a letter")
        webhook = made(hook_api)
        refused(
            hook_api.send("PATCH", "webhooks/" + webhook["webhook_id"], {"name": name}),
            text="is invalid.",
        )


@pytest.mark.parametrize("name", ["a", "7", "A.b_c-9", "a" * 63])
def test_good_names(hook_api, name):
    assert made(hook_api, name=name)["name"] == name


@pytest.mark.parametrize(
    "url, text",
    [
        ("ftp://example.com", "Invalid webhook URL scheme: 'ftp'. Allowed schemes are: http, https."),
        ("file:///etc/passwd", "Invalid webhook URL scheme: 'file'."),
        ("example.com", "Invalid webhook URL scheme: ''."),
        ("https://", "Webhook URL must include a hostname: 'https://'"),
        ("  ", "Webhook URL cannot be empty or just whitespace: '  '"),
        ("https://[::1", "Invalid webhook URL 'https://[::1': ValueError('Invalid IPv6 URL')"),
        ("https://exa mple.com", "percent-encoded"),
        ("https://example.com/" + "x" * 500, "maximum length of 500"),
    ],
)
def test_wrong_urls(hook_api, url, text):
    refused(hook_api.post("webhooks", {"name": "a", "url": url, "events": [EVENT]}), text=text)
    webhook = made(hook_api)
    refused(hook_api.send("PATCH", "webhooks/" + webhook["webhook_id"], {"url": url}), text=text)


@pytest.mark.parametrize(
    "events, text",
    [
        ([], "Webhook events must be a non-empty list of WebhookEvent objects: []."),
        (
            [{"entity": "PROMPT", "action": "SET"}],
            "Invalid action 'set' for entity 'prompt'. Valid actions are: ['created']",
        ),
        (
            [{"entity": "PROMPT_TAG", "action": "UPDATED"}],
            "Invalid action 'updated' for entity 'prompt_tag'. Valid actions are: ['deleted', 'set']",
        ),
        ([EVENT, EVENT], "'registered_model.created' is listed twice"),
        ([{}], "must have an entity and an action"),
        ([{"entity": "NOTHING", "action": "SET"}], "entity"),
        ([{"entity": 99, "action": 1}], "entity"),
        ("x", "events"),
        ([1], "events"),
    ],
)
def test_wrong_events(hook_api, events, text):
    refused(hook_api.post("webhooks", {"name": "a", "url": URL, "events": events}), text=text)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "PAUSED"},
        {"status": 3},
        {"description": "x" * 1001},
        {"secret": "x" * 601},
        {"name": 5},
        {"url": ["x"]},
        {"secret": {"a": 1}},
    ],
)
def test_other_wrong_values(hook_api, change):
    reply = hook_api.post("webhooks", {"name": "a", "url": URL, "events": [EVENT], **change})
    refused(reply)
    webhook = made(hook_api)
    refused(hook_api.send("PATCH", "webhooks/" + webhook["webhook_id"], change))


@pytest.mark.parametrize("missing", ["name", "url", "events"])
def test_missing(hook_api, missing):
    body = {"name": "a", "url": URL, "events": [EVENT]}
    del body[missing]
    refused(hook_api.post("webhooks", body), text=f"Missing value for required parameter '{missing}'.")


@pytest.mark.ours
@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://user@10.0.0.1/",
    ],
)
def test_private_targets_are_refused_by_default(api, url):
    reply = api.post("webhooks", {"name": "a", "url": url, "events": [EVENT]})
    refused(reply, text="Webhook URL must not resolve to a non-public IP address.")


@pytest.mark.ours
def test_https_only_by_default(api):
    reply = api.post("webhooks", {"name": "a", "url": "http://example.com", "events": [EVENT]})
    refused(reply, text="Invalid webhook URL scheme: 'http'. Allowed schemes are: https.")
    reply = api.post("webhooks", {"name": "a", "url": "https://no.invalid", "events": [EVENT]})
    assert reply.status_code == 400
    assert "Cannot resolve Webhook URL hostname 'no.invalid': [Errno -" in reply.json()["message"]


# ---- secrets ----


@pytest.mark.ours
def test_secrets_are_encrypted_and_never_shown(new_server, postgres, receiver):
    backend = postgres.database("webhook_secrets")
    daemon = new_server(backend=backend, env=webhook_receiver.ENVIRONMENT)
    api = Api(daemon.url)
    webhook = made(api, url=receiver.url + "/a", secret="top-secret-ä")
    for text in (
        json.dumps(webhook),
        api.get("webhooks").text,
        api.get("webhooks/" + webhook["webhook_id"]).text,
        daemon.log(),
    ):
        assert "top-secret" not in text and "gAAAA" not in text
    path = os.path.join(daemon.data_dir, "webhook-secrets.key")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path) as f:
        key = f.read()
    with postgres.connect("webhook_secrets") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM capstan.webhooks")
        (token,) = cursor.fetchone()
    assert Fernet(key).decrypt(token.encode()).decode() == "top-secret-ä"

    # The same key for the daemon that comes after, and Python may have written the token.
    with postgres.connect("webhook_secrets") as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE capstan.webhooks SET secret = %s", [Fernet(key).encrypt(b"other").decode()])
    daemon.restart()
    assert api.post(f"webhooks/{webhook['webhook_id']}/test", {}).json()["result"]["success"]
    assert receiver.wait("/a")[0].signed_with("other")

    # Another key: said clearly, and nothing is sent unsigned.
    daemon.stop()
    daemon.env["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"] = Fernet.generate_key().decode()
    daemon.start()
    result = api.post(f"webhooks/{webhook['webhook_id']}/test", {}).json()["result"]
    assert not result["success"] and "another key" in result["error_message"]
    assert len(receiver.got()) == 1

    # No secret any more: not signed.
    api.send("PATCH", "webhooks/" + webhook["webhook_id"], {"secret": ""})
    assert api.post(f"webhooks/{webhook['webhook_id']}/test", {}).json()["result"]["success"]
    assert "x-mlflow-signature" not in receiver.wait("/a", 2)[1].headers


@pytest.mark.ours
def test_a_wrong_key_is_refused(new_server):
    daemon = new_server(start=False, env={"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "short"})
    with pytest.raises(RuntimeError, match="MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY must be 32"):
        daemon.start()


# ---- the test call ----


@pytest.mark.parametrize("event", ALL, ids=str)
def test_examples_are_mlflows(hook_client, receiver, event):
    path = "/" + str(event)
    webhook = hook_client.create_webhook("t", receiver.url + path, [ALL[0]], secret="s")
    result = hook_client.test_webhook(webhook.webhook_id, event)
    assert result.success and result.response_status == 200 and result.error_message is None
    (request,) = receiver.got(path)
    body = request.json
    assert list(body) == ["entity", "action", "timestamp", "data"]
    assert request.event == str(event)
    assert json.dumps(body["data"]) == json.dumps(dict(get_example_payload_for_event(event)))
    assert request.body == json.dumps(body).encode()
    assert request.signed_with("s") and not request.signed_with("t")
    assert request.headers["content-type"] == "application/json"
    assert abs(int(request.headers["x-mlflow-timestamp"]) - time.time()) < 30 * SLOW


def test_default_event_is_the_first(hook_client, receiver):
    webhook = hook_client.create_webhook("t", receiver.url + "/d", [ALL[3], ALL[1]])
    assert hook_client.test_webhook(webhook.webhook_id).success
    assert receiver.got("/d")[0].event == str(ALL[3])


@pytest.mark.ours
def test_wrong_event_of_a_test(hook_api):
    path = f"webhooks/{made(hook_api)['webhook_id']}/test"
    refused(hook_api.post(path, {"event": {"entity": "PROMPT", "action": "SET"}}), text="Invalid action")
    refused(hook_api.post(path, {"event": {}}), text="must have an entity and an action")


@pytest.mark.ours
def test_nothing_of_the_answer_is_returned(hook_client, receiver):
    for status, success in ((200, True), (204, True), (302, False), (401, False), (500, False)):
        receiver.answers["/s"] = [status]
        webhook = hook_client.create_webhook("t", receiver.url + "/s", [ALL[0]])
        result = hook_client.test_webhook(webhook.webhook_id)
        assert (result.success, result.response_status) == (success, status)
        assert "secret" not in repr(result)
    assert not receiver.got("/elsewhere")


@pytest.mark.ours
@pytest.mark.parametrize(
    "how, word",
    [
        (webhook_receiver.hang, "in time"),
        (webhook_receiver.reset, "connection"),
        (webhook_receiver.close, "connection"),
        (webhook_receiver.garbage, "HTTP"),
    ],
)
def test_broken_targets(hook_client, receiver, how, word):
    receiver.answers["/b"] = [how]
    webhook = hook_client.create_webhook("t", receiver.url + "/b", [ALL[0]])
    began = time.monotonic()
    result = hook_client.test_webhook(webhook.webhook_id)
    assert not result.success and result.response_status is None
    assert result.error_message.startswith("Failed to test webhook: ") and word in result.error_message
    assert time.monotonic() - began < 6 * SLOW


@pytest.mark.ours
def test_hanging_targets_do_not_hold_up_others(hook_api, receiver):
    receiver.answers["/h"] = [webhook_receiver.hang]
    webhook = made(hook_api, url=receiver.url + "/h")
    path = f"webhooks/{webhook['webhook_id']}/test"
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(Api(hook_api.url).post, path, {}) for _ in range(16)]
        time.sleep(0.3)
        began = time.monotonic()
        for _ in range(20):
            assert hook_api.get("webhooks").status_code == 200
        assert time.monotonic() - began < 1.5 * SLOW
        statuses = [call.result().status_code for call in calls]
    assert sorted(statuses) == [200] * 4 + [429] * 12
    # And afterwards there is room again.
    assert hook_api.post(path, {}).status_code == 200
