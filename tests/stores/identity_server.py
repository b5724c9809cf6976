# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Where daemons get their credentials from: IMDSv2, the container endpoint of ECS and EKS Pod Identity, keys for web identities
(OpenID), GCE metadata, OAuth tokens, RFC 8693 exchange, impersonation and signBlob. Strict: a request that the real
services refuse is refused. test_identity_server.py holds it against botocore's and google-auth's own providers.

lifetime    seconds that what is given out from now on lives
supply()    an AWS key: {"AccessKeyId", "SecretAccessKey", "Token"}; a test puts its own here
broken      {path prefix: (status, body, times)}: answers so instead, `times` times
delay       seconds before each answer
"""

import base64
import datetime
import hashlib
import hmac
import json
import secrets
import time
from urllib.parse import parse_qs, quote, unquote, urlsplit

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .service import Service

ROLE = "capstan-role"
PROJECT = "capstan-test"
GOOGLE_TOKEN = "https://oauth2.googleapis.com/token"
PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
STORAGE = "https://www.googleapis.com/auth/devstorage.read_write"
AUDIENCE = "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/pool/providers/provider"


def stamp(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


class Account:
    """A service account: a key of the user's (in key files), and one that only IAM holds."""

    def __init__(self, email):
        self.email = email
        self.key_id = secrets.token_hex(20)
        self.key = new_key()
        self.managed_id = secrets.token_hex(20)
        self.managed = new_key()

    def public_keys(self):
        return [self.key.public_key(), self.managed.public_key()]


class Token:
    def __init__(self, principal, scopes, expires):
        self.principal, self.scopes, self.expires = principal, set(scopes), expires


