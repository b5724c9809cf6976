# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Users, roles and permissions: MLflow's own AuthServiceClient, and the routes as they stand."""

import re
import shutil
import subprocess

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.server.auth.client import AuthServiceClient

import accounts
import capstan_server
import conftest
import exchange
from conftest import REFERENCE, refused, unique

pytestmark = pytest.mark.skipif(
    bool(REFERENCE) and not accounts.REFERENCE, reason="no reference with accounts"
)
V3 = "/api/3.0/mlflow/"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    if accounts.REFERENCE:
        yield conftest.Reference(accounts.REFERENCE)
        return
    made = capstan_server.Server(
        *accounts.FLAGS, env=accounts.environment(tmp_path_factory.mktemp("auth"))
    ).start()
    try:
        exchange.record(made.url)
        yield made
        made.stop()
        made.check()
    finally:
        made.close()


@pytest.fixture(scope="module")
def people(daemon):
    return accounts.Accounts(daemon.url)


@pytest.fixture
def admin(people):
    return people.admin


@pytest.fixture
def service(people):
    """AuthServiceClient as the admin."""
    with people.admin.client():
        yield AuthServiceClient(people.url)


def failing(call, *arguments, code="INVALID_PARAMETER_VALUE", text="", **options):
    with pytest.raises(MlflowException, match=re.escape(text)) as caught:
        call(*arguments, **options)
    assert caught.value.error_code == code, caught.value


# ---- users


def test_users(service):
    name = unique("anna")
    made = service.create_user(name, accounts.PASSWORD)
    assert (made.username, made.is_admin, made.password_hash) == (name, False, "REDACTED")
    assert service.get_user(name).id == made.id
    failing(service.create_user, name, accounts.PASSWORD, code="RESOURCE_ALREADY_EXISTS", text=name)
    service.update_user_admin(name, True)
    assert service.get_user(name).is_admin
    service.update_user_admin(name, False)
    assert not service.get_user(name).is_admin
    service.delete_user(name)
    for call in (service.get_user, service.delete_user):
        failing(
            call,
            name,
            code="RESOURCE_DOES_NOT_EXIST",
            text=f"User with username={name} not found",
        )
    failing(service.update_user_admin, name, True, code="RESOURCE_DOES_NOT_EXIST")
    failing(service.update_user_password, name, accounts.PASSWORD, code="RESOURCE_DOES_NOT_EXIST")


def test_passwords(service, people):
    anna = people.user()
    service.update_user_password(anna.name, "set by the admin")
    assert anna.get("users/current").status_code == 401
    anna = accounts.Account(people.url, anna.name, "set by the admin")
    assert anna.get("users/current").status_code == 200
    with anna.client():
        own = AuthServiceClient(people.url)
        new = "chosen by anna"
        failing(own.update_user_password, anna.name, new, text="Current password is required when")
        failing(
            own.update_user_password,
            anna.name,
            new,
            current_password="a guess at it",
            text="Current password does not match.",
        )
        failing(
            own.update_user_password,
            anna.name,
            anna.password,
            current_password=anna.password,
            text="New password must differ from the current password.",
        )
        failing(
            own.update_user_password,
            anna.name,
            "short",
            current_password=anna.password,
            text="Password must be at least 12 characters.",
        )
        own.update_user_password(anna.name, new, current_password=anna.password)
    assert anna.get("users/current").status_code == 401
    assert accounts.Account(people.url, anna.name, new).get("users/current").status_code == 200
    failing(service.create_user, unique(), "11 letters.", text="Password must be at least 12")
    failing(service.update_user_password, anna.name, "", text="assword")


def test_current_user(people):
    anna = people.user()
    body = anna.ok("GET", "users/current")
    assert body["user"] == {"id": body["user"]["id"], "username": anna.name, "is_admin": False}
    assert body["is_basic_auth"] is True
    assert people.admin.ok("GET", "/ajax-api/2.0/mlflow/users/current")["user"]["is_admin"] is True
    assert anna.ok("GET", V3 + "users/current/permissions") == {
        "is_admin": False,
        "permissions": [],
    }


