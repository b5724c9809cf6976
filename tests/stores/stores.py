# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Starts the real object stores that tools/stores.sh builds, on free ports, with data of their own that goes when they do.

    with Versitygw() as s3:
        s3.bucket("b"); s3.client().put_object(...); daemon_environment = s3.environment()
"""

import base64
import contextlib
import ctypes
import functools
import hashlib
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from .gcs_gate import GcsGate
from .identity_server import PLATFORM, IdentityServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
REGION = "us-east-1"
NOWHERE = "/nonexistent/capstan"
SLOW = float(os.environ.get("CAPSTAN_TEST_SLOW", "1"))
# What of the machine must not reach a daemon or a client under test.
CLOUD = ("AWS_", "GOOGLE_", "GCE_", "STORAGE_EMULATOR", "CLOUDSDK_", "MLFLOW_S3_", "NO_GCE_CHECK")
LIBC = ctypes.CDLL(None)


@functools.cache
def directory():
    """Where the servers are; builds them if need be."""
    made = subprocess.run(["sh", str(ROOT / "tools" / "stores.sh")], check=True, stdout=subprocess.PIPE, text=True)
    return made.stdout.strip()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, seconds=30.0, what="the condition"):
    deadline = time.monotonic() + seconds * SLOW
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds * SLOW:.0f} s")
        time.sleep(0.02)
    return value


def has_attributes(path):
    """Whether files there may have extended attributes."""
    try:
        os.setxattr(path, "user.capstan", b"1")
        os.removexattr(path, "user.capstan")
        return True
    except OSError:
        return False


class Program:
    """A server of somebody else's: its directory, its log, its end."""

    name = "store"

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix=f"capstan-{self.name}-")
        self.log_path = os.path.join(self.dir, "log")
        self.host, self.port = "127.0.0.1", free_port()
        self.process = None

    def command(self):
        raise NotImplementedError

    def program_environment(self):
        return {}

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    def start(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith((*CLOUD, "MINIO_", "VGW_", "ROOT_"))}
        env.update(HOME=self.dir, **self.program_environment())
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), env=env, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                # It must not outlive tests that were killed.
                preexec_fn=lambda: LIBC.prctl(1, signal.SIGKILL),
            )
        try:
            wait_for(lambda: self.process.poll() is not None or self.ready(), 60, f"{self.name} to answer")
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} left with {self.process.returncode}:\n{self.log()[-3000:]}")
        except BaseException:
            self.close()
            raise
        return self

    def ready(self):
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port), 1).close()
            return True
        return False

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def stop(self):
        """At once: they would wait for connections that are kept, and their data goes anyway."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def close(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


class S3(Program):
    """What versitygw and MinIO have in common."""

    scheme = "s3"

    def __init__(self):
        super().__init__()
        self.key = "AK" + secrets.token_hex(8).upper()
        self.secret = secrets.token_hex(20)
        self.data = os.path.join(self.dir, "data")
        os.mkdir(self.data)

    def environment(self, endpoint=None, key=None, secret=None, token=None, **more):
        """For a daemon or MLflow client; endpoint: a proxy before it."""
        env = {
            "AWS_ACCESS_KEY_ID": key or self.key,
            "AWS_SECRET_ACCESS_KEY": secret or self.secret,
            **self.without_keys(endpoint),
        }
        if token:
            env["AWS_SESSION_TOKEN"] = token
        return {**env, **more}

    def without_keys(self, endpoint=None, **more):
        """Where it is, and nothing of the machine's own credentials."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": endpoint or self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": NOWHERE,
            "AWS_SHARED_CREDENTIALS_FILE": NOWHERE,
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }

    def client(self, service="s3", endpoint=None, key=None, secret=None, token=None, verify=None, style="path"):
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            service, endpoint_url=endpoint or self.url, region_name=REGION, aws_access_key_id=key or self.key,
            aws_secret_access_key=secret or self.secret, aws_session_token=token, verify=verify,
            config=Config(signature_version="s3v4", s3={"addressing_style": style}, retries={"max_attempts": 2}, max_pool_connections=32),
        )

    @functools.cached_property
    def own(self):
        """The tests' client: to make one takes a twentieth of a second."""
        return self.client()

    def bucket(self, name=None):
        """A new bucket's name."""
        name = name or f"test-{secrets.token_hex(6)}"
        self.own.create_bucket(Bucket=name)
        return name

    def uri(self, bucket, prefix=""):
        return f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"

    def put(self, bucket, key, data, **options):
        self.own.put_object(Bucket=bucket, Key=key, Body=data, **options)

    def get(self, bucket, key):
        """Its bytes, None: no such object."""
        try:
            return self.own.get_object(Bucket=bucket, Key=key)["Body"].read()
        except self.own.exceptions.NoSuchKey:
            return None

    def keys(self, bucket, prefix=""):
        """All keys with their sizes."""
        pages = self.own.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", [])}

    def uploads(self, bucket):
        """Multipart uploads that were begun and not ended, by key."""
        return [u["Key"] for u in self.own.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


class Versitygw(S3):
    """certificate: (certificate file, key file) makes it speak TLS. users: others than root may be made."""

    name = "versitygw"

    def __init__(self, certificate=None, users=False):
        super().__init__()
        self.certificate = certificate
        self.users = users

    @property
    def url(self):
        return f"{'https' if self.certificate else 'http'}://{self.host}:{self.port}"

    def command(self):
        command = [os.path.join(directory(), "versitygw"), "-p", f"{self.host}:{self.port}", "-r", REGION,
                   "--keep-alive", "--quiet", "--virtual-domain", "s3.localhost"]
        if self.certificate:
            command += ["--cert", os.path.abspath(self.certificate[0]), "--key", os.path.abspath(self.certificate[1])]
        if self.users:
            os.makedirs(os.path.join(self.dir, "iam"), exist_ok=True)
            command += ["--iam-dir", os.path.join(self.dir, "iam"), "--iam-cache-disable"]
        command.append("posix")
        if not has_attributes(self.data):
            os.makedirs(os.path.join(self.dir, "sidecar"), exist_ok=True)
            command += ["--sidecar", os.path.join(self.dir, "sidecar")]
        return [*command, self.data]

    def program_environment(self):
        return {"ROOT_ACCESS_KEY": self.key, "ROOT_SECRET_KEY": self.secret}

    def user(self, role="user"):
        """Another user's key and secret: one who may do nothing with buckets of root's."""
        key, secret = "USER" + secrets.token_hex(6).upper(), secrets.token_hex(20)
        subprocess.run(
            [os.path.join(directory(), "versitygw"), "admin", "--access", self.key, "--secret", self.secret, "--endpoint-url", self.url,
             "create-user", "--access", key, "--secret", secret, "--role", role],
            check=True, stdout=subprocess.DEVNULL)
        return key, secret


class Minio(S3):
    """With STS: web identities signed by the identity server's key may read and write."""

    name = "minio"

    def __init__(self, identity=None):
        super().__init__()
        self.identity = identity

    def command(self):
        return [os.path.join(directory(), "minio"), "server", "--quiet", "--address", f"{self.host}:{self.port}", self.data]

    def program_environment(self):
        env = {"MINIO_ROOT_USER": self.key, "MINIO_ROOT_PASSWORD": self.secret, "MINIO_SITE_REGION": REGION, "MINIO_DOMAIN": "s3.localhost",
               "MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "MINIO_CALLHOME_ENABLE": "off"}
        if self.identity:
            env |= {"MINIO_IDENTITY_OPENID_CONFIG_URL": self.identity.url + "/.well-known/openid-configuration",
                    "MINIO_IDENTITY_OPENID_CLIENT_ID": "capstan-test", "MINIO_IDENTITY_OPENID_ROLE_POLICY": "readwrite"}
        return env

    def ready(self):
        import urllib.request

        with contextlib.suppress(OSError):
            with urllib.request.urlopen(self.url + "/minio/health/ready", timeout=5) as reply:
                return reply.status == 200
        return False

    @property
    def role(self):
        """MinIO names roles after their client id."""
        return f"arn:minio:iam:{REGION}::role/" + base64.urlsafe_b64encode(hashlib.sha1(b"capstan-test").digest()).rstrip(b"=").decode()

    def session(self, policy=None, seconds=900):
        """Temporary credentials from STS AssumeRole, as the identity server gives them out; policy: a dict, not more than it says."""
        import json

        more = {"Policy": json.dumps(policy)} if policy else {}
        got = self.client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/any", RoleSessionName="test", DurationSeconds=seconds, **more)["Credentials"]
        return {"AccessKeyId": got["AccessKeyId"], "SecretAccessKey": got["SecretAccessKey"], "Token": got["SessionToken"]}


class FakeGcs(Program):
    name = "fake-gcs-server"

    def command(self):
        return [os.path.join(directory(), "fake-gcs-server"), "-scheme", "http", "-host", self.host, "-port", str(self.port), "-backend", "memory",
                "-external-url", self.url, "-public-host", f"{self.host}:{self.port}", "-log-level", "error"]


class Gcs:
    """fake-gcs-server behind the gate; XML multipart uploads go through an S3 store."""

    scheme = "gs"
    name = "gcs"

    def __init__(self, identity, s3):
        self.identity = identity
        self.fake = FakeGcs()
        self.s3 = s3
        self.gate = None
        self.local = threading.local()

    def start(self):
        self.fake.start()
        self.gate = GcsGate(self.fake, self.identity, self.s3).start()
        self.host, self.port, self.url = self.gate.host, self.gate.port, self.gate.url
        self.key_file = self.identity.service_account_file(os.path.join(self.fake.dir, "key.json"))
        return self

    def close(self):
        if self.gate:
            self.gate.close()
        self.fake.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def environment(self, endpoint=None, credentials=True, **more):
        """credentials: a file; True: the service account's; None: none."""
        env = {"STORAGE_EMULATOR_HOST": endpoint or self.url, "CLOUDSDK_CONFIG": NOWHERE, "GOOGLE_CLOUD_PROJECT": "capstan-test",
               "CAPSTAN_GCP_IAM_ENDPOINT": self.identity.url}
        if credentials:
            env["GOOGLE_APPLICATION_CREDENTIALS"] = self.key_file if credentials is True else str(credentials)
        return {**env, **more}

    def client(self):
        """With a token as it is: credentials that refresh themselves ask googleapis.com for more than tokens."""
        from google.cloud import storage
        from google.oauth2 import credentials

        made = credentials.Credentials(self.identity.issue("test", [PLATFORM], 3600))
        return storage.Client(project="capstan-test", credentials=made, client_options={"api_endpoint": self.url})

    @property
    def own(self):
        """The tests' client, one for each thread; until its token is revoked."""
        have = getattr(self.local, "client", None)
        if not have or not self.identity.token_of(have[1]):
            made = self.client()
            have = self.local.client = (made, made._credentials.token)
        return have[0]

    def bucket(self, name=None):
        name = name or f"test-{secrets.token_hex(6)}"
        self.own.create_bucket(name)
        return name

    def uri(self, bucket, prefix=""):
        return f"gs://{bucket}/{prefix}" if prefix else f"gs://{bucket}"

    def put(self, bucket, key, data, content_type="application/octet-stream"):
        self.own.bucket(bucket).blob(key).upload_from_string(data, content_type)

    def get(self, bucket, key):
        from google.api_core.exceptions import NotFound

        try:
            return self.own.bucket(bucket).blob(key).download_as_bytes()
        except NotFound:
            return None

    def keys(self, bucket, prefix=""):
        return {b.name: b.size for b in self.own.list_blobs(bucket, prefix=prefix)}

    def uploads(self, bucket):
        """Uploads that were begun and neither finished nor cancelled, by name: resumable ones, XML multipart."""
        return [s.name for s in list(self.gate.sessions.values()) if s.bucket == bucket and s.open] + self.gate.multipart_keys(bucket)


def clean_environment():
    """Takes the machine's own cloud settings from this process: clients under test read it."""
    for name in [n for n in os.environ if n.startswith(CLOUD)]:
        del os.environ[name]


@contextlib.contextmanager
def everything():
    """One of each: identity, versitygw, minio, gcs."""
    with contextlib.ExitStack() as stack:
        identity = IdentityServer().start()
        stack.callback(identity.close)
        versitygw = stack.enter_context(Versitygw())
        minio = stack.enter_context(Minio(identity))
        gcs = stack.enter_context(Gcs(identity, versitygw))
        yield identity, versitygw, minio, gcs
