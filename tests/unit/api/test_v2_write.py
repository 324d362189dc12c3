from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from rusts import errors
from tests.support.asgi import Client
from tests.support.storage import FakeStorage


def refused(response, status: int, code: str) -> str:
    """Checks the form of a v2 error and returns its message."""
    assert response.status == status
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["x-platform-error-code"] == code
    assert response.json()["code"] == code
    return response.json()["message"]


def test_a_bucket_is_a_database_and_is_made(client: Client, storage: FakeStorage):
    assert client.request("POST", "/api/v2/write?org=o&bucket=new&precision=ms", b"cpu v=1 1").status == 204
    assert storage.databases() == ["default", "new"]
    assert client.request("POST", "/api/v2/write?bucket=new/autogen", b"cpu v=1 1").status == 204
    assert client.request("POST", "/api/v2/write?bucket=other&org=o", b"").status == 204


@pytest.mark.parametrize("body", [b"cpu v=1 1", b"cpu v=1 1\n" * 10_000, b"#\n" * 100_000])
def test_a_bucket_may_name_a_policy_and_that_is_made_too(client: Client, storage: FakeStorage, body: bytes):
    assert client.request("POST", "/api/v2/write?bucket=plant/raw", body).status == 204
    assert [(p.name, p.duration, p.default) for p in storage.policies("plant")] == [
        ("autogen", 0, True),
        ("raw", 0, False),
    ]
    assert client.request("POST", "/api/v2/write?bucket=plant/fine", body).status == 204
    assert [p.name for p in storage.policies("plant")] == ["autogen", "raw", "fine"]


def test_a_bucket_by_its_id(client: Client, storage: FakeStorage):
    for name in ("plant", "plant/raw"):
        made = client.request("POST", "/api/v2/buckets", b'{"name":"%b"}' % name.encode()).json()
        assert client.request("POST", f"/api/v2/write?bucket={made['id']}", b"cpu v=1 1").status == 204
    assert storage.databases() == ["default", "plant"]
    assert {key[0] for key in storage._databases["plant"].points} == {"autogen", "raw"}
    assert client.request("POST", "/api/v2/write?bucket=0123456789abcdef", b"cpu v=1 1").status == 204
    assert storage.databases()[-1] == "0123456789abcdef"


def test_large_bodies_make_their_database_too(client: Client, storage: FakeStorage):
    assert client.request("POST", "/api/v2/write?bucket=large", b"cpu v=1 1\n" * 10_000).status == 204
    assert client.request("POST", "/api/v2/write?bucket=void", b"#\n" * 100_000).status == 204
    assert storage.databases() == ["default", "large", "void"]


def test_wrong_parameters(client: Client):
    response = client.request("POST", "/api/v2/write?org=o", b"cpu v=1")
    assert refused(response, 404, "not found") == "bucket not found"
    for precision in ("n", "u", "m", "h", "x"):
        response = client.request("POST", f"/api/v2/write?bucket=b&precision={precision}", b"cpu v=1")
        text = "invalid precision; valid precision units are ns, us, ms, and s"
        assert refused(response, 400, "invalid") == text


def test_good_lines_are_stored_and_bad_ones_told(client: Client, storage: FakeStorage):
    response = client.request("POST", "/api/v2/write?bucket=b", b"cpu v=1 1\nbad\n")
    message = refused(response, 400, "invalid")
    assert message == "partial write: unable to parse 'bad': missing fields dropped=0"
    assert response.json()["lines"] == [{"line": 2, "column": 4, "reason": "missing fields"}]
    assert len(storage.writes) == 1
    response = client.request("POST", "/api/v2/write?bucket=b", b"bad")
    assert refused(response, 400, "invalid") == "unable to parse 'bad': missing fields"


def test_bad_gzip_is_400(client: Client):
    response = client.request("POST", "/api/v2/write?bucket=b", b"nonsense", {"Content-Encoding": "gzip"})
    assert refused(response, 400, "invalid") == "gzip: invalid header"
    packed = gzip.compress(b"cpu v=1 1")
    assert client.request("POST", "/api/v2/write?bucket=b", packed, {"Content-Encoding": "gzip"}).status == 204


def test_too_large(open_client: Callable[..., Client]):
    response = open_client(max_body_size="5").request("POST", "/api/v2/write?bucket=b", b"cpu v=1")
    text = "unable to read data: points batch is too large"
    assert refused(response, 413, "request too large") == text


@pytest.mark.parametrize("problem", [errors.MemoryExceeded("much", seconds=3), errors.NotReady("soon", seconds=3)])
def test_try_again_is_503_with_retry_after(client: Client, storage: FakeStorage, problem: Exception):
    storage.problem = problem
    response = client.request("POST", "/api/v2/write?bucket=default", b"cpu v=1")
    assert refused(response, 503, "unavailable") == str(problem)
    assert response.headers["retry-after"] == "3"


def test_a_fault_of_ours_is_500(client: Client, storage: FakeStorage):
    storage.problem = ZeroDivisionError("secret")
    response = client.request("POST", "/api/v2/write?bucket=default", b"cpu v=1")
    assert refused(response, 500, "internal error") == "internal error"


def test_flux_is_not_offered(client: Client):
    response = client.request("POST", "/api/v2/query?org=o", b'{"query":"from()"}')
    assert "Flux is not supported" in refused(response, 501, "not implemented")


def test_unknown_paths_and_methods(client: Client):
    assert refused(client.request("GET", "/api/v2/nope"), 404, "not found") == "path not found"
    response = client.request("GET", "/api/v2/write")
    assert refused(response, 405, "method not allowed") == "allow: POST"
    assert response.headers["allow"] == "POST"