def test_odd_names(people, admin):
    name = "ünï " + unique("cödé") + "'\"<b>&"
    admin.ok("POST", "users/create", {"username": name, "password": "pässwörd-日本語-12"})
    made = accounts.Account(people.url, name.encode(), "pässwörd-日本語-12".encode())
    assert made.ok("GET", "users/current")["user"]["username"] == name
    assert admin.ok("GET", "users/get", params={"username": name})["user"]["username"] == name


@pytest.mark.ours
def test_impossible_names(admin):
    for name in ("a:b", "a\nb", "x" * 256):
        refused(admin.post("users/create", {"username": name, "password": accounts.PASSWORD}))
    name = unique()
    refused(admin.post("users/create", {"username": name, "password": "x" * 1025}))
    for body in ({"username": 5, "password": accounts.PASSWORD}, {"username": name, "password": 5}):
        refused(admin.post("users/create", body))
    refused(admin.send("PATCH", "users/update-admin", {"username": name, "is_admin": "perhaps"}))


def test_missing_parameters(admin):
    text = "Missing value for required parameter '{}'."
    for method, path, body, missing in (
        ("POST", "users/create", {}, "username"),
        ("POST", "users/create", {"username": "x"}, "password"),
        ("GET", "users/get", None, "username"),
        ("PATCH", "users/update-password", {"username": "admin"}, "password"),
        ("PATCH", "users/update-admin", {"username": "admin"}, "is_admin"),
        ("DELETE", "users/delete", {}, "username"),
        ("GET", V3 + "roles/get", None, "role_id"),
        ("PATCH", V3 + "roles/update", {}, "role_id"),
        ("POST", V3 + "roles/create", {"workspace": "default"}, "name"),
        ("POST", V3 + "roles/permissions/add", {"role_id": 1}, "resource_type"),
        ("POST", V3 + "users/permissions/grant", {"username": "admin"}, "resource_type"),
    ):
        refused(admin.send(method, path, body), text=text.format(missing))


def test_delete_by_query(people, admin):
    anna = people.user()
    reply = admin.session.delete(
        people.url + "/api/2.0/mlflow/users/delete", params={"username": anna.name}, timeout=60
    )
    assert (reply.status_code, reply.json()) == (200, {})
    assert anna.get("users/current").status_code == 401


def test_own_account(people, admin):
    refused(
        admin.send("DELETE", "users/delete", {"username": "admin"}),
        code="BAD_REQUEST",
        text="Users cannot delete their own account.",
    )


def test_a_new_user_of_an_old_name_has_nothing(people):
    anna = people.user(("experiment", "1", "MANAGE"))
    people.admin.ok("DELETE", "users/delete", {"username": anna.name})
    people.admin.ok("POST", "users/create", {"username": anna.name, "password": anna.password})
    assert anna.ok("GET", V3 + "users/current/permissions")["permissions"] == []


def test_what_users_may_not(people):
    anna, ben = people.user(), people.user()
    anna.refused("POST", "users/create", {"username": unique(), "password": accounts.PASSWORD})
    anna.refused("GET", "users/get", params={"username": ben.name})
    anna.refused(
        "PATCH", "users/update-password", {"username": ben.name, "password": "another password"}
    )
    anna.refused("PATCH", "users/update-admin", {"username": anna.name, "is_admin": True})
    anna.refused("DELETE", "users/delete", {"username": ben.name})
    anna.refused("DELETE", "users/delete", {"username": anna.name})
    anna.refused("POST", V3 + "roles/create", {"workspace": "default", "name": unique()})
    anna.refused("GET", V3 + "roles/get", params={"role_id": 999999})
    anna.refused("GET", V3 + "roles/list")
    anna.refused("GET", V3 + "roles/list", params={"workspace": "default"})
    anna.refused("PATCH", V3 + "roles/update", {"role_id": 999999, "name": "x"})
    anna.refused("DELETE", V3 + "roles/delete", {"role_id": 999999})
    anna.refused("DELETE", V3 + "roles/permissions/remove", {"role_permission_id": 999999})
    anna.refused("GET", V3 + "roles/users/list", params={"role_id": 999999})
    for path in ("users/roles/list", "users/permissions/list"):
        anna.refused("GET", V3 + path, params={"username": ben.name})
        anna.refused("GET", V3 + path, params={"username": unique()})
        anna.ok("GET", V3 + path, params={"username": anna.name})
    assert anna.ok("GET", "users/get", params={"username": anna.name})["user"]["id"]
    found = {u["username"]: u for u in anna.ok("GET", "users/list")["users"]}
    assert found[anna.name]["roles"] == found[ben.name]["roles"] == []


