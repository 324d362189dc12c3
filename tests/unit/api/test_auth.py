"""CONTRACT of who may come: each form of credentials on each dialect's paths, and the answers to the others."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from rusts import logging
from rusts.auth.passwords import hash_password
from rusts.auth.tokens import new_token
from rusts.model.accounts import Privilege, User
from tests.support.asgi import Client, Response
from tests.support.storage import FakeStorage
from tests.unit.auth.test_signed import token as signed_token

_HASHES = {password: hash_password(password) for password in ("p", "pw")}
SIGNED = signed_token({"username": "wo", "exp": 9_000_000_000}, secret="shared")


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def client(open_client: Callable[..., Client]) -> Client:
    return open_client(auth="true", shared_secret="shared")


@pytest.fixture
def tokens(storage: FakeStorage) -> dict[str, str]:
    """Four users, who may do what their names say in db0, and a token for each scope, by its scope."""
    storage.create_database("db0")
    for name, grants in (("ro", Privilege.READ), ("wo", Privilege.WRITE), ("no", None)):
        storage.put_user(User(name, _HASHES["p"], grants={"db0": grants} if grants else {}))
    storage.put_user(User("adm", _HASHES["pw"], admin=True))
    secrets = {}
    for scope in ("admin", "metrics", "read:db0", "write:db0", "write:new"):
        secrets[scope], token = new_token("", [scope], 0)
        storage.put_token(token)
    return secrets


PATHS = ["/write?db=db0", "/api/v2/write?bucket=db0", "/api/v3/write_lp?db=db0"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "form",
    ["basic", "basic token", "token login", "token", "TOKEN", "bearer", "signed"],
)
def test_every_form_in_the_header(client: Client, tokens: dict[str, str], path: str, form: str):
    secret = tokens["write:db0"]
    headers = {
        "basic": basic("wo", "p"),
        "basic token": basic("whoever", secret),
        "token login": {"Authorization": "Token wo:p"},
        "token": {"Authorization": f"Token {secret}"},
        "TOKEN": {"authorization": f"tOKEN {secret}"},
        "bearer": {"Authorization": f"Bearer {secret}"},
        "signed": {"Authorization": f"Bearer {SIGNED}"},
    }[form]
    for _ in range(2):
        assert client.request("POST", path, b"cpu v=1 1", headers).status == 204


@pytest.mark.parametrize("path", PATHS)
def test_parameters_count_on_the_paths_of_v1(client: Client, tokens: dict[str, str], path: str):
    first = path == PATHS[0]
    status = 204 if first else 401
    assert client.request("POST", f"{path}&u=wo&p=p", b"cpu v=1 1").status == status
    assert client.request("POST", f"{path}&u=x&p={tokens['write:db0']}", b"cpu v=1 1").status == status
    assert client.request("POST", f"{path}&p={tokens['write:db0']}", b"cpu v=1 1").status == status
    # They beat the header there.
    answer = client.request("POST", f"{path}&u=wo&p=wrong", b"cpu v=1 1", basic("wo", "p"))
    assert answer.status == (401 if first else 204)
    assert client.request("POST", f"{path}&u=wo", b"cpu v=1 1", basic("wo", "p")).status == 204


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, "unable to parse authentication credentials"),
        ({"Authorization": "Basic !!!"}, "unable to parse authentication credentials"),
        ({"Authorization": "Digest x"}, "unable to parse authentication credentials"),
        (basic("ro", "wrong"), "authorization failed"),
        (basic("nobody", "p"), "authorization failed"),
        (basic("", "p"), "username required"),
        ({"Authorization": "Token nonsense"}, "authorization failed"),
        ({"Authorization": "Bearer x"}, "token contains an invalid number of segments"),
        ({"Authorization": "Bearer " + signed_token({"username": "ro"}, "shared")}, "token expiration required"),
    ],
)
def test_the_401_of_v1(client: Client, tokens: dict[str, str], headers: dict[str, str], text: str):
    for method, path in (("POST", "/write?db=nodb"), ("POST", "/write"), ("GET", "/query"), ("GET", "/query?q=SELEC")):
        answer = client.request(method, path, b"bad", headers)
        assert (answer.status, answer.json()) == (401, {"error": text})
        assert answer.headers["www-authenticate"] == 'Basic realm="InfluxDB"'
        assert "x-influxdb-error" not in answer.headers
        assert answer.headers["x-influxdb-version"]
    answer = client.request("POST", "/write?db=db0&pretty=true", b"", headers)
    assert answer.body.decode() == '{\n    "error": ' + json.dumps(text) + "\n}\n"
    answer = client.request("POST", "/write?db=db0", b"", {**headers, "Accept": "text/csv"})
    assert answer.body.decode() == f"error\n{text}\n"


def test_the_401_of_v2(client: Client, tokens: dict[str, str]):
    for method, path in (("POST", "/api/v2/write?bucket=db0"), ("GET", "/api/v2/buckets"), ("POST", "/api/v2/query")):
        for headers in ({}, {"Authorization": "Digest x"}, {"Authorization": "Token "}, {"Authorization": "Token no"}):
            answer = client.request(method, path, b"", headers)
            assert answer.status == 401
            assert answer.json() == {"code": "unauthorized", "message": "unauthorized access"}
            assert answer.headers["x-platform-error-code"] == "unauthorized"
            assert "www-authenticate" not in answer.headers


def test_the_401_of_v3(client: Client, tokens: dict[str, str]):
    for method, path in (("POST", "/api/v3/write_lp?db=db0"), ("GET", "/api/v3/configure/database?format=json")):
        answer = client.request(method, path, b"", {"Authorization": "Bearer no"})
        assert (answer.status, answer.json()) == (401, {"error": "the request was not authenticated"})
        answer = client.request(method, path, b"", {"Authorization": "Digest x"})
        assert answer.status == 400
        assert answer.json()["error"].startswith("Authorization header was malformed, ")


def test_the_403s_of_writes(client: Client, tokens: dict[str, str]):
    for headers in (basic("ro", "p"), basic("no", "p")):
        answer = client.request("POST", "/write?db=db0&rp=nope&consistency=bad", b"bad", headers)
        name = base64.b64decode(headers["Authorization"][6:]).decode()[:2]
        text = f'"{name}" user is not authorized to write to database "db0"'
        assert (answer.status, answer.json()) == (403, {"error": text})
        assert answer.headers["x-influxdb-error"] == text
    answer = client.request("POST", "/api/v2/write?bucket=db0", b"bad", basic("ro", "p"))
    assert (answer.status, answer.json()) == (
        403,
        {"code": "forbidden", "message": "insufficient permissions for write"},
    )
    answer = client.request("POST", "/api/v3/write_lp?db=db0", b"bad", basic("ro", "p"))
    assert answer.status == 403
    assert "not authorized" in answer.json()["error"]


def test_the_order_of_v1s_refusals(open_client: Callable[..., Client], tokens: dict[str, str]):
    client = open_client(auth="true", require_db="true")
    nobody = basic("no", "p")

    def write(query: str, headers: dict[str, str]) -> tuple[int, str]:
        answer = client.request("POST", f"/write{query}", b"bad", headers)
        return answer.status, answer.json()["error"]

    assert write("", {})[0] == 401
    assert write("", nobody) == (400, "database is required")
    assert write("?db=nodb&consistency=bad", nobody) == (404, 'database not found: "nodb"')
    assert write("?db=db0&consistency=bad", nobody)[0] == 403
    assert write("?db=db0&consistency=bad", basic("wo", "p")) == (400, "invalid consistency level")
    assert write("?db=db0", basic("wo", "p")) == (400, "unable to parse 'bad': missing fields")
    assert write("?db=nodb", basic("adm", "pw")) == (404, 'database not found: "nodb"')


def test_a_scope_may_name_a_database_that_is_not_there_yet(client: Client, tokens: dict[str, str]):
    headers = {"Authorization": f"Token {tokens['write:new']}"}
    assert client.request("POST", "/api/v2/write?bucket=new/raw", b"cpu v=1", headers).status == 204
    assert client.request("POST", "/api/v2/write?bucket=newer", b"cpu v=1", headers).status == 403


@pytest.mark.parametrize("path", ["/ping", "/health", "/ready"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic !!!"}])
def test_probes_need_nothing(client: Client, tokens: dict[str, str], path: str, headers: dict[str, str]):
    assert client.request("GET", path, headers=headers).status in (200, 204)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/metrics", "metrics"),
        ("GET", "/debug/vars", "metrics"),
        ("GET", "/stats", "metrics"),
        ("POST", "/admin/flush", "admin"),
        ("POST", "/admin/compact", "admin"),
        ("GET", "/admin/rejected", "admin"),
        ("GET", "/admin/cardinality", "admin"),
        ("GET", "/admin/tokens", "admin"),
        ("DELETE", "/admin/tokens/x", "admin"),
    ],
)
def test_operators_paths(client: Client, tokens: dict[str, str], method: str, path: str, scope: str):
    assert client.request(method, path).status == 401
    allowed = {key for key in tokens if client.request(method, path, headers=bearer(tokens[key])).status != 403}
    assert allowed == {scope, "admin"}
    assert client.request(method, path, headers=basic("ro", "p")).status == 403
    assert client.request(method, path, headers=basic("adm", "pw")).status in (200, 404)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_metrics_may_be_open(open_client: Callable[..., Client], tokens: dict[str, str]):
    client = open_client(auth="true", open_metrics="true")
    assert [client.request("GET", path).status for path in ("/metrics", "/debug/vars", "/admin/rejected")] == [
        200,
        200,
        401,
    ]


def test_without_auth_credentials_are_ignored(open_client: Callable[..., Client], tokens: dict[str, str]):
    client = open_client()
    for headers in ({}, basic("root", "root"), {"Authorization": "Digest x"}, {"Authorization": "Token "}):
        assert client.request("POST", "/write?db=db0&u=x&p=y", b"cpu v=1", headers).status == 204
        assert client.request("GET", "/api/v2/buckets", headers=headers).status == 200
        assert client.request("GET", "/admin/tokens", headers=headers).status == 200


def test_before_there_is_an_account(client: Client, storage: FakeStorage):
    answer = client.request("POST", "/write?db=default", b"cpu v=1", basic("a", "b"))
    assert (answer.status, answer.json()["error"]) == (403, 'user is required to write to database "default"')
    assert client.request("POST", "/write?db=nodb", b"cpu v=1").status == 404
    answer = client.request("GET", "/metrics")
    assert (answer.status, answer.json()["error"]) == (403, "create admin user first or disable authentication")
    assert client.request("POST", "/api/v2/write?bucket=x", b"cpu v=1").status == 403
    assert client.request("GET", "/ping").status == 204


def test_rights_change_at_once(client: Client, storage: FakeStorage, tokens: dict[str, str]):
    def write() -> int:
        return client.request("POST", "/write?db=db0", b"cpu v=1", basic("wo", "p")).status

    assert write() == 204
    storage.put_user(User("wo", _HASHES["p"], grants={"db0": Privilege.READ}))
    assert write() == 403
    storage.put_user(User("wo", _HASHES["pw"], grants={"db0": Privilege.WRITE}))
    assert write() == 401
    storage.drop_user("wo")
    assert write() == 401


def test_too_many_failures(client: Client, tokens: dict[str, str]):
    def answer(path: str, password: str = "wrong") -> Response:
        return client.request("POST", path, b"cpu v=1", basic("wo", password))

    for _ in range(10):
        assert answer("/write?db=db0").status == 401
    # Never 429 there, and even the right password waits now.
    assert (answer("/write?db=db0").status, answer("/write?db=db0", "p").status) == (401, 401)
    for path in PATHS[1:]:
        refused = answer(path, "p")
        assert (refused.status, refused.headers["retry-after"]) == (429, "60")


def test_the_warning_of_an_open_server(open_client: Callable[..., Client]):
    def warnings(**settings: str) -> Any:
        return open_client(**settings).request("GET", "/health").json().get("warnings")

    assert warnings() is None
    assert warnings(bind="[::1]:1") is None
    assert warnings(bind="localhost:1") is None
    assert warnings(bind=":1", auth="true") is None
    for bind in (":1", "10.0.0.1:1", "[::]:1", "example.org:1"):
        (warning,) = warnings(bind=bind)
        assert "without auth" in warning
    assert open_client(bind=":1").request("GET", "/health").status == 200


def test_signing_in_and_out(client: Client, tokens: dict[str, str]):
    answer = client.request("POST", "/api/v2/signin", headers=basic("ro", "p"))
    assert (answer.status, answer.body) == (204, b"")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("influxdb-oss-session=")
    assert client.request("GET", "/api/v2/buckets", headers={"Cookie": cookie}).json()["buckets"][0]["name"] == "db0"
    assert client.request("POST", "/api/v2/write?bucket=db0", b"cpu v=1", {"Cookie": cookie}).status == 403
    assert client.request("POST", "/api/v2/signout", headers={"Cookie": cookie}).status == 204
    assert client.request("GET", "/api/v2/buckets", headers={"Cookie": cookie}).status == 401
    for headers in ({}, basic("ro", "wrong"), bearer(tokens["admin"])):
        assert client.request("POST", "/api/v2/signin", headers=headers).status == 401
    assert client.request("POST", "/api/v2/signout").status == 401


def test_tokens_are_made_listed_and_revoked(client: Client, storage: FakeStorage, tokens: dict[str, str]):
    def request(method: str, path: str, body: Any = None) -> Response:
        return client.request(method, path, json.dumps(body).encode() if body else b"", basic("adm", "pw"))

    made = request("POST", "/admin/tokens", {"scopes": ["write:db0"], "description": "t", "expires_in": "1h"})
    assert made.status == 201
    secret, identifier = made.json()["token"], made.json()["id"]
    assert client.request("POST", "/write?db=db0", b"cpu v=1", bearer(secret)).status == 204
    listed = {token["id"]: token for token in request("GET", "/admin/tokens").json()["tokens"]}
    assert listed[identifier]["scopes"] == ["write:db0"]
    assert listed[identifier]["expires"] > listed[identifier]["created"]
    assert secret not in request("GET", "/admin/tokens").body.decode()
    assert request("DELETE", f"/admin/tokens/{identifier}").status == 204
    assert request("DELETE", f"/admin/tokens/{identifier}").status == 404
    assert client.request("POST", "/write?db=db0", b"cpu v=1", bearer(secret)).status == 401
    for wrong in (
        {},
        {"scopes": "admin"},
        {"scopes": ["dance"]},
        {"scopes": ["admin"], "expires_in": "soon"},
        {"scopes": ["admin"], "description": 5},
    ):
        assert request("POST", "/admin/tokens", wrong).status == 400


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that gives what was logged so far, as text and as objects."""
    logging.configure("json", "debug")

    def read() -> tuple[str, list[dict[str, Any]]]:
        text = capsys.readouterr().err
        return text, [json.loads(line) for line in text.splitlines()]

    yield read
    logging.configure()