class IdentityServer(Service):
    def __init__(self):
        super().__init__()
        self.lifetime = 3600
        self.delay = 0
        self.broken = {}
        self.imds_tokens = {}
        self.container_token = secrets.token_hex(16)
        self.given = []                 # AWS keys: (key, expires)
        self.tokens = {}                # Google's
        self.signer = new_key()         # of web identities
        self.accounts = {}
        self.account = self.add_account(f"daemon@{PROJECT}.iam.gserviceaccount.com")
        self.metadata_email = self.account.email
        self.metadata_scopes = [PLATFORM, STORAGE]
        self.user = {"client_id": "client-" + secrets.token_hex(4), "client_secret": secrets.token_hex(8), "refresh_token": "1//" + secrets.token_hex(16)}
        self.federated_may = {self.account.email}   # accounts that exchanged tokens may act as
        self.supply = lambda: {"AccessKeyId": "ASIA" + secrets.token_hex(8).upper(), "SecretAccessKey": secrets.token_hex(20), "Token": secrets.token_hex(30)}

    # ---- what tests set up with it ----

    def add_account(self, email):
        self.accounts[email] = Account(email)
        return self.accounts[email]

    def web_identity(self, lifetime=600, audience="capstan-test", key=None, **claims):
        """A signed token, as a kubelet projects it."""
        now = int(time.time())
        payload = {"iss": self.url, "sub": "system:serviceaccount:ml:capstan", "aud": audience, "iat": now, "exp": now + lifetime, "jti": secrets.token_hex(8), **claims}
        return jwt.encode(payload, key or self.signer, "RS256", {"kid": "web"})

    def service_account_file(self, path, account=None, **changed):
        account = account or self.account
        return self.write(path, {
            "type": "service_account", "project_id": PROJECT, "private_key_id": account.key_id, "private_key": pem(account.key),
            "client_email": account.email, "client_id": "1", "token_uri": self.url + "/token", "universe_domain": "googleapis.com", **changed})

    def authorized_user_file(self, path, **changed):
        return self.write(path, {"type": "authorized_user", **self.user, "token_uri": self.url + "/token", **changed})

    def external_account_file(self, path, token_file, impersonate=None, **changed):
        content = {
            "type": "external_account", "audience": AUDIENCE, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": self.url + "/v1/token", "credential_source": {"file": str(token_file)}, "universe_domain": "googleapis.com"}
        if impersonate:
            content["service_account_impersonation_url"] = f"{self.url}/v1/projects/-/serviceAccounts/{impersonate}:generateAccessToken"
        return self.write(path, {**content, **changed})

    @staticmethod
    def write(path, content):
        with open(path, "w") as f:
            json.dump(content, f)
        return str(path)

    def token_of(self, value):
        """The live token of this text, None for any other."""
        token = self.tokens.get(value)
        return token if token and token.expires > time.time() else None

    def revoke(self):
        """All tokens and keys given out so far are good no more."""
        with self.lock:
            for token in self.tokens.values():
                token.expires = 0
            self.given = [(key, 0) for key, _ in self.given]

    def live(self, key_id):
        """Whether the AWS key is still good."""
        return any(key["AccessKeyId"] == key_id and expires > time.time() for key, expires in self.given)

    # ---- requests ----

    def handle(self, r):
        if self.delay:
            time.sleep(self.delay)
        for prefix, (status, body, times) in list(self.broken.items()):
            if r.path_only.startswith(prefix) and times > 0:
                self.broken[prefix] = (status, body, times - 1)
                return r.reply(status, body)
        path = r.path_only
        if path.startswith("/latest/"):
            return self.imds(r, path)
        if path == "/v1/credentials":
            return self.container(r)
        if path == "/.well-known/openid-configuration":
            return r.reply(200, {"issuer": self.url, "jwks_uri": self.url + "/jwks", "authorization_endpoint": self.url + "/authorize",
                                 "token_endpoint": self.url + "/openid-token", "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
                                 "id_token_signing_alg_values_supported": ["RS256"]})
        if path == "/jwks":
            return r.reply(200, {"keys": [{**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.signer.public_key())), "kid": "web", "use": "sig", "alg": "RS256"}]})
        if path == "/" or path.startswith("/computeMetadata/"):
            return self.metadata(r, path)
        if path == "/token" and r.command == "POST":
            return self.oauth(r)
        if path == "/v1/token" and r.command == "POST":
            return self.exchange(r)
        if path.startswith("/v1/projects/-/serviceAccounts/") and r.command == "POST":
            return self.iam(r, path.removeprefix("/v1/projects/-/serviceAccounts/"))
        return r.reply(404, "not found")

    # ---- AWS ----

    def aws_key(self):
        key = self.supply()
        expires = time.time() + self.lifetime
        with self.lock:
            self.given.append((key, expires))
        return {**key, "Expiration": stamp(expires)}

    def imds(self, r, path):
        if "X-Forwarded-For" in r.headers:
            return r.reply(403, "forwarded")
        if path == "/latest/api/token":
            ttl = r.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if r.command != "PUT":
                return r.reply(405, "")
            if not (ttl.isdigit() and 1 <= int(ttl) <= 21600):
                return r.reply(400, "Bad Request")
            token = secrets.token_urlsafe(40)
            with self.lock:
                self.imds_tokens[token] = time.time() + min(int(ttl), self.lifetime)
            return r.reply(200, token, {"X-aws-ec2-metadata-token-ttl-seconds": ttl})
        if r.command != "GET":
            return r.reply(405, "")
        if self.imds_tokens.get(r.headers.get("X-aws-ec2-metadata-token", ""), 0) < time.time():
            return r.reply(401, "Unauthorized")
        folder = "/latest/meta-data/iam/security-credentials/"
        if path in (folder, folder[:-1]):
            return r.reply(200, ROLE)
        if path == folder + ROLE:
            return r.reply(200, json.dumps({"Code": "Success", "LastUpdated": stamp(time.time()), "Type": "AWS-HMAC", **self.aws_key()}, indent=2))
        if path == "/latest/meta-data/placement/region":
            return r.reply(200, "us-east-1")
        if path == "/latest/meta-data/placement/availability-zone":
            return r.reply(200, "us-east-1a")
        return r.reply(404, "not found")

    def container(self, r):
        if r.command != "GET" or r.headers.get("Authorization") != self.container_token:
            return r.reply(401, {"message": "no such token"})
        return r.reply(200, {**self.aws_key(), "AccountId": "123456789012"})

    # ---- Google ----

    def issue(self, principal, scopes, lifetime=None):
        token = "ya29." + secrets.token_urlsafe(48)
        with self.lock:
            self.tokens[token] = Token(principal, scopes, time.time() + (lifetime or self.lifetime))
        return token

    def metadata(self, r, path):
        google = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
        if r.headers.get("Metadata-Flavor") != "Google":
            return r.reply(403 if path != "/" else 200, "Missing required header: Metadata-Flavor\n", google)
        if "X-Forwarded-For" in r.headers:
            return r.reply(403, "forwarded", google)
        if r.command != "GET":
            return r.reply(405, "", google)
        path = path.removeprefix("/computeMetadata/v1").rstrip("/")
        accounts = "/instance/service-accounts"
        for name in ("default", self.metadata_email):
            if path == f"{accounts}/{name}/token":
                scopes = r.query.get("scopes", "").replace(" ", ",").split(",") if r.query.get("scopes") else self.metadata_scopes
                if not set(scopes) <= set(self.metadata_scopes):
                    return r.reply(400, "scopes", google)
                return r.reply(200, {"access_token": self.issue(self.metadata_email, scopes), "expires_in": int(self.lifetime), "token_type": "Bearer"}, google)
            if path == f"{accounts}/{name}/email":
                return r.reply(200, self.metadata_email, {**google, "Content-Type": "application/text"})
            if path == f"{accounts}/{name}/scopes":
                return r.reply(200, "".join(s + "\n" for s in self.metadata_scopes), {**google, "Content-Type": "application/text"})
            if path == f"{accounts}/{name}" and r.query.get("recursive") == "true":
                return r.reply(200, {"aliases": ["default"], "email": self.metadata_email, "scopes": self.metadata_scopes}, google)
        found = {"": "computeMetadata/\n", "/project/project-id": PROJECT, "/project/numeric-project-id": "123", "/universe/universe-domain": "googleapis.com",
                 "/universe/universe_domain": "googleapis.com",
                 accounts: f"default/\n{self.metadata_email}/\n"}.get(path)
        if found is None:
            return r.reply(404, "not found", google)
        return r.reply(200, found, {**google, "Content-Type": "application/text"})

    @staticmethod
    def form(r):
        if r.headers.get("Content-Type", "").split(";")[0] != "application/x-www-form-urlencoded":
            return {}
        return {k: v[0] for k, v in parse_qs(r.body().decode()).items()}

    @staticmethod
    def refuse(r, status, error, why):
        return r.reply(status, {"error": error, "error_description": why})

    def grant(self, r, principal, scopes, **more):
        return r.reply(200, {"access_token": self.issue(principal, scopes), "expires_in": int(self.lifetime), "token_type": "Bearer", **more})

    def oauth(self, r):
        form = self.form(r)
        kind = form.get("grant_type")
        if kind == "refresh_token":
            if form.get("client_id") != self.user["client_id"] or form.get("client_secret") != self.user["client_secret"]:
                return self.refuse(r, 401, "invalid_client", "The OAuth client was not found.")
            if form.get("refresh_token") != self.user["refresh_token"]:
                return self.refuse(r, 400, "invalid_grant", "Bad Request")
            return self.grant(r, "user", [PLATFORM], scope=PLATFORM)
        if kind != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return self.refuse(r, 400, "unsupported_grant_type", f"Invalid grant_type: {kind}")
        try:
            assertion = form["assertion"]
            claimed = jwt.decode(assertion, options={"verify_signature": False})
            account = self.accounts[claimed["iss"]]
            if jwt.get_unverified_header(assertion).get("kid") not in (None, account.key_id):
                return self.refuse(r, 400, "invalid_grant", "Invalid JWT Signature.")
            claims = jwt.decode(assertion, account.key.public_key(), ["RS256"], audience=[self.url + "/token", GOOGLE_TOKEN],
                                options={"require": ["iss", "aud", "exp", "iat"]})
        except KeyError:
            return self.refuse(r, 400, "invalid_grant", "Invalid grant: account not found")
        except jwt.InvalidSignatureError:
            return self.refuse(r, 400, "invalid_grant", "Invalid JWT Signature.")
        except jwt.PyJWTError as e:
            return self.refuse(r, 400, "invalid_grant", f"Invalid JWT: {e}")
        if not 0 < claims["exp"] - claims["iat"] <= 3600:
            return self.refuse(r, 400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)")
        if not claims.get("scope"):
            return self.refuse(r, 400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return self.grant(r, account.email, claims["scope"].split())

    def exchange(self, r):
        form = self.form(r)
        wanted = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": AUDIENCE,
                  "requested_token_type": "urn:ietf:params:oauth:token-type:access_token"}
        for name, value in wanted.items():
            if form.get(name) != value:
                return self.refuse(r, 400, "invalid_request", f"Invalid value for {name}.")
        if not form.get("scope"):
            return self.refuse(r, 400, "invalid_scope", "no scope")
        kind, subject = form.get("subject_token_type"), form.get("subject_token", "")
        if kind in ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"):
            try:
                jwt.decode(subject, self.signer.public_key(), ["RS256"], audience="capstan-test", issuer=self.url)
            except jwt.PyJWTError as e:
                return self.refuse(r, 400, "invalid_grant", f"The given credential is rejected by the attribute condition: {e}")
        elif kind == "urn:ietf:params:aws:token-type:aws4_request":
            why = self.wrong_caller(subject)
            if why:
                return self.refuse(r, 400, "invalid_grant", why)
        else:
            return self.refuse(r, 400, "invalid_request", "subject_token_type")
        return self.grant(r, "federated", form["scope"].split(), issued_token_type="urn:ietf:params:oauth:token-type:access_token")

    def wrong_caller(self, subject):
        """Why the signed GetCallerIdentity in it is not good; None: it is."""
        try:
            call = json.loads(unquote(subject))
            headers = {h["key"].lower(): h["value"] for h in call["headers"]}
            at = urlsplit(call["url"])
            algorithm, rest = headers["authorization"].split(" ", 1)
            fields = dict(f.strip().split("=", 1) for f in rest.split(","))
            key_id, day, region, service, _ = fields["Credential"].split("/")
            secret = next(k["SecretAccessKey"] for k, expires in self.given if k["AccessKeyId"] == key_id and expires > time.time())
        except (ValueError, KeyError, StopIteration, TypeError) as e:
            return f"Unable to parse the AWS request: {e!r}"
        signed = fields["SignedHeaders"].split(";")
        if algorithm != "AWS4-HMAC-SHA256" or call["method"] != "POST" or headers.get("x-goog-cloud-target-resource") != AUDIENCE:
            return "not a request for this audience"
        # google-auth adds x-goog-cloud-target-resource after it signed.
        if "host" not in signed or "x-amz-date" not in signed or headers.get("host", at.netloc) != at.netloc:
            return "headers are not signed"
        if not at.hostname.startswith("sts.") or parse_qs(at.query).get("Action") != ["GetCallerIdentity"]:
            return "not GetCallerIdentity"
        pairs = sorted(tuple(p.split("=", 1)) for p in at.query.split("&"))
        canonical = "\n".join(["POST", at.path or "/", "&".join(f"{quote(unquote(k), safe='-_.~')}={quote(unquote(v), safe='-_.~')}" for k, v in pairs),
                               *[f"{h}:{' '.join(headers[h].split())}" for h in signed], "", ";".join(signed), hashlib.sha256(b"").hexdigest()])
        text = "\n".join([algorithm, headers["x-amz-date"], f"{day}/{region}/{service}/aws4_request", hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + secret).encode()
        for part in (day, region, service, "aws4_request", text):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return None if hmac.compare_digest(key.hex(), fields["Signature"]) else "SignatureDoesNotMatch"

    def iam(self, r, what):
        """generateAccessToken and signBlob of iamcredentials.googleapis.com."""
        def error(status, code, why):
            return r.reply(status, {"error": {"code": status, "message": why, "status": code}})

        caller = self.token_of(r.headers.get("Authorization", "").removeprefix("Bearer "))
        email, _, verb = unquote(what).partition(":")
        body = json.loads(r.body() or b"{}")
        if not caller:
            return error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if not caller.scopes & {PLATFORM, "https://www.googleapis.com/auth/iam"}:
            return error(403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
        account = self.accounts.get(email)
        if not account or not (caller.principal == email or (caller.principal == "federated" and email in self.federated_may)):
            return error(403, "PERMISSION_DENIED", f"Permission 'iam.serviceAccounts.{verb}' denied on resource (or it may not exist).")
        if verb == "generateAccessToken" and body.get("scope"):
            return r.reply(200, {"accessToken": self.issue(email, body["scope"]), "expireTime": stamp(time.time() + self.lifetime)})
        if verb == "signBlob" and body.get("payload"):
            signed = account.managed.sign(base64.b64decode(body["payload"]), padding.PKCS1v15(), hashes.SHA256())
            return r.reply(200, {"keyId": account.managed_id, "signedBlob": base64.b64encode(signed).decode()})
        return error(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