# ---- roles


def test_roles(service, admin):
    name = unique("role")
    role = service.create_role("default", name, "what it is for")
    assert (role.name, role.workspace, role.description, role.permissions) == (
        name,
        "default",
        "what it is for",
        [],
    )
    failing(service.create_role, "default", name, code="RESOURCE_ALREADY_EXISTS", text=name)
    assert service.get_role(role.id).name == name
    bare = service.create_role("default", unique("role"))
    assert bare.description is None
    raw = admin.ok("GET", V3 + "roles/get", params={"role_id": bare.id})["role"]
    assert raw == {
        "id": bare.id,
        "name": bare.name,
        "workspace": "default",
        "description": None,
        "permissions": [],
    }
    assert {role.id, bare.id} <= {r.id for r in service.list_roles("default")}
    assert {role.id, bare.id} <= {r.id for r in service.list_all_roles()}
    assert service.list_roles("elsewhere") == []
    assert service.update_role(role.id, description="").description == ""
    assert service.update_role(role.id, name=name + "2").name == name + "2"
    failing(
        service.update_role,
        role.id,
        name=bare.name,
        code="RESOURCE_ALREADY_EXISTS",
        text=f"Role with name={bare.name} already exists in workspace=default",
    )
    failing(service.update_role, role.id, text="At least one of 'name' or 'description' must be")
    for each in ("__user_1__", "__user_x"):
        failing(service.create_role, "default", each, text="uses the reserved '__user_' prefix")
        failing(service.update_role, role.id, name=each, text="uses the reserved '__user_' prefix")
    failing(service.create_role, "default", " ", text="Role name cannot be empty.")
    service.delete_role(role.id)
    missing = f"Role with id={role.id} not found"
    for call in (service.get_role, service.delete_role, service.list_role_permissions):
        failing(call, role.id, code="RESOURCE_DOES_NOT_EXIST", text=missing)
    failing(service.update_role, role.id, name="x", code="RESOURCE_DOES_NOT_EXIST", text=missing)
    failing(service.list_role_users, role.id, code="RESOURCE_DOES_NOT_EXIST", text=missing)


def test_role_permissions(service):
    role = service.create_role("default", unique("role"))
    one = service.add_role_permission(role.id, "experiment", "7", "READ")
    assert (one.role_id, one.resource_type, one.resource_pattern, one.permission) == (
        role.id,
        "experiment",
        "7",
        "READ",
    )
    two = service.add_role_permission(role.id, "registered_model", "*", "DENY")
    failing(
        service.add_role_permission,
        role.id,
        "experiment",
        "7",
        "EDIT",
        code="RESOURCE_ALREADY_EXISTS",
        text="resource_type=experiment, resource_pattern=7) already exists.",
    )
    assert [p.id for p in service.list_role_permissions(role.id)] == [one.id, two.id]
    assert [p.id for p in service.get_role(role.id).permissions] == [one.id, two.id]
    assert service.update_role_permission(one.id, "MANAGE").permission == "MANAGE"
    service.remove_role_permission(one.id)
    missing = f"Role permission with id={one.id} not found"
    failing(
        service.remove_role_permission, one.id, code="RESOURCE_DOES_NOT_EXIST", text=missing
    )
    failing(
        service.update_role_permission,
        one.id,
        "READ",
        code="RESOURCE_DOES_NOT_EXIST",
        text=missing,
    )
    assert [p.id for p in service.list_role_permissions(role.id)] == [two.id]


@pytest.mark.parametrize(
    "resource, pattern, permission, text",
    [
        ("cluster", "*", "READ", "Invalid resource type 'cluster'. Valid resource types are: ("),
        ("experiment", "1", "OWN", "Invalid permission 'OWN'. Valid permissions are: ('READ', "),
        ("experiment", "1", "NO_PERMISSIONS", "accept only: ('DENY', 'EDIT', 'MANAGE', 'READ', "),
        ("workspace", "*", "READ", "Workspace-wide grants accept only: ('MANAGE', 'USE')."),
        ("workspace", "default", "USE", "supports only wildcard ('*') grants."),
        ("run", "abc", "READ", "supports only wildcard ('*') grants."),
        ("prompt_version", "p", "DENY", "supports only wildcard ('*') grants."),
    ],
)
def test_what_cannot_be_granted(service, people, resource, pattern, permission, text):
    role = service.create_role("default", unique("role"))
    failing(service.add_role_permission, role.id, resource, pattern, permission, text=text)
    anna = people.user()
    failing(
        service.grant_user_permission,
        anna.name,
        resource,
        pattern,
        permission,
        text="'workspace' is not supported" if resource == "workspace" else text,
    )