def test_the_audit_log(client: Client, tokens: dict[str, str], lines: Any):
    def audited() -> list[tuple[str, str, str]]:
        return [(line["who"], line["action"], line["outcome"]) for line in lines()[1] if line["room"] == "rusts.audit"]

    client.request("POST", "/write?db=db0", b"cpu v=1", basic("wo", "p"))
    client.request("POST", "/write?db=db0", b"cpu v=1")
    assert audited() == []
    client.request("POST", "/write?db=db0", b"cpu v=1", basic("wo", "wrong"))
    client.request("POST", "/admin/flush", headers=basic("ro", "p"))
    client.request("POST", "/admin/flush", headers=basic("adm", "pw"))
    client.request("POST", "/api/v2/signin", headers=basic("ro", "p"))
    client.request("DELETE", "/api/v3/configure/database?db=db0", headers=basic("adm", "pw"))
    assert audited() == [
        ("wo", "login", "authorization failed"),
        ("ro", "POST /admin/flush", "403"),
        ("adm", "POST /admin/flush", "ok"),
        ("ro", "sign in", "ok"),
        ("adm", "drop database", "ok"),
    ]


def test_no_log_has_a_secret(open_client: Callable[..., Client], tokens: dict[str, str], lines: Any):
    client = open_client(auth="true", access_log="true")
    secret = tokens["admin"]
    made = client.request("POST", "/admin/tokens", b'{"scopes":["admin"]}', bearer(secret)).json()["token"]
    wrong = "wrong-secret"
    for headers in (bearer(secret), basic("a", wrong), {"Authorization": f"Token x:{wrong}"}, bearer(wrong)):
        client.request("POST", f"/write?db=db0&u=a&p={wrong}", b"bad", headers)
        client.request("POST", f"/write?db=db0&u=a&%70={wrong}", b"bad", headers)
        statement = f"CREATE%20USER%20x%20WITH%20PASSWORD%20%27{wrong}%27"
        client.request("GET", f"/query?q={statement}", headers=headers)
        client.request("POST", "/api/v2/signin", headers=headers)
    cookie = client.request("POST", "/api/v2/signin", headers=basic("ro", "p")).headers["set-cookie"]
    client.request("GET", "/api/v2/buckets", headers={"Cookie": cookie})
    text, entries = lines()
    assert len(entries) > 20
    for hidden in (secret, made, wrong, cookie.partition(";")[0].partition("=")[2]):
        assert hidden not in text
