# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Users of a daemon with --app-name basic-auth, for tests.

CAPSTAN_TEST_AUTH_URL  a server with accounts that runs already, for instance MLflow itself
"""

import contextlib
import os
import uuid

import requests
from mlflow import MlflowClient

REFERENCE = os.environ.get("CAPSTAN_TEST_AUTH_URL")
ADMIN = ("admin", "an admin's long password")
PASSWORD = "a user's long password"
FLAGS = ("--app-name", "basic-auth")


def environment(directory, default="READ", **more):
    """Environment of such a daemon; its configuration file is written into the directory."""
    path = os.path.join(str(directory), f"auth-{default}.ini")
    with open(path, "w") as f:
        f.write(f"[mlflow]\ndefault_permission = {default}\ndatabase_uri = sqlite:///ignored.db\n")
    return {
        "MLFLOW_AUTH_CONFIG_PATH": path,
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
        **more,
    }


class Account:
    """REST and the real client as one user."""

    def __init__(self, url, name, password):
        self.url, self.name, self.password = url, name, password
        self.session = requests.Session()
        self.session.auth = (name, password)
        self.session.trust_env = False

    def send(self, method, path, body=None, **options):
        if not path.startswith("/"):
            path = "/api/2.0/mlflow/" + path
        return self.session.request(method, self.url + path, json=body, timeout=60, **options)

    def get(self, path, params=None, **options):
        return self.send("GET", path, params=params, **options)

    def post(self, path, body=None, **options):
        return self.send("POST", path, {} if body is None else body, **options)

    def ok(self, method, path, body=None, **options):
        reply = self.send(method, path, body, **options)
        assert reply.status_code == 200, (self.name, method, path, reply.status_code, reply.text)
        return reply.json() if reply.text else {}

    def refused(self, method, path, body=None, **options):
        """As MLflow's auth app says it."""
        reply = self.send(method, path, body, **options)
        assert (reply.status_code, reply.text) == (403, "Permission denied"), (
            self.name,
            method,
            path,
            reply.status_code,
            reply.text,
        )

    @contextlib.contextmanager
    def client(self):
        """MlflowClient reads its user from the environment at each request."""
        names = {"MLFLOW_TRACKING_USERNAME": self.name, "MLFLOW_TRACKING_PASSWORD": self.password}
        before = {name: os.environ.get(name) for name in names}
        os.environ.update(names)
        try:
            yield MlflowClient(self.url)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name)
                else:
                    os.environ[name] = value


class Accounts:
    def __init__(self, url):
        self.url = url
        self.admin = Account(url, *ADMIN)
        self.nobody = Account(url, *ADMIN)
        self.nobody.session.auth = None

    def user(self, *grants):
        """A new one, with grants (type, id, permission)."""
        name = "user-" + uuid.uuid4().hex[:10]
        self.admin.ok("POST", "users/create", {"username": name, "password": PASSWORD})
        account = Account(self.url, name, PASSWORD)
        for grant in grants:
            self.grant(account, *grant)
        return account

    def _permissions(self, what, body):
        self.admin.ok("POST", f"/api/3.0/mlflow/users/permissions/{what}", body)

    def grant(self, account, resource, identifier, permission):
        self._permissions(
            "grant",
            {
                "username": account.name,
                "resource_type": resource,
                "resource_id": str(identifier),
                "permission": permission,
            },
        )

    def revoke(self, account, resource, identifier):
        self._permissions(
            "revoke",
            {
                "username": account.name,
                "resource_type": resource,
                "resource_id": str(identifier),
            },
        )
