# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""The identity server, asked by botocore's and google-auth's own providers; and asked wrongly."""

import json
import pathlib
import time

import google.auth
import google.auth.transport.requests
import jwt
import pytest
import requests
from botocore.exceptions import ClientError
from botocore.session import Session
from google.auth import compute_engine, exceptions
from google.auth.compute_engine import _metadata
from google.oauth2 import credentials, service_account

from . import identity_server
from .identity_server import AUDIENCE, PLATFORM, STORAGE

ASK = google.auth.transport.requests.Request()
IMDS = "/latest/meta-data/iam/security-credentials/"


@pytest.fixture
def aws(monkeypatch):
    """Environment for botocore, with nothing else to find."""
    for name, value in {"AWS_CONFIG_FILE": "/nonexistent/x", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/x", "AWS_DEFAULT_REGION": "us-east-1",
                        "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_imds_as_botocore_asks(identity, aws):
    aws.setenv("AWS_EC2_METADATA_DISABLED", "false")
    aws.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", identity.url)
    identity.forget()
    found = Session().get_credentials()
    assert found.method == "iam-role"
    frozen = found.get_frozen_credentials()
    assert identity.live(frozen.access_key) and frozen.token
    assert [(a.method, a.path) for a in identity.asked] == [("PUT", "/latest/api/token"), ("GET", IMDS), ("GET", IMDS + identity_server.ROLE)]


def test_imds_is_strict(identity):
    url = identity.url
    assert requests.put(url + "/latest/api/token").status_code == 400
    assert requests.put(url + "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "21601"}).status_code == 400
    assert requests.get(url + "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}).status_code == 405
    assert requests.get(url + IMDS).status_code == 401
    assert requests.get(url + IMDS, headers={"X-aws-ec2-metadata-token": "x"}).status_code == 401
    token = requests.put(url + "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "1"}).text
    assert requests.get(url + IMDS, headers={"X-aws-ec2-metadata-token": token}).text == identity_server.ROLE
    time.sleep(1.1)
    assert requests.get(url + IMDS, headers={"X-aws-ec2-metadata-token": token}).status_code == 401


@pytest.mark.parametrize("how", ["variable", "file"])
def test_pod_identity_as_botocore_asks(identity, aws, tmp_path, how):
    aws.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", identity.url + "/v1/credentials")
    if how == "file":
        (tmp_path / "token").write_text(identity.container_token)
        aws.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    else:
        aws.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", identity.container_token)
    found = Session().get_credentials()
    assert found.method == "container-role" and identity.live(found.get_frozen_credentials().access_key)


def test_pod_identity_is_strict(identity):
    assert requests.get(identity.url + "/v1/credentials").status_code == 401
    assert requests.get(identity.url + "/v1/credentials", headers={"Authorization": "Bearer " + identity.container_token}).status_code == 401


def web_identity(aws, minio, path, token):
    path.write_text(token)
    aws.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(path))
    aws.setenv("AWS_ROLE_ARN", minio.role)
    aws.setenv("AWS_ENDPOINT_URL_STS", minio.url)
    return Session().get_credentials().get_frozen_credentials()


def test_web_identity_as_botocore_asks(identity, minio, aws, tmp_path):
    got = web_identity(aws, minio, tmp_path / "token", identity.web_identity())
    bucket = minio.bucket()
    minio.client(key=got.access_key, secret=got.secret_key, token=got.token).put_object(Bucket=bucket, Key="k", Body=b"v")
    assert minio.get(bucket, "k") == b"v"
    with pytest.raises(ClientError):
        minio.client(key=got.access_key, secret=got.secret_key, token=got.token[:-4] + "AAAA").list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("wrong", ["key", "audience", "expired"])
def test_web_identity_is_strict(identity, minio, aws, tmp_path, wrong):
    token = {
        "key": lambda: identity.web_identity(key=identity_server.new_key()),
        "audience": lambda: identity.web_identity(audience="somebody"),
        "expired": lambda: identity.web_identity(lifetime=-60),
    }[wrong]()
    with pytest.raises(ClientError):
        web_identity(aws, minio, tmp_path / "token", token)


def test_session_of_a_policy(minio):
    bucket = minio.bucket()
    key = minio.session({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::*"]}]})
    client = minio.client(key=key["AccessKeyId"], secret=key["SecretAccessKey"], token=key["Token"])
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket=bucket, Key="k", Body=b"")


# ---- Google ----


def test_service_account_as_google_auth_asks(identity, tmp_path):
    found = service_account.Credentials.from_service_account_file(identity.service_account_file(tmp_path / "key.json"), scopes=[STORAGE])
    found.refresh(ASK)
    token = identity.token_of(found.token)
    assert (token.principal, token.scopes) == (identity.account.email, {STORAGE})


@pytest.mark.parametrize("wrong", ["key", "account", "expired", "audience", "long", "scope", "future"])
def test_service_account_is_strict(identity, wrong):
    now = int(time.time())
    claims = {"iss": identity.account.email, "aud": identity_server.GOOGLE_TOKEN, "iat": now, "exp": now + 3600, "scope": STORAGE}
    key = identity.account.key
    if wrong == "key":
        key = identity_server.new_key()
    claims |= {"account": {"iss": "x@y"}, "expired": {"iat": now - 7200, "exp": now - 3600}, "audience": {"aud": "https://else/"}, "long": {"exp": now + 7200},
               "scope": {"scope": ""}, "future": {"iat": now + 600, "exp": now + 700}}.get(wrong, {})
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": jwt.encode(claims, key, "RS256")}
    reply = requests.post(identity.url + "/token", data=form)
    assert reply.status_code == 400 and reply.json()["error"] in ("invalid_grant", "invalid_scope")


def default(monkeypatch, path, scopes=(PLATFORM,)):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", identity_server.PROJECT)
    found, _ = google.auth.default(scopes=list(scopes))
    found.refresh(ASK)
    return found


def test_user_as_google_auth_asks(identity, tmp_path):
    """google-auth itself ignores token_uri of such a file."""
    content = json.loads(pathlib.Path(identity.authorized_user_file(tmp_path / "user.json")).read_text())
    del content["type"]
    found = credentials.Credentials(None, **content)
    found.refresh(ASK)
    assert identity.token_of(found.token).principal == "user"
    for changed in ({"refresh_token": "1//x"}, {"client_secret": "x"}):
        with pytest.raises(exceptions.RefreshError):
            credentials.Credentials(None, **{**content, **changed}).refresh(ASK)


def test_external_account_as_google_auth_asks(identity, tmp_path, monkeypatch):
    (tmp_path / "token").write_text(identity.web_identity())
    found = default(monkeypatch, identity.external_account_file(tmp_path / "a.json", tmp_path / "token"))
    assert identity.token_of(found.token).principal == "federated"
    found = default(monkeypatch, identity.external_account_file(tmp_path / "b.json", tmp_path / "token", impersonate=identity.account.email), [STORAGE])
    token = identity.token_of(found.token)
    assert (token.principal, token.scopes) == (identity.account.email, {STORAGE})
    with pytest.raises(exceptions.RefreshError):
        default(monkeypatch, identity.external_account_file(tmp_path / "c.json", tmp_path / "token", impersonate="other@x"))
    (tmp_path / "token").write_text(identity.web_identity(lifetime=-60))
    with pytest.raises(exceptions.OAuthError):
        default(monkeypatch, identity.external_account_file(tmp_path / "d.json", tmp_path / "token"))


def test_external_account_of_aws(identity, tmp_path, monkeypatch):
    """google-auth signs GetCallerIdentity with keys of IMDSv2; the exchange verifies that signature."""
    source = {
        "environment_id": "aws1", "region_url": identity.url + "/latest/meta-data/placement/availability-zone",
        "url": identity.url + "/latest/meta-data/iam/security-credentials",
        "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
        "imdsv2_session_token_url": identity.url + "/latest/api/token"}
    changed = {"subject_token_type": "urn:ietf:params:aws:token-type:aws4_request", "credential_source": source}
    found = default(monkeypatch, identity.external_account_file(tmp_path / "a.json", "", **changed))
    assert identity.token_of(found.token).principal == "federated"
    usual = identity.supply
    monkeypatch.setattr(identity, "supply", lambda: {**usual(), "AccessKeyId": "SAME"})
    identity.given.clear()
    default(monkeypatch, tmp_path / "a.json")
    identity.given[:] = [({**identity.given[0][0], "SecretAccessKey": "another"}, time.time() + 60)]
    monkeypatch.setattr(identity, "aws_key", lambda: {**usual(), "AccessKeyId": "SAME", "Expiration": "2099-01-01T00:00:00Z"})
    with pytest.raises(exceptions.OAuthError, match="SignatureDoesNotMatch"):
        default(monkeypatch, tmp_path / "a.json")


def test_metadata_as_google_auth_asks(identity, monkeypatch):
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", f"{identity.host}:{identity.port}")
    monkeypatch.setattr(_metadata, "_GCE_DEFAULT_MDS_IP", f"{identity.host}:{identity.port}")
    assert _metadata.ping(ASK)
    found = compute_engine.Credentials()
    found.refresh(ASK)
    assert found.service_account_email == identity.account.email
    assert identity.token_of(found.token).scopes == {PLATFORM, STORAGE}


def test_metadata_is_strict(identity):
    token = identity.url + "/computeMetadata/v1/instance/service-accounts/default/token"
    assert requests.get(token).status_code == 403
    assert requests.get(token, headers={"Metadata-Flavor": "google"}).status_code == 403
    assert requests.get(token, headers={"Metadata-Flavor": "Google", "X-Forwarded-For": "1.1.1.1"}).status_code == 403
    good = requests.get(token, headers={"Metadata-Flavor": "Google"})
    assert good.status_code == 200 and good.headers["Metadata-Flavor"] == "Google"


def test_sign_blob_as_google_auth_asks(identity, monkeypatch):
    from google.auth import iam

    monkeypatch.setattr(iam, "_IAM_SIGN_ENDPOINT", identity.url + "/v1/projects/-/serviceAccounts/{}:signBlob")
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", f"{identity.host}:{identity.port}")
    source = compute_engine.Credentials()
    source.refresh(ASK)
    signed = iam.Signer(ASK, source, identity.account.email).sign(b"text")
    identity.account.managed.public_key().verify(signed, b"text", identity_server.padding.PKCS1v15(), identity_server.hashes.SHA256())
    other = identity.add_account("other@x")
    with pytest.raises(exceptions.TransportError, match="PERMISSION_DENIED"):
        iam.Signer(ASK, source, other.email).sign(b"text")


def test_tokens_end(identity, tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "lifetime", 1)
    found = service_account.Credentials.from_service_account_file(identity.service_account_file(tmp_path / "key.json"), scopes=[STORAGE])
    found.refresh(ASK)
    assert identity.token_of(found.token)
    time.sleep(1.1)
    assert not identity.token_of(found.token)


def test_broken_as_told(identity):
    identity.broken["/v1/credentials"] = (500, "no", 1)
    ask = {"Authorization": identity.container_token}
    assert [requests.get(identity.url + "/v1/credentials", headers=ask).status_code for _ in range(2)] == [500, 200]
    assert AUDIENCE.startswith("//iam.googleapis.com/")
