from __future__ import annotations

from collections.abc import Callable

import pytest

from rusts import errors
from tests.support.asgi import Client
from tests.support.storage import FakeStorage
from tests.unit.api.test_v1_write import points

URL = "/api/v3/write_lp"


def test_precision_auto_goes_by_magnitude(client: Client, storage: FakeStorage):
    body = b"a v=1 1700000000\na v=2 1700000001000\na v=3 1700000002000000\na v=4 1700000003000000000"
    assert client.request("POST", f"{URL}?db=new", body).status == 204
    assert [time for time, _ in points(storage, "a", "new")] == [(1_700_000_000 + i) * 10**9 for i in range(4)]


@pytest.mark.parametrize(
    "precision", ["second", "s", "millisecond", "ms", "microsecond", "us", "u", "nanosecond", "ns", "n"]
)
def test_precisions(client: Client, precision: str):
    assert client.request("POST", f"{URL}?db=new&precision={precision}&no_sync=true", b"a v=1 1").status == 204


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "missing query parameter 'db'"),
        ("?precision=s", "serde error: missing field `db`"),
        ("?db=d&precision=m", "serde error: unknown variant `m`"),
        ("?db=d&accept_partial=maybe", "serde error: accept_partial"),
        ("?db=a%20b", "invalid character in database or rp name"),
        ("?db=_a", "invalid character in database or rp name"),
    ],
)
def test_wrong_parameters(client: Client, query: str, text: str):
    response = client.request("POST", URL + query, b"a v=1")
    assert response.status == 400
    assert text in response.body.decode()


def test_an_empty_body_is_204(client: Client):
    assert client.request("POST", f"{URL}?db=d", b"").status == 204


def test_good_lines_are_stored(client: Client, storage: FakeStorage):
    body = b'a v=1 1\nbad line that is long, longer than twenty\na v="x" 2\n'
    response = client.request("POST", f"{URL}?db=d&precision=ns", body)
    assert response.status == 400
    answer = response.json()
    assert answer["error"] == "partial write of line protocol occurred"
    assert [(d["line_number"], d["original_line"]) for d in answer["data"]] == [
        (2, "bad line that is lon"),
        (3, 'a v="x" 2'),
    ]
    assert answer["data"][1]["error_message"].startswith("field type conflict")
    assert points(storage, "a", "d") == [(1, {"v": 1.0})]


@pytest.mark.parametrize("bad", [b"bad", b'a v="x" 2'])
@pytest.mark.parametrize("lines", [1, 10_000])
def test_all_or_nothing(client: Client, storage: FakeStorage, bad: bytes, lines: int):
    url = f"{URL}?db=d&precision=ns&accept_partial=false"
    body = b"a v=1 1\n" * lines + bad
    response = client.request("POST", url, body)
    assert response.status == 400
    assert response.json()["error"] == "line protocol parsing error"
    assert response.json()["data"]["line_number"] == lines + 1
    assert response.json()["data"]["original_line"] == bad.decode()
    assert storage.writes == []
    assert client.request("POST", url, b"a v=1 1\n" * lines).status == 204
    assert len(storage.writes) == 1


def test_encodings(client: Client):
    response = client.request("POST", f"{URL}?db=d", b"a v=1", {"Content-Encoding": "deflate"})
    assert (response.status, response.body) == (400, b"unacceptable content-encoding: deflate")
    assert client.request("POST", f"{URL}?db=d", b"a v=1", {"Content-Encoding": "identity"}).status == 204


def test_too_large(open_client: Callable[..., Client]):
    response = open_client(max_body_size="5").request("POST", f"{URL}?db=b", b"cpu v=1")
    assert (response.status, response.body) == (413, b"max request size (5 bytes) exceeded")


def test_try_again_is_503_with_retry_after(client: Client, storage: FakeStorage):
    storage.problem = errors.DiskFull("full", seconds=3)
    response = client.request("POST", f"{URL}?db=d", b"cpu v=1")
    assert (response.status, response.headers["retry-after"], response.body) == (503, "3", b"full")


def test_a_fault_of_ours_is_500(client: Client, storage: FakeStorage):
    storage.problem = ZeroDivisionError("secret")
    response = client.request("POST", f"{URL}?db=d", b"cpu v=1")
    assert (response.status, response.body) == (500, b"internal error")


def test_unknown_path(client: Client):
    response = client.request("GET", "/api/v3/nope")
    assert (response.status, response.body) == (404, b"Not found")
