# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Each source of credentials, end to end, before stores that verify signatures; refreshes; and what goes wrong with them."""

import json
import os
import re
import subprocess
import time

import pytest
from conftest import capstan_server
from place import SLOW, folder, in_threads, refused, wait_for
from stores import identity_server
from stores.fault_proxy import HEAD, REPLY, REQUEST, REWRITE, s3_error
from stores.stores import NOWHERE, REGION, Versitygw

FOREVER = 10**6
IMDS = "/latest/meta-data/iam/security-credentials/" + identity_server.ROLE


def works(place, count=1):
    for i in range(count):
        key = folder() + f"/k{i}"
        reply = place.put(key, b"body")
        assert reply.status == 200, (reply, place.daemon.log()[-3000:])
        assert place.get(key).body == b"body" and place.list(key.rpartition("/")[0]) == [(f"k{i}", 4)]


@pytest.fixture
def own_identity(identity):
    """As it was, afterwards."""
    kept = {name: getattr(identity, name) for name in ("lifetime", "delay", "supply", "metadata_scopes", "federated_may")}
    identity.forget()
    yield identity
    for name, value in kept.items():
        setattr(identity, name, value)
    identity.broken.clear()


def refuses_old_keys(place, identity):
    """The store answers ExpiredToken to keys that the identity server no longer stands for, as AWS does."""
    def expired(x):
        found = re.search(r"Credential=([^/]+)/", x.headers.get("authorization", ""))
        return found and not identity.live(found.group(1))

    return place.proxy.fault(REQUEST, REPLY, times=FOREVER, status=400, body=s3_error("ExpiredToken"), when=expired)


# ---- AWS: where keys come from ----