def test_assignments(service, people):
    anna = people.user()
    role = service.create_role("default", unique("role"))
    service.add_role_permission(role.id, "experiment", "*", "EDIT")
    given = service.assign_role(anna.name, role.id)
    assert given.role_id == role.id
    failing(
        service.assign_role,
        anna.name,
        role.id,
        code="RESOURCE_ALREADY_EXISTS",
        text=f"User role assignment (user_id={given.user_id}, role_id={role.id}) already exists",
    )
    assert [r.id for r in service.list_user_roles(anna.name)] == [role.id]
    assert [(x.id, x.user_id) for x in service.list_role_users(role.id)] == [
        (given.id, given.user_id)
    ]
    held = anna.ok("GET", V3 + "users/current/permissions")
    assert held["permissions"] == [
        {
            "role_id": role.id,
            "role_name": role.name,
            "workspace": "default",
            "resource_type": "experiment",
            "resource_pattern": "*",
            "permission": "EDIT",
        }
    ]
    assert held == people.admin.ok(
        "GET", V3 + "users/permissions/list", params={"username": anna.name}
    )
    listed = {u["username"]: u for u in people.admin.ok("GET", "users/list")["users"]}
    assert [r["name"] for r in listed[anna.name]["roles"]] == [role.name]
    # who has any role in a workspace sees its roles
    assert anna.ok("GET", V3 + "roles/get", params={"role_id": role.id})["role"]["id"] == role.id
    assert anna.ok("GET", V3 + "roles/list", params={"workspace": "default"})["roles"]
    anna.refused("GET", V3 + "roles/list", params={"workspace": ["default", "elsewhere"]})
    service.unassign_role(anna.name, role.id)
    failing(
        service.unassign_role, anna.name, role.id, code="RESOURCE_DOES_NOT_EXIST", text="not found"
    )
    assert service.list_user_roles(anna.name) == []
    failing(service.assign_role, unique(), role.id, code="RESOURCE_DOES_NOT_EXIST", text="username")
    failing(service.assign_role, anna.name, 999999, code="RESOURCE_DOES_NOT_EXIST", text="id=99")
    service.assign_role(anna.name, role.id)
    service.delete_role(role.id)
    assert service.list_user_roles(anna.name) == []


def test_workspace_managers(service, people):
    boss, anna = people.user(), people.user()
    role = service.create_role("default", unique("managers"))
    service.add_role_permission(role.id, "workspace", "*", "MANAGE")
    service.assign_role(boss.name, role.id)
    made = unique("made")
    boss.ok("POST", "users/create", {"username": made, "password": accounts.PASSWORD})
    boss.refused("DELETE", "users/delete", {"username": made})
    boss.refused("PATCH", "users/update-admin", {"username": made, "is_admin": True})
    with boss.client():
        own = AuthServiceClient(people.url)
        team = own.create_role("default", unique("team"))
        own.assign_role(anna.name, team.id)
        assert [r.id for r in own.list_user_roles(anna.name)] == [team.id]
        own.grant_user_permission(anna.name, "run", "*", "DENY")
        answer = own.get_user_permission(anna.name, "run", "*")
        assert (answer.allowed, answer.permission) == (False, "DENY")
        failing(own.create_role, "elsewhere", "x", code="PERMISSION_DENIED")
        failing(own.list_all_roles, code="PERMISSION_DENIED")
    # he stands above every DENY
    service.add_role_permission(role.id, "experiment", "*", "DENY")
    assert service.get_user_permission(boss.name, "experiment", "1").permission == "MANAGE"


# ---- a user's own permissions


