# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What webhooks are told: every event, in order, at least once, whatever the target and the daemon go through."""

import http.server
import json
import ssl
import subprocess
import threading
import time

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.webhooks import types

import capstan_server
import exchange
import webhook_receiver
from capstan_server import SLOW, wait_for
from conftest import Api, refused, unique

pytestmark = pytest.mark.ours

ENVIRONMENT = {
    **webhook_receiver.ENVIRONMENT,
    "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "1",
    "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "2",
}
TAG_SET = ("MODEL_VERSION_TAG", "SET")


class Hooks:
    """A daemon, MLflow's client for it, and the delivery log."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.api = Api(daemon.url)
        self.client = MlflowClient(daemon.url, daemon.url)

    def make(self, url, *events, **more):
        """events: ("PROMPT", "CREATED"), ..."""
        body = {
            "name": "hook",
            "url": url,
            "events": [{"entity": e, "action": a} for e, a in events],
            **more,
        }
        reply = self.api.post("webhooks", body)
        assert reply.status_code == 200, reply.text
        return reply.json()["webhook"]["webhook_id"]

    def change(self, webhook, **changes):
        reply = self.api.send("PATCH", f"webhooks/{webhook}", changes)
        assert reply.status_code == 200, reply.text

    def log(self, webhook, **params):
        reply = self.api.get(f"/api/1.0/capstan/webhooks/{webhook}/deliveries", params)
        assert reply.status_code == 200, reply.text
        return reply.json().get("deliveries", [])

    def wait_log(self, webhook, status, count=1, seconds=30):
        return wait_for(
            lambda: (lambda d: d if len(d) >= count else None)(self.log(webhook, status=status)),
            seconds,
            f"{count} {status} deliveries",
        )

    def replay(self, webhook, delivery):
        path = f"/api/1.0/capstan/webhooks/{webhook}/deliveries/{delivery}/replay"
        return self.api.post(path, {})

    def model(self):
        name = unique("model")
        self.client.create_registered_model(name)
        self.client.create_model_version(name, "s3://bucket/m", tags={"a": "b"})
        return name

    def set_tags(self, name, values):
        for value in values:
            self.client.set_model_version_tag(name, "1", "key", str(value))


@pytest.fixture(scope="module")
def hooks():
    daemon = capstan_server.Server(env=ENVIRONMENT)
    try:
        daemon.start()
        exchange.record(daemon.url)
        yield Hooks(daemon)
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


@pytest.fixture
def receiver():
    receiver = webhook_receiver.Receiver()
    yield receiver
    receiver.close()


def values(requests_):
    return [r.json["data"]["value"] for r in requests_]


# ---- what is sent ----


def test_every_registry_event(hooks, receiver):
    events = [
        ("REGISTERED_MODEL", "CREATED"),
        ("MODEL_VERSION", "CREATED"),
        ("MODEL_VERSION_TAG", "SET"),
        ("MODEL_VERSION_TAG", "DELETED"),
        ("MODEL_VERSION_ALIAS", "CREATED"),
        ("MODEL_VERSION_ALIAS", "DELETED"),
    ]
    hooks.make(receiver.url + "/all", *events, secret="s3cret ä")
    name = unique("modell-ä")
    c = hooks.client
    c.create_registered_model(name, {"t": "ü\x7f"}, "die \"Beschreibung\"\n")
    c.create_model_version(name, "s3://bucket/m", tags={"a": "b"}, description="one")
    c.set_model_version_tag(name, "1", "k", "v")
    c.delete_model_version_tag(name, "1", "k")
    c.set_registered_model_alias(name, "champion", 1)
    c.delete_registered_model_alias(name, "champion")
    got = receiver.wait("/all", 6)
    assert [r.event.upper() for r in got] == [f"{e}.{a}" for e, a in events]
    payloads = [
        types.RegisteredModelCreatedPayload(
            name=name, tags={"t": "ü\x7f"}, description="die \"Beschreibung\"\n"
        ),
        types.ModelVersionCreatedPayload(
            name=name,
            version="1",
            source="s3://bucket/m",
            run_id=None,
            tags={"a": "b"},
            description="one",
        ),
        types.ModelVersionTagSetPayload(name=name, version="1", key="k", value="v"),
        types.ModelVersionTagDeletedPayload(name=name, version="1", key="k"),
        types.ModelVersionAliasCreatedPayload(name=name, alias="champion", version="1"),
        types.ModelVersionAliasDeletedPayload(name=name, alias="champion"),
    ]
    for request, payload in zip(got, payloads, strict=True):
        body = request.json
        assert body["data"] == dict(payload)
        # Byte for byte what json.dumps() makes of it, and signed as MLflow signs.
        assert request.body == json.dumps(request.json).encode()
        assert list(body) == ["entity", "action", "timestamp", "data"]
        assert list(body["data"]) == list(payload)
        assert request.signed_with("s3cret ä") and not request.signed_with("other")
    assert len({r.id for r in got}) == 6


def test_prompts_have_events_of_their_own(hooks, receiver):
    hooks.make(receiver.url + "/models", ("REGISTERED_MODEL", "CREATED"), ("MODEL_VERSION", "CREATED"))
    hooks.make(
        receiver.url + "/prompts",
        ("PROMPT", "CREATED"),
        ("PROMPT_VERSION", "CREATED"),
        ("PROMPT_TAG", "SET"),
        ("PROMPT_ALIAS", "CREATED"),
    )
    mlflow.set_tracking_uri(hooks.daemon.url)
    name = unique("prompt")
    hooks.client.register_prompt(name, "Hello {{name}}", commit_message="first")
    hooks.client.set_prompt_alias(name, "production", 1)
    hooks.client.set_prompt_tag(name, "k", "v")

    def told():
        """Without what the client notes for itself."""
        got = [r for r in receiver.got("/prompts") if r.json["data"].get("key", "k") == "k"]
        return got if len(got) >= 4 else None

    got = wait_for(told, 20, "four events")
    assert [r.event for r in got] == [
        "prompt.created",
        "prompt_version.created",
        "prompt_alias.created",
        "prompt_tag.set",
    ]
    assert got[1].json["data"]["template"] == "Hello {{name}}"
    assert not receiver.got("/models")


def test_only_active_and_subscribed(hooks, receiver):
    name = hooks.model()
    hooks.make(receiver.url + "/off", TAG_SET, status="DISABLED")
    hooks.make(receiver.url + "/other", ("PROMPT", "CREATED"))
    hooks.make(receiver.url + "/on", TAG_SET)
    hooks.set_tags(name, [1])
    receiver.wait("/on")
    with pytest.raises(mlflow.MlflowException):
        hooks.client.set_model_version_tag(name, "99", "key", "no such version")
    time.sleep(0.5)
    assert len(receiver.got()) == 1


def test_soon(hooks, receiver):
    """Not at the next poll: a change wakes the sender."""
    name = hooks.model()
    hooks.make(receiver.url + "/soon", TAG_SET)
    waits = []
    for i in range(10):
        began = time.monotonic()
        hooks.set_tags(name, [i])
        receiver.wait("/soon", i + 1)
        waits.append(time.monotonic() - began)
    assert sorted(waits)[5] < 0.4 * SLOW, waits


# ---- failing targets ----


def test_failed_is_tried_again_in_order(hooks, receiver):
    name = hooks.model()
    receiver.answers["/f"] = [500, 200]
    webhook = hooks.make(receiver.url + "/f", TAG_SET, secret="s")
    hooks.set_tags(name, range(10))
    got = receiver.wait("/f", 11)
    assert values(got) == ["0", "0", *map(str, range(1, 10))]
    assert got[0].id == got[1].id and got[0].body == got[1].body
    assert 0.9 < got[1].at - got[0].at < 4 * SLOW
    assert got[0].signed_with("s") and got[1].signed_with("s")
    log = hooks.wait_log(webhook, "DELIVERED", 10)
    first = log[-1]
    assert first["delivery_id"] == got[0].id and first["webhook_id"] == webhook
    assert (first["entity"], first["action"]) == TAG_SET and first["attempt_count"] == 2
    assert [a["response_status"] for a in first["attempts"]] == [500, 200]
    assert [a["attempt"] for a in first["attempts"]] == [1, 2]
    assert all(0 <= a["duration_ms"] < 5000 * SLOW for a in first["attempts"])
    assert first["attempts"][0]["timestamp"] < first["attempts"][1]["timestamp"]
    assert first["data"] == got[0].json["data"]
    assert [d["data"]["value"] for d in log] == [str(i) for i in range(9, -1, -1)]


@pytest.mark.parametrize(
    "how, error",
    [
        (webhook_receiver.hang, "timeout"),
        (webhook_receiver.reset, "reset"),
        (webhook_receiver.close, "reset"),
        (webhook_receiver.garbage, "protocol"),
    ],
)
def test_given_up_then_the_next(hooks, receiver, how, error):
    name = hooks.model()
    receiver.answers["/g"] = [how, how, how, 200]
    webhook = hooks.make(receiver.url + "/g", TAG_SET)
    hooks.set_tags(name, [1, 2])
    got = receiver.wait("/g", 4, 40)
    assert values(got) == ["1", "1", "1", "2"]
    (failed,) = hooks.wait_log(webhook, "FAILED")
    assert failed["attempt_count"] == 3 and {a["error"] for a in failed["attempts"]} == {error}
    assert all("response_status" not in a for a in failed["attempts"])
    hooks.wait_log(webhook, "DELIVERED")


@pytest.mark.parametrize("how, status", [(webhook_receiver.lie, 500), (webhook_receiver.endless, 200)])
def test_the_status_counts_not_the_body(hooks, receiver, how, status):
    name = hooks.model()
    receiver.answers["/l"] = [how, 200]
    webhook = hooks.make(receiver.url + "/l", TAG_SET)
    hooks.set_tags(name, [1])
    (done,) = hooks.wait_log(webhook, "DELIVERED")
    assert done["attempts"][0]["response_status"] == status
    assert done["attempt_count"] == (1 if status == 200 else 2)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 410])
def test_given_up_at_once(hooks, receiver, status):
    name = hooks.model()
    receiver.answers["/n"] = [status, 200]
    webhook = hooks.make(receiver.url + "/n", TAG_SET)
    hooks.set_tags(name, [1, 2])
    assert values(receiver.wait("/n", 2)) == ["1", "2"]
    (failed,) = hooks.wait_log(webhook, "FAILED")
    assert [a["response_status"] for a in failed["attempts"]] == [status]
    assert not receiver.got("/elsewhere")


def test_one_webhook_does_not_hold_up_another(hooks, receiver):
    name = hooks.model()
    receiver.answers["/bad"] = [webhook_receiver.hang]
    hooks.make(receiver.url + "/bad", TAG_SET)
    hooks.make(receiver.url + "/good", TAG_SET)
    began = time.monotonic()
    hooks.set_tags(name, range(5))
    assert values(receiver.wait("/good", 5)) == list("01234")
    assert time.monotonic() - began < 2.5 * SLOW
    assert len(receiver.wait("/bad", 1)) == 1


def test_a_private_address_is_refused_at_the_socket(new_server, postgres, receiver):
    """The name was public when the webhook was made, and no longer is."""
    backend = postgres.database("webhook_private")
    env = {**ENVIRONMENT, "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
    daemon = new_server(backend=backend, env=env)
    hooks = Hooks(daemon)
    name = hooks.model()
    webhook = hooks.make(f"http://localhost:{receiver.port}/p", TAG_SET)
    daemon.stop()
    daemon.env = {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http"}
    daemon.start()
    hooks.set_tags(name, [1])
    (failed,) = hooks.wait_log(webhook, "FAILED")
    assert [a["error"] for a in failed["attempts"]] == ["address"]
    result = hooks.api.post(f"webhooks/{webhook}/test", {}).json()["result"]
    assert not result["success"] and "not a public one" in result["error_message"]
    # A scheme that is allowed no longer.
    daemon.stop()
    daemon.env = {"MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
    daemon.start()
    hooks.set_tags(name, [2])
    failed = hooks.wait_log(webhook, "FAILED", 2)
    assert [a["error"] for a in failed[0]["attempts"]] == ["url"]
    assert not receiver.got()


def test_an_untrusted_certificate(hooks, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    webhook = hooks.make(f"https://127.0.0.1:{server.server_port}/", TAG_SET)
    result = hooks.api.post(f"webhooks/{webhook}/test", {}).json()["result"]
    server.shutdown()
    assert not result["success"] and "certificate" in result["error_message"]
    assert not asked


# ---- the life of a webhook ----


def test_disabling_drops_and_deleting_forgets(hooks, receiver):
    name = hooks.model()
    receiver.answers["/d"] = [503]
    webhook = hooks.make(receiver.url + "/d", TAG_SET)
    hooks.set_tags(name, [1, 2, 3])
    receiver.wait("/d")
    hooks.change(webhook, status="DISABLED")
    assert len(hooks.wait_log(webhook, "DROPPED", 3)) == 3
    assert hooks.log(webhook, status="PENDING") == []
    refused(hooks.replay(webhook, hooks.log(webhook)[0]["delivery_id"]), text="is disabled")
    sent = len(receiver.got("/d"))
    hooks.change(webhook, status="ACTIVE")
    receiver.answers["/d"] = [200]
    hooks.set_tags(name, [4])
    assert values(receiver.wait("/d", sent + 1))[sent:] == ["4"]
    assert hooks.api.send("DELETE", f"webhooks/{webhook}").status_code == 200
    hooks.set_tags(name, [5])
    time.sleep(0.5)
    assert len(receiver.got("/d")) == sent + 1
    reply = hooks.api.get(f"/api/1.0/capstan/webhooks/{webhook}/deliveries")
    refused(reply, "RESOURCE_DOES_NOT_EXIST", 404, f"Webhook with ID {webhook} not found.")


def test_a_new_url_counts_for_what_waits(hooks, receiver):
    name = hooks.model()
    receiver.answers["/old"] = [503]
    webhook = hooks.make(receiver.url + "/old", TAG_SET)
    hooks.set_tags(name, [1])
    first = receiver.wait("/old")[0]
    hooks.change(webhook, url=receiver.url + "/new")
    assert receiver.wait("/new")[0].id == first.id


def test_replay(hooks, receiver):
    name = hooks.model()
    receiver.answers["/r"] = [404, 200]
    webhook = hooks.make(receiver.url + "/r", TAG_SET)
    hooks.set_tags(name, [1, 2])
    hooks.wait_log(webhook, "DELIVERED")
    (failed,) = hooks.log(webhook, status="FAILED")
    reply = hooks.replay(webhook, failed["delivery_id"])
    assert reply.status_code == 200
    assert reply.json()["delivery"]["status"] == "PENDING"
    got = receiver.wait("/r", 3)
    assert values(got) == ["1", "2", "1"] and got[2].id == got[0].id and got[2].body == got[0].body
    log = hooks.wait_log(webhook, "DELIVERED", 2)
    assert [a["response_status"] for a in log[1]["attempts"]] == [404, 200]
    # What was taken once can be told again, too.
    assert hooks.replay(webhook, log[0]["delivery_id"]).status_code == 200
    assert values(receiver.wait("/r", 4))[3] == "2"
    for wrong in ("x", "0" * 36, failed["delivery_id"][:-1] + "g", failed["delivery_id"][:-1]):
        refused(hooks.replay(webhook, wrong), "RESOURCE_DOES_NOT_EXIST", 404, "not found")
    other = hooks.make(receiver.url + "/x", TAG_SET)
    refused(hooks.replay(other, failed["delivery_id"]), "RESOURCE_DOES_NOT_EXIST", 404)


def test_log_pages(hooks, receiver):
    name = hooks.model()
    webhook = hooks.make(receiver.url + "/l", TAG_SET)
    hooks.set_tags(name, range(7))
    hooks.wait_log(webhook, "DELIVERED", 7)
    path = f"/api/1.0/capstan/webhooks/{webhook}/deliveries"
    seen, token = [], None
    while True:
        page = hooks.api.get(path, {"max_results": 3, "page_token": token}).json()
        seen += [d["data"]["value"] for d in page["deliveries"]]
        assert len(page["deliveries"]) <= 3
        token = page.get("next_page_token")
        if not token:
            break
    assert seen == [str(i) for i in range(6, -1, -1)]
    assert len(hooks.log(webhook, max_results=1000)) == 7
    refused(hooks.api.get(path, {"max_results": 1001}), text="between 1 and 1000")
    refused(hooks.api.get(path, {"status": "LOST"}), text="'status'")
    refused(hooks.api.get(path, {"page_token": "AAAA"}), text="Invalid page token")
    first = hooks.api.get(path, {"max_results": 3}).json()["next_page_token"]
    refused(
        hooks.api.get(path, {"page_token": first, "status": "FAILED"}), text="belongs to another query"
    )


def test_metrics(hooks, receiver):
    def counters():
        text = requests.get(hooks.daemon.url + "/metrics", timeout=30).text
        return {
            line.split()[0]: float(line.split()[1])
            for line in text.splitlines()
            if line.startswith("capstan_webhook_")
        }

    before = counters()
    webhook = hooks.make(receiver.url + "/m", TAG_SET)
    hooks.set_tags(hooks.model(), [1])
    hooks.wait_log(webhook, "DELIVERED")
    after = counters()
    assert after["capstan_webhook_delivered_total"] >= before["capstan_webhook_delivered_total"] + 1
    assert after["capstan_webhook_attempts_total"] >= before["capstan_webhook_attempts_total"] + 1


# ---- the daemon's death ----


def test_kill_between_change_and_delivery(new_server, receiver):
    receiver.answers["/k"] = [webhook_receiver.hang]
    daemon = new_server(env={**ENVIRONMENT, "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "60"})
    hooks = Hooks(daemon)
    name = hooks.model()
    hooks.make(receiver.url + "/k", TAG_SET)
    hooks.set_tags(name, range(5))
    (first,) = receiver.wait("/k")
    daemon.kill()
    receiver.answers["/k"] = [200]
    daemon.start()
    got = receiver.wait("/k", 6)[1:]
    assert values(got) == list("01234") and got[0].id == first.id
    assert got[0].body == first.body


def test_stopping_does_not_wait_for_a_target(new_server, receiver):
    receiver.answers["/s"] = [webhook_receiver.hang, 200]
    daemon = new_server(env={**ENVIRONMENT, "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "60"})
    hooks = Hooks(daemon)
    name = hooks.model()
    webhook = hooks.make(receiver.url + "/s", TAG_SET)
    hooks.set_tags(name, [1])
    receiver.wait("/s")
    began = time.monotonic()
    daemon.stop()
    assert time.monotonic() - began < 8 * SLOW
    daemon.start()
    assert len({r.id for r in receiver.wait("/s", 2)}) == 1
    (done,) = hooks.wait_log(webhook, "DELIVERED")
    assert done["attempt_count"] == 1  # what was given up on our side is no failure of the target


def test_two_daemons_deliver_once(new_server, postgres, receiver):
    backend = postgres.database("webhook_two")
    one = new_server(backend=backend, env=ENVIRONMENT)
    two = new_server(backend=backend, env=ENVIRONMENT)
    hooks, others = Hooks(one), Hooks(two)
    name = hooks.model()
    hooks.make(receiver.url + "/t", TAG_SET)
    for i in range(20):
        (hooks if i % 2 else others).set_tags(name, [i])
    receiver.wait("/t", 20)
    time.sleep(1.2)
    assert values(receiver.got("/t")) == [str(i) for i in range(20)]
    # The leader dies: the other one takes over.
    one.kill()
    others.set_tags(name, [20])
    assert values(receiver.wait("/t", 21))[20] == "20"


def test_the_database_goes_away_and_comes_back(new_server, postgres, receiver):
    backend = postgres.database("webhook_away")
    hooks = Hooks(new_server(backend=backend, env=ENVIRONMENT))
    name = hooks.model()
    hooks.make(receiver.url + "/a", TAG_SET)
    hooks.set_tags(name, [1])
    receiver.wait("/a")
    postgres.kill()
    time.sleep(0.5)
    postgres.revive()

    def tag():
        try:
            hooks.set_tags(name, [2])
            return True
        except mlflow.MlflowException:
            return False

    wait_for(tag, 30, "the database")
    assert values(receiver.wait("/a", 2, 30))[-1] == "2"