def aws_sources(source, tmp_path, identity, minio):
    """Environment of a daemon that has its keys from there."""
    base = {"AWS_DEFAULT_REGION": REGION, "AWS_CONFIG_FILE": NOWHERE, "AWS_SHARED_CREDENTIALS_FILE": NOWHERE, "AWS_EC2_METADATA_DISABLED": "true"}
    session = minio.session()
    keys = f"aws_access_key_id = {session['AccessKeyId']}\naws_secret_access_key = {session['SecretAccessKey']}\naws_session_token = {session['Token']}\n"
    wrong = "aws_access_key_id = AKWRONG\naws_secret_access_key = wrong\n"

    def file(name, text):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    identity.supply = minio.session
    token = file("token", identity.web_identity())
    return {
        "environment": lambda: {**base, "AWS_ACCESS_KEY_ID": minio.key, "AWS_SECRET_ACCESS_KEY": minio.secret},
        "session": lambda: {**base, "AWS_ACCESS_KEY_ID": session["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"], "AWS_SESSION_TOKEN": session["Token"]},
        "credentials file": lambda: {**base, "AWS_SHARED_CREDENTIALS_FILE": file("credentials", "# ours\n[default]\n" + keys + "\n[other]\n" + wrong)},
        "profile": lambda: {**base, "AWS_PROFILE": "team-a", "AWS_SHARED_CREDENTIALS_FILE": file("credentials", "[default]\n" + wrong + "\n[team-a]\n" + keys)},
        "config file": lambda: {**{k: v for k, v in base.items() if k != "AWS_DEFAULT_REGION"}, "AWS_PROFILE": "team-a",
                                "AWS_CONFIG_FILE": file("config", f"[default]\nregion = eu-west-9\n[profile team-a]\nregion = {REGION}\n" + keys)},
        "process": lambda: {**base, "AWS_CONFIG_FILE": file("config", f"[default]\ncredential_process = /bin/cat {file('out.json', json.dumps({'Version': 1, 'AccessKeyId': session['AccessKeyId'], 'SecretAccessKey': session['SecretAccessKey'], 'SessionToken': session['Token']}))}\n")},
        "web identity": lambda: {**base, "AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": minio.role, "AWS_ENDPOINT_URL_STS": minio.url},
        "web identity profile": lambda: {**base, "AWS_ENDPOINT_URL_STS": minio.url,
                                         "AWS_CONFIG_FILE": file("config", f"[default]\nweb_identity_token_file = {token}\nrole_arn = {minio.role}\nrole_session_name = s\n")},
        "assume role": lambda: {**base, "AWS_ENDPOINT_URL_STS": minio.url,
                                "AWS_CONFIG_FILE": file("config", f"[default]\nrole_arn = arn:aws:iam::123456789012:role/any\nsource_profile = base\n[profile base]\naws_access_key_id = {minio.key}\naws_secret_access_key = {minio.secret}\n")},
        "pod identity": lambda: {**base, "AWS_CONTAINER_CREDENTIALS_FULL_URI": identity.url + "/v1/credentials",
                                 "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file("pod-token", identity.container_token)},
        "container": lambda: {**base, "AWS_CONTAINER_CREDENTIALS_FULL_URI": identity.url + "/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN": identity.container_token},
        "imds": lambda: {**base, "AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": identity.url},
    }[source]()


SOURCES = ["environment", "session", "credentials file", "profile", "config file", "process", "web identity", "web identity profile", "assume role", "pod identity", "container", "imds"]


@pytest.mark.parametrize("source", SOURCES)
def test_aws_source(new_place, own_identity, minio, tmp_path, source):
    env = aws_sources(source, tmp_path, own_identity, minio)
    place = new_place("minio", environment=lambda url: {**env, "MLFLOW_S3_ENDPOINT_URL": url})
    works(place, 2)
    if source in ("pod identity", "container"):
        assert own_identity.count("GET", "/v1/credentials", 200) == 1
    if source == "imds":
        assert own_identity.count("PUT", "/latest/api/token", 200) == 1 and own_identity.count("GET", IMDS, 200) == 1
        assert own_identity.count(status=401) == 0
    if source == "session":
        assert all("x-amz-security-token" in x.headers for x in place.proxy.find())


def test_aws_order(new_place, own_identity, minio, tmp_path):
    """Environment before files before IMDS."""
    own_identity.supply = lambda: {"AccessKeyId": "IMDS", "SecretAccessKey": "wrong", "Token": "t"}
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = FILE\naws_secret_access_key = wrong\n")
    (tmp_path / "token").write_text(own_identity.web_identity())
    env = {"AWS_DEFAULT_REGION": REGION, "AWS_CONFIG_FILE": NOWHERE, "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_EC2_METADATA_SERVICE_ENDPOINT": own_identity.url,
           "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": minio.role, "AWS_ENDPOINT_URL_STS": minio.url}
    works(new_place("minio", environment=lambda url: {**env, "MLFLOW_S3_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": minio.key, "AWS_SECRET_ACCESS_KEY": minio.secret}))
    works(new_place("minio", environment=lambda url: {**env, "MLFLOW_S3_ENDPOINT_URL": url}))
    assert own_identity.count(path="/latest/") == 0


@pytest.fixture
def imds_place(new_place, own_identity, minio):
    """make(lifetime): keys of IMDS that MinIO's STS made; refused once they are over."""
    def make(lifetime, **more):
        own_identity.supply = minio.session
        own_identity.lifetime = lifetime
        env = {"AWS_DEFAULT_REGION": REGION, "AWS_CONFIG_FILE": NOWHERE, "AWS_SHARED_CREDENTIALS_FILE": NOWHERE, "AWS_EC2_METADATA_SERVICE_ENDPOINT": own_identity.url}
        place = new_place("minio", environment=lambda url: {**env, "MLFLOW_S3_ENDPOINT_URL": url, **more})
        place.expired = refuses_old_keys(place, own_identity)
        return place

    return make


def test_aws_refresh_before_the_end(imds_place, own_identity):
    """Traffic over several lifetimes: no request fails, none goes with an old key."""
    place = imds_place(4)
    end = time.monotonic() + 7
    count = 0

    def work(i):
        nonlocal count
        while time.monotonic() < end:
            assert place.put(f"r/{i}", b"x").status == 200 and place.get(f"r/{i}").status == 200
            count += 1

    in_threads(work, 4)
    fetches = own_identity.count("GET", IMDS, 200)
    assert count > 20 and 2 <= fetches <= 5, (count, fetches)
    assert place.expired.fired == 0


def test_aws_refused_keys_are_fetched_anew(imds_place, own_identity):
    """Revoked before their end: one more fetch, no failed request."""
    place = imds_place(3600)
    works(place)
    assert own_identity.count("GET", IMDS, 200) == 1
    own_identity.revoke()
    in_threads(lambda i: works(place), 8)
    assert own_identity.count("GET", IMDS, 200) == 2 and place.expired.fired >= 1


def test_aws_one_fetch_at_a_time(imds_place, own_identity):
    place = imds_place(3600)
    own_identity.delay = 0.3
    in_threads(lambda i: works(place), 16)
    assert own_identity.count("GET", IMDS, 200) == 1


def test_aws_fetch_fails_once(imds_place, own_identity):
    """A moment's trouble there: at most a moment's 503, which clients try again."""
    place = imds_place(3600)
    own_identity.broken[IMDS] = (500, "no", 1)
    end = time.monotonic() + 5 * SLOW
    while (reply := place.put("f/k", b"x")).status != 200:
        refused(reply, "TEMPORARILY_UNAVAILABLE", status=503)
        assert time.monotonic() < end
        time.sleep(0.2)
    assert own_identity.count(status=500) == 1


def test_aws_old_keys_serve_while_fetches_fail(imds_place, own_identity):
    """The identity server is away when it is time for new keys, and back before the end of the old ones."""
    place = imds_place(6)
    works(place)
    own_identity.broken["/latest/"] = (500, "no", FOREVER)
    wait_for(lambda: own_identity.count(status=500), 10, "a fetch that fails")
    works(place)
    own_identity.broken.clear()
    # The next attempt is up to some seconds away: until then they are good, or it is said that there are none.
    end = time.monotonic() + 20 * SLOW
    while (reply := place.put("f/later", b"x")).status != 200:
        refused(reply, "TEMPORARILY_UNAVAILABLE", status=503)
        assert time.monotonic() < end
        time.sleep(0.2)
    assert place.expired.fired == 0 and own_identity.count(status=500) >= 1


def test_aws_no_credentials_anywhere(new_place, own_identity):
    place = new_place("minio", environment=lambda url: {
        "MLFLOW_S3_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": REGION, "AWS_CONFIG_FILE": NOWHERE, "AWS_SHARED_CREDENTIALS_FILE": NOWHERE, "AWS_EC2_METADATA_DISABLED": "true"})
    message = refused(place.put("a/b", b"x"), "PERMISSION_DENIED", "UNAUTHENTICATED", "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "INVALID_STATE")
    assert "credentials" in message
    # It finds them once they are there.
    assert place.ask("GET", "/health").status == 200


@pytest.mark.parametrize("wrong", ["audience", "expired", "no file", "role"])
def test_aws_web_identity_refused(new_place, identity, minio, tmp_path, wrong):
    token = identity.web_identity(**{"audience": {"audience": "x"}, "expired": {"lifetime": -60}}.get(wrong, {}))
    if wrong != "no file":
        (tmp_path / "token").write_text(token)
    env = {"AWS_DEFAULT_REGION": REGION, "AWS_CONFIG_FILE": NOWHERE, "AWS_SHARED_CREDENTIALS_FILE": NOWHERE, "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL_STS": minio.url,
           "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": minio.role if wrong != "role" else minio.role[:-4] + "AAAA"}
    place = new_place("minio", environment=lambda url: {**env, "MLFLOW_S3_ENDPOINT_URL": url})
    reply = place.put("a/b", b"x")
    refused(reply, "PERMISSION_DENIED", "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "INVALID_STATE")
    assert place.log_of(reply)
    no_secrets(place, token)


# ---- Google ----


def gcs_source(source, identity, tmp_path):
    """Credentials for Gcs.environment(), more environment, and whose token arrives."""
    (tmp_path / "web-token").write_text(identity.web_identity())
    email = identity.account.email
    metadata = {"GCE_METADATA_HOST": f"{identity.host}:{identity.port}", "GCE_METADATA_IP": f"{identity.host}:{identity.port}"}
    return {
        "service account": lambda: (identity.service_account_file(tmp_path / "c.json"), {}, email),
        "user": lambda: (identity.authorized_user_file(tmp_path / "c.json"), {}, "user"),
        "external": lambda: (identity.external_account_file(tmp_path / "c.json", tmp_path / "web-token"), {}, "federated"),
        "external json": lambda: (external_json(identity, tmp_path), {}, "federated"),
        "impersonated": lambda: (identity.external_account_file(tmp_path / "c.json", tmp_path / "web-token", impersonate=email), {}, email),
        "metadata": lambda: (None, metadata, email),
    }[source]()


def external_json(identity, tmp_path):
    (tmp_path / "web.json").write_text(json.dumps({"id_token": identity.web_identity()}))
    return identity.external_account_file(tmp_path / "c.json", "", credential_source={"file": str(tmp_path / "web.json"), "format": {"type": "json", "subject_token_field_name": "id_token"}})


@pytest.mark.parametrize("source", ["service account", "user", "external", "external json", "impersonated", "metadata"])
def test_gcs_source(new_place, own_identity, gcs, tmp_path, source):
    file, more, principal = gcs_source(source, own_identity, tmp_path)
    place = new_place("gcs", environment=lambda url: gcs.environment(url, credentials=file, **more))
    works(place, 2)
    seen = {own_identity.tokens[x.headers["authorization"].removeprefix("Bearer ")].principal for x in place.proxy.find() if "authorization" in x.headers}
    assert seen == {principal}
    # Paths of the three begin differently and end alike.
    assert own_identity.count(path="/token", status=200) == 1
    if source == "metadata":
        assert all(a.headers.get("metadata-flavor") == "Google" for a in own_identity.find("GET", "/computeMetadata/"))


@pytest.mark.parametrize("source", ["service account", "metadata", "impersonated"])
def test_gcs_signing(new_place, own_identity, gcs, tmp_path, source):
    """With the key of a file, or through IAM's signBlob."""
    import requests

    file, more, _ = gcs_source(source, own_identity, tmp_path)
    place = new_place("gcs", environment=lambda url: gcs.environment(url, credentials=file, **more))
    place.put("s/o", b"signed")
    made = place.ask("GET", "/api/2.0/mlflow-artifacts/presigned/s/o")
    assert made.status == 200, (made, place.log_of(made))
    assert requests.get(made.json["url"], timeout=60).content == b"signed"
    assert (own_identity.count("POST", ":signBlob", 200) > 0) == (source != "service account")


def test_gcs_users_cannot_sign(new_place, own_identity, gcs, tmp_path):
    file, more, _ = gcs_source("user", own_identity, tmp_path)
    place = new_place("gcs", environment=lambda url: gcs.environment(url, credentials=file, **more))
    place.put("s/o", b"x")
    refused(place.ask("GET", "/api/2.0/mlflow-artifacts/presigned/s/o"), "NOT_IMPLEMENTED", "INVALID_STATE", "PERMISSION_DENIED", "INTERNAL_ERROR", "FEATURE_DISABLED")


def fetches(identity):
    return identity.count("POST", "/token", 200)


def test_gcs_refresh_before_the_end(new_place, own_identity, gcs, tmp_path):
    own_identity.lifetime = 4
    place = new_place("gcs")
    gcs.gate.forget()
    end = time.monotonic() + 7
    count = 0

    def work(i):
        nonlocal count
        while time.monotonic() < end:
            assert place.put(f"r/{i}", b"x").status == 200 and place.get(f"r/{i}").status == 200
            count += 1

    in_threads(work, 4)
    assert count > 20 and 2 <= fetches(own_identity) <= 5
    assert gcs.gate.count(status=401) == 0


def test_gcs_refused_tokens_are_fetched_anew(new_place, own_identity, gcs):
    place = new_place("gcs")
    works(place)
    before = fetches(own_identity)
    # The test's own tokens go too: so only requests to the daemon from here.
    own_identity.revoke()
    gcs.gate.forget()

    def work(i):
        assert place.put(f"again/{i}", b"x").status == 200 and place.get(f"again/{i}").body == b"x"

    in_threads(work, 8)
    assert fetches(own_identity) == before + 1 and gcs.gate.count(status=401) >= 1


def test_gcs_one_fetch_at_a_time(new_place, own_identity, gcs):
    place = new_place("gcs")
    own_identity.delay = 0.3
    in_threads(lambda i: works(place), 16)
    assert fetches(own_identity) == 1


@pytest.mark.parametrize("wrong", ["key", "account", "no file", "no json", "type", "scope"])
def test_gcs_credentials_refused(new_place, own_identity, gcs, tmp_path, wrong):
    path = str(tmp_path / "c.json")
    changed = {"key": {"private_key": identity_server.pem(identity_server.new_key())}, "account": {"client_email": "nobody@x"}, "type": {"type": "strange"}}.get(wrong, {})
    more = {}
    if wrong == "no json":
        (tmp_path / "c.json").write_text("{")
    elif wrong == "scope":
        own_identity.metadata_scopes = ["https://www.googleapis.com/auth/devstorage.read_only"]
        path, more = None, {"GCE_METADATA_HOST": f"{own_identity.host}:{own_identity.port}", "GCE_METADATA_IP": f"{own_identity.host}:{own_identity.port}"}
    elif wrong != "no file":
        own_identity.service_account_file(path, **changed)
    try:
        place = new_place("gcs", environment=lambda url: gcs.environment(url, credentials=path, **more))
    except RuntimeError as e:
        # What is wrong with a file may be said at the start.
        assert wrong in ("no file", "no json", "type") and "GOOGLE_APPLICATION_CREDENTIALS" in str(e), e
        return
    reply = place.put("a/b", b"x")
    refused(reply, "PERMISSION_DENIED", "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "INVALID_STATE")
    assert place.log_of(reply)
    no_secrets(place, "BEGIN PRIVATE KEY")


# ---- what goes wrong ----


def no_secrets(place, *secrets):
    log = place.daemon.log()
    for secret in secrets:
        assert secret not in log
    assert not re.search(r"Signature=|X-Amz-Signature|X-Goog-Signature|Bearer \S|x-amz-security-token: ?\S", log)


@pytest.fixture(scope="session")
def users(request):
    """versitygw with a user who owns nothing."""
    with Versitygw(users=True) as store:
        yield store


def judged(place, code, *words, status=None, cause=None, secrets=()):
    """Put, get, list and delete: the same clear error from each, the cause in the log."""
    replies = [place.put("e/k", b"x"), place.put("e/large", bytes(17 << 20)), place.get("e/k"), place.ask("GET", "/api/2.0/mlflow-artifacts/artifacts?path=e"), place.delete("e")]
    for reply in replies:
        message = refused(reply, *([code] if isinstance(code, str) else code), status=status)
        assert any(w.lower() in message.lower() for w in words), message
        for secret in secrets:
            assert secret not in message
        lines = place.log_of(reply)
        assert lines, "nothing in the log"
        assert cause is None or any(re.search(cause, line, re.I) for line in lines), lines
    no_secrets(place, *secrets)


def test_wrong_secret(new_place, versitygw, minio):
    for store in (versitygw, minio):
        secret = "wrongwrongwrongwrongwrongwrongwrongwrong"
        place = new_place(store.name, environment=lambda url, store=store, secret=secret: store.environment(url, secret=secret))
        judged(place, "PERMISSION_DENIED", "credentials", status=403, cause="SignatureDoesNotMatch", secrets=[secret])


def test_unknown_key(new_place, versitygw, minio):
    for store in (versitygw, minio):
        place = new_place(store.name, environment=lambda url, store=store: store.environment(url, key="AKNOBODY"))
        judged(place, "PERMISSION_DENIED", "credentials", status=403, cause="access key", secrets=[store.secret])


@pytest.mark.parametrize("kind", ["versitygw", "minio"])
def test_wrong_region(new_place, kind, request):
    """The store says which it is; else a clear error."""
    store = request.getfixturevalue(kind)
    place = new_place(kind, environment=lambda url: store.environment(url, AWS_DEFAULT_REGION="eu-north-1"))
    reply = place.put("e/k", b"x")
    if reply.status != 200:
        message = refused(reply, "PERMISSION_DENIED", "INVALID_PARAMETER_VALUE", "INTERNAL_ERROR")
        assert "region" in message.lower(), message
    else:
        works(place)


@pytest.mark.parametrize("kind", ["versitygw", "minio", "gcs"])
def test_no_bucket(new_place, kind):
    place = new_place(kind, bucket="there-is-no-such-bucket")
    for reply in (place.put("e/k", b"x"), place.put("e/large", bytes(17 << 20)), place.ask("GET", "/api/2.0/mlflow-artifacts/artifacts?path=e")):
        message = refused(reply, "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "INTERNAL_ERROR")
        assert "bucket" in message.lower(), message
    assert place.get("e/k").status in (404, 500)


def test_no_permission(new_place, users, minio, gcs):
    bucket = users.bucket()
    key, secret = users.user()
    place = new_place("versitygw", bucket=bucket, environment=lambda url: users.environment(place_url(url, users), key=key, secret=secret))
    judged(place, "PERMISSION_DENIED", "bucket", "permission", "allowed", status=403, cause="AccessDenied", secrets=[secret])
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::*"]}]}
    session = minio.session(policy)
    place = new_place("minio", environment=lambda url: minio.environment(url, key=session["AccessKeyId"], secret=session["SecretAccessKey"], token=session["Token"]))
    reply = place.put("e/k", b"x")
    refused(reply, "PERMISSION_DENIED", status=403)
    assert place.list("e") == []
    no_secrets(place, session["Token"], session["SecretAccessKey"])
    place = new_place("gcs")
    gcs.gate.forbidden.add(place.bucket)
    judged(place, "PERMISSION_DENIED", "bucket", "permission", "allowed", status=403)


def place_url(_, store):
    """No proxy before this one: it is of one test."""
    return store.url


def test_clock_skew(new_place, versitygw):
    """The store says that the daemon's clock is wrong, and what time it is."""
    place = new_place("versitygw")
    ahead = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 7200))
    place.proxy.fault(HEAD, REWRITE, times=FOREVER, change=lambda lines: [line if not line.lower().startswith("date:") else f"Date: {ahead}" for line in lines])
    place.proxy.fault(REQUEST, REPLY, times=FOREVER, status=403, body=s3_error("RequestTimeTooSkewed", "The difference is too large."), headers={"Date": ahead})
    reply = place.put("e/k", b"x")
    message = refused(reply, "PERMISSION_DENIED", "TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR")
    assert "clock" in message, message
    assert any("RequestTimeTooSkewed" in line for line in place.log_of(reply))


def test_dns(new_place, versitygw, gcs):
    place = new_place("versitygw", environment=lambda _: versitygw.environment("http://no-such-host.invalid:9000"))
    judged(place, "TEMPORARILY_UNAVAILABLE", "reach", "resolve", "no-such-host", "address", status=503, cause="no-such-host|resolve")
    place = new_place("gcs", environment=lambda _: gcs.environment("http://no-such-host.invalid:9000"))
    refused(place.put("e/k", b"x"), "TEMPORARILY_UNAVAILABLE", status=503)


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """versitygw with a certificate that no authority knows."""
    at = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(at / "key.pem"), "-out", str(at / "cert.pem")], check=True, capture_output=True)
    with Versitygw(certificate=(str(at / "cert.pem"), str(at / "key.pem"))) as store:
        store.certificate_file = str(at / "cert.pem")
        # The tests' own client must not mind.
        usual = store.client
        store.client = lambda *a, **k: usual(*a, **{"verify": store.certificate_file, **k})
        yield store


class TestTls:
    def place(self, new_place, tls, **more):
        return new_place("versitygw", bucket=tls.bucket(), environment=lambda _: tls.environment(tls.url, **more))

    def test_refused(self, new_place, tls):
        place = self.place(new_place, tls)
        judged(place, "TEMPORARILY_UNAVAILABLE", "certificate", "TLS", status=503, cause="certificate|ssl|tls", secrets=[tls.secret])

    def test_ignored(self, new_place, tls):
        place = self.place(new_place, tls, MLFLOW_S3_IGNORE_TLS="true")
        works(place)

    def test_authority(self, new_place, tls):
        place = self.place(new_place, tls, AWS_CA_BUNDLE=tls.certificate_file)
        works(place)
        place.put("large/k", bytes(17 << 20))
        assert len(tls.get(place.bucket, f"{place.prefix}/large/k")) == 17 << 20

    def test_wrong_authority(self, new_place, tls):
        place = self.place(new_place, tls, AWS_CA_BUNDLE="/nonexistent/ca.pem")
        reply = place.put("e/k", b"x")
        refused(reply, "TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "INVALID_STATE")


def test_plain_http_where_tls_is_spoken(new_place, tls):
    place = new_place("versitygw", bucket=tls.bucket(), environment=lambda _: tls.environment(tls.url.replace("https", "http")))
    refused(place.put("e/k", b"x"), "TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "INVALID_PARAMETER_VALUE")


def ends(daemon):
    """It leaves with an error instead of serving."""
    daemon.spawn()
    wait_for(lambda: daemon.process.poll() is not None or daemon.ready(), 20)
    assert daemon.process.poll(), "it serves"


@pytest.mark.parametrize("destination", ["s3://", "s3:///x", "s3://UPPER_case!/x", "gs://", "s3://bucket/../c", "s3://bucket/a?x=1", "s3://bucket/a#x", "http://x/y", "s3://user:secret@bucket/x"])
def test_destinations_that_are_none(postgres, destination):
    daemon = capstan_server.Server("--artifacts-destination", destination, backend=postgres.database(f"bad{os.urandom(6).hex()}"), env={"AWS_CONFIG_FILE": NOWHERE})
    try:
        ends(daemon)
        assert re.search("rtifact|bucket|s3://|gs://", daemon.log().splitlines()[-1]), daemon.log()
        assert "secret" not in daemon.log()
        daemon.check()
    finally:
        daemon.close()


def test_bad_settings_are_said_at_the_start(postgres, versitygw, tmp_path):
    (tmp_path / "config").write_text("[default\nregion=x\n")
    for env in ({"MLFLOW_S3_UPLOAD_EXTRA_ARGS": "{"}, {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": '{"NoSuchArg": 1}'}, {"MLFLOW_S3_ENDPOINT_URL": "ftp://x"}, {"AWS_CONFIG_FILE": str(tmp_path / "config")}):
        daemon = capstan_server.Server("--artifacts-destination", "s3://bucket/x", backend=postgres.database(f"bad{os.urandom(6).hex()}"), env={**versitygw.environment(), **env})
        try:
            ends(daemon)
            assert next(iter(env)).removeprefix("AWS_") in daemon.log() or str(tmp_path) in daemon.log(), daemon.log()
        finally:
            daemon.close()