def test_own_permissions(service, people):
    anna = people.user()

    def asked(identifier):
        answer = service.get_user_permission(anna.name, "experiment", identifier)
        return answer.allowed, answer.permission

    assert asked("7") == (False, "READ")
    service.grant_user_permission(anna.name, "experiment", "7", "EDIT")
    assert asked("7") == (True, "EDIT")
    assert asked("8") == (False, "READ")
    failing(
        service.grant_user_permission,
        anna.name,
        "experiment",
        "7",
        "MANAGE",
        code="RESOURCE_ALREADY_EXISTS",
        text=f"Permission for user={anna.name} on resource_type=experiment, resource_id=7 already",
    )
    service.grant_user_permission(anna.name, "experiment", "*", "DENY")
    assert asked("7") == (False, "DENY")
    held = anna.ok("GET", V3 + "users/current/permissions")["permissions"]
    assert [(p["resource_pattern"], p["permission"]) for p in held] == [("7", "EDIT"), ("*", "DENY")]
    assert re.fullmatch(r"__user_\d+__", held[0]["role_name"])
    service.revoke_user_permission(anna.name, "experiment", "*")
    assert asked("7") == (True, "EDIT")
    service.revoke_user_permission(anna.name, "experiment", "7")
    failing(
        service.revoke_user_permission,
        anna.name,
        "experiment",
        "7",
        code="RESOURCE_DOES_NOT_EXIST",
        text="resource_id=7 not found.",
    )
    for call in (service.get_user_permission, service.revoke_user_permission):
        failing(call, unique(), "experiment", "7", code="RESOURCE_DOES_NOT_EXIST", text="username=")
        failing(call, anna.name, "workspace", "*", text="'workspace' is not supported")
        failing(call, anna.name, "cluster", "*", text="Invalid resource type 'cluster'.")
    failing(
        service.get_user_permission,
        anna.name,
        "prompt",
        "p",
        text="resource_type 'prompt' is not supported by the per-user permission",
    )
    failing(service.get_user_permission, anna.name, "scorer", "s", text="Invalid scorer")


def test_managers_share_what_is_theirs(service, people):
    anna, ben = people.user(), people.user()
    service.grant_user_permission(anna.name, "experiment", "7", "MANAGE")
    with anna.client():
        own = AuthServiceClient(people.url)
        own.grant_user_permission(ben.name, "experiment", "7", "EDIT")
        failing(
            own.grant_user_permission, ben.name, "experiment", "8", "EDIT", code="PERMISSION_DENIED"
        )
        failing(
            own.grant_user_permission, ben.name, "experiment", "*", "EDIT", code="PERMISSION_DENIED"
        )
        failing(own.get_user_permission, ben.name, "experiment", "7", code="PERMISSION_DENIED")
        assert own.get_user_permission(anna.name, "experiment", "7").permission == "MANAGE"
        own.revoke_user_permission(ben.name, "experiment", "7")
    with ben.client():
        failing(
            AuthServiceClient(people.url).grant_user_permission,
            ben.name,
            "experiment",
            "7",
            "MANAGE",
            code="PERMISSION_DENIED",
        )


# ---- the sign-up page


def post_form(account, data, **headers):
    return account.session.post(
        account.url + "/api/2.0/mlflow/users/create-ui", data=data, headers=headers, timeout=60
    )


def test_sign_up(people, admin):
    page = admin.get("/signup")
    assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text).group(1)
    name = unique("<i>signed&up")
    form = {"csrf_token": token, "username": name, "password": accounts.PASSWORD}
    reply = post_form(admin, form)
    assert reply.status_code == 200, reply.text
    if not accounts.REFERENCE:
        assert "Successfully signed up user" in reply.text
        assert "<script" not in page.text + reply.text
        assert "<i>" not in reply.text and "&lt;i&gt;signed&amp;up" in reply.text
        assert "already been taken" in post_form(admin, form).text
    made = accounts.Account(people.url, name, accounts.PASSWORD)
    assert made.get("users/current").status_code == 200


@pytest.mark.ours
def test_sign_up_is_not_for_everybody(people, admin):
    page = admin.get("/signup").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page).group(1)
    form = {"csrf_token": token, "username": unique(), "password": accounts.PASSWORD}
    anna = people.user()
    assert anna.get("/signup").status_code == 403
    assert post_form(anna, form).status_code == 403
    assert post_form(people.nobody, form).status_code == 401
    for wrong in ("", "1", token[:-1], token + "0", "9" + token, token.replace(".", ",")):
        reply = post_form(admin, {**form, "csrf_token": wrong})
        assert reply.status_code == 400 and "CSRF" in reply.text, (wrong, reply.text)
    # the token is the admin's, not another one's
    people.admin.ok("PATCH", "users/update-admin", {"username": anna.name, "is_admin": True})
    assert post_form(anna, form).status_code == 400
    assert post_form(admin, form, Origin="https://evil.example").status_code == 403
    for body in ({**form, "username": ""}, {**form, "password": "short"}, {"csrf_token": token}):
        assert post_form(admin, body).status_code == 400
    assert post_form(admin, {**form, "username": "x" * 20000}).status_code == 413
    reply = admin.session.post(admin.url + "/api/2.0/mlflow/users/create-ui", json=form, timeout=60)
    assert reply.status_code == 400
    assert admin.get("users/get", {"username": form["username"]}).status_code == 404


# ---- the daemon


@pytest.mark.ours
def test_without_accounts_there_are_none(server):
    for method, path in (
        ("GET", "/api/2.0/mlflow/users/current"),
        ("POST", "/api/2.0/mlflow/users/create"),
        ("GET", "/ajax-api/3.0/mlflow/roles/list"),
        ("GET", "/signup"),
        ("POST", "/api/2.0/mlflow/users/create-ui"),
    ):
        reply = requests.request(method, server.url + path, json={}, timeout=60)
        refused(reply, code="ENDPOINT_NOT_FOUND", status=404)


@pytest.mark.ours
def test_refuses_to_start(tmp_path):
    """One line says why, and no password is in it."""
    path = tmp_path / "auth.ini"
    data = capstan_server.temporary_dir()
    flags = ["--port", "0", "--data-dir", data, *accounts.FLAGS]
    password = "MLFLOW_AUTH_ADMIN_PASSWORD"
    try:
        for lines, env, text in (
            ("default_permission = OWN", {}, "default_permission must be"),
            ("authorization_function = my.own:auth", {}, "authorization_function cannot be"),
            ("", {}, "none is configured"),
            ("", {password: "password1234"}, "which everybody knows"),
            ("admin_password = too small", {}, "at least 12 characters"),
        ):
            path.write_text("[mlflow]\n" + lines + "\n")
            done = subprocess.run(
                [capstan_server.binary(), "serve", *flags],
                env=capstan_server.environment(MLFLOW_AUTH_CONFIG_PATH=str(path), **env),
                capture_output=True,
                text=True,
                timeout=60 * capstan_server.SLOW,
            )
            last = done.stderr.strip().splitlines()[-1]
            assert done.returncode == 1 and text in last, done.stderr
            assert "too small" not in done.stderr and "password1234" not in done.stderr
    finally:
        shutil.rmtree(data, ignore_errors=True)


@pytest.mark.ours
def test_the_log_knows_no_passwords(people, daemon):
    anna = people.user()
    wrong = accounts.Account(people.url, anna.name, "a very wrong password")
    assert wrong.get("users/current").status_code == 401
    log = daemon.log()
    assert f'event="login refused" user={anna.name}' in log
    for secret in ("a very wrong password", accounts.PASSWORD, accounts.ADMIN[1]):
        assert secret not in log


@pytest.mark.ours
def test_another_daemon_notices(new_server, postgres, tmp_path):
    env = accounts.environment(tmp_path)
    backend = postgres.database(unique("auth"))
    first = new_server(*accounts.FLAGS, env=env, backend=backend)
    second = new_server(*accounts.FLAGS, env=env, backend=backend)
    here = accounts.Accounts(first.url)
    anna = here.user()
    there = accounts.Account(second.url, anna.name, anna.password)

    def status():
        return there.get(V3 + "users/permissions/list", {"username": "admin"}).status_code

    capstan_server.wait_for(lambda: status() == 403, 5, "the new user")
    here.admin.ok("PATCH", "users/update-admin", {"username": anna.name, "is_admin": True})
    capstan_server.wait_for(lambda: status() == 200, 3, "the new admin")
    here.admin.ok("DELETE", "users/delete", {"username": anna.name})
    capstan_server.wait_for(lambda: status() == 401, 3, "the end of the user")
