"""InfluxDB 2.x's buckets and organisations: enough for the set-up code of its clients.

A bucket is a retention policy of a database: ``db`` for the default one, ``db/policy`` for any. Its id is made of both
names, so it is the same after a restart and on every node. There is one organisation, whatever it is called.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from starlette.requests import Request

from rusts import errors
from rusts.api import audit
from rusts.api.body import read_json
from rusts.api.errors import Answer, Header, json_answer, v2_error
from rusts.api.guard import principal_of, require_admin
from rusts.api.writes import query_parameters
from rusts.auth.principal import Principal
from rusts.catalog.schema import DEFAULT_POLICY
from rusts.model.store import PolicyInfo, Store
from rusts.node import Node

__all__ = ["ORGANISATION", "Bucket", "Buckets", "find_bucket"]

_JSON: Final[Header] = (b"content-type", b"application/json; charset=utf-8")
_SECOND: Final = 1_000_000_000
_T = TypeVar("_T")


def _id(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=8, person=b"rusts bucket").hexdigest()


ORGANISATION: Final = _id("organisation")
"""The id of the organisation."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A policy of a database as 2.x sees it."""

    database: str
    policy: PolicyInfo

    @property
    def id(self) -> str:
        """16 hexadecimal digits."""
        return _id(f"{self.database}/{self.policy.name}")

    @property
    def name(self) -> str:
        """The database's name for its default policy, else with the policy's behind a slash."""
        return self.database if self.policy.default else f"{self.database}/{self.policy.name}"

    def called(self, name: str) -> bool:
        """Whether `name` means it: its name, its id, or ``db/policy`` for a default one too."""
        return name in (self.name, self.id, f"{self.database}/{self.policy.name}")

    def as_json(self) -> dict[str, Any]:
        """The object of 2.x's answers; 0 seconds are for ever."""
        rule: dict[str, Any] = {"type": "expire", "everySeconds": self.policy.duration // _SECOND}
        if self.policy.shard_duration:
            rule["shardGroupDurationSeconds"] = self.policy.shard_duration // _SECOND
        return {
            "id": self.id,
            "orgID": ORGANISATION,
            "type": "user",
            "name": self.name,
            "rp": self.policy.name,
            "retentionRules": [rule],
            "labels": [],
            "links": {"self": f"/api/v2/buckets/{self.id}"},
        }


def _buckets(store: Store) -> Iterator[Bucket]:
    for database in store.databases():
        for policy in store.policies(database):
            yield Bucket(database, policy)


def find_bucket(store: Store, name: str) -> Bucket | None:
    """The bucket with that name or id."""
    return next((bucket for bucket in _buckets(store) if bucket.called(name)), None)


class Buckets:
    """The handlers of ``/api/v2/buckets`` and ``/api/v2/orgs``."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._store = node.store

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._node.admin, work)

    async def organisations(self, request: Request) -> Answer:
        """The one organisation, by whatever name it is asked for."""
        name = query_parameters(request.scope["query_string"]).get("org", "rusts")
        return json_answer(200, {"orgs": [{"id": ORGANISATION, "name": name}]}, content=_JSON)

    async def collection(self, request: Request) -> Answer:
        """GET lists, by ``name`` or ``id`` or all that the sender may use, in pages; POST makes one."""
        if request.method == "POST":
            return await self._create(request)
        parameters = query_parameters(request.scope["query_string"])
        principal = principal_of(request)
        found = [bucket for bucket in _buckets(self._store) if _visible(principal, bucket)]
        for wanted in filter(None, (parameters.get("name"), parameters.get("id"))):
            found = [bucket for bucket in found if bucket.called(wanted)]
        if after := parameters.get("after"):
            found = found[next((i + 1 for i, bucket in enumerate(found) if bucket.id == after), len(found)) :]
        found = found[_whole(parameters, "offset", 0) :]
        found = found[: _whole(parameters, "limit", len(found))]
        return json_answer(200, {"buckets": [bucket.as_json() for bucket in found]}, content=_JSON)

    async def _create(self, request: Request) -> Answer:
        asked = await read_json(request)
        principal = principal_of(request)
        require_admin(principal, "create buckets")
        name = asked.get("name")
        if not isinstance(name, str) or not name:
            raise errors.InvalidRequest("bucket name is required", "name")
        duration, shard_duration = _retention(asked.get("retentionRules"))
        if find_bucket(self._store, name) is not None:
            return v2_error(422, f"bucket with name {name} already exists", code="conflict")
        database, slash, policy = name.partition("/")
        if slash and (not policy or "/" in policy):
            raise errors.InvalidRequest("bucket name: want a database, or database/policy", "name")

        def create() -> None:
            known = database in self._store.databases()
            made = PolicyInfo(policy or DEFAULT_POLICY, duration, shard_duration, 1, default=not known)
            if known:
                self._store.create_policy(database, made)
            elif not policy and not duration and not shard_duration:
                self._store.create_database(database)
            else:
                self._store.create_database(database, made)

        await self._on_thread(create)
        audit.note(principal, audit.source_of(request.scope), "create bucket", "ok", bucket=name)
        bucket = find_bucket(self._store, name)
        assert bucket is not None
        return json_answer(201, bucket.as_json(), content=_JSON)

    async def one(self, request: Request) -> Answer:
        """GET tells of one, PATCH changes how long it keeps its points, DELETE drops it with them."""
        principal = principal_of(request)
        bucket = find_bucket(self._store, request.path_params["id"])
        if bucket is None or not _visible(principal, bucket):
            return v2_error(404, "bucket not found")
        if request.method == "GET":
            return json_answer(200, bucket.as_json(), content=_JSON)
        change = self._update if request.method == "PATCH" else self._delete
        answer = await change(request, principal, bucket)
        deed = "update bucket" if request.method == "PATCH" else "delete bucket"
        audit.note(principal, audit.source_of(request.scope), deed, "ok", bucket=bucket.name)
        return answer

    async def _update(self, request: Request, principal: Principal | None, bucket: Bucket) -> Answer:
        require_admin(principal, "update buckets")
        asked = await read_json(request)
        if asked.get("name", bucket.name) != bucket.name:
            raise errors.InvalidRequest("a bucket cannot be renamed", "name")
        if (rules := asked.get("retentionRules")) is not None:
            duration, shard_duration = _retention(rules)
            alter, name = self._store.alter_policy, bucket.policy.name
            await self._on_thread(
                lambda: alter(bucket.database, name, duration=duration, shard_duration=shard_duration)
            )
        changed = find_bucket(self._store, bucket.id) or bucket
        return json_answer(200, changed.as_json(), content=_JSON)

    async def _delete(self, request: Request, principal: Principal | None, bucket: Bucket) -> Answer:
        """The last bucket of a database takes the database with it."""
        require_admin(principal, "delete buckets")

        def drop() -> None:
            if len(self._store.policies(bucket.database)) == 1:
                self._store.drop_database(bucket.database)
            else:
                self._store.drop_policy(bucket.database, bucket.policy.name)

        await self._on_thread(drop)
        return Answer(204)


def _visible(principal: Principal | None, bucket: Bucket) -> bool:
    return principal is None or principal.sees(bucket.database)


def _whole(parameters: dict[str, str], name: str, absent: int) -> int:
    text = parameters.get(name)
    if text is None:
        return absent
    if not text.isascii() or not text.isdigit():
        raise errors.InvalidRequest(f"{name}: want a whole number", name)
    return int(text)


def _retention(rules: object) -> tuple[int, int]:
    """How long points are kept, and the width of 1.x's shards, in ns; 0 = for ever, and as the server likes."""
    if not rules:
        return 0, 0
    if not isinstance(rules, list) or len(rules) != 1 or not isinstance(rules[0], dict):
        raise errors.InvalidRequest("retentionRules: want a list of one rule", "retentionRules")
    found = []
    for key in ("everySeconds", "shardGroupDurationSeconds"):
        seconds = rules[0].get(key) or 0
        if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 <= seconds <= 2**63 // _SECOND - 1:
            raise errors.InvalidRequest(f"retentionRules: {key}: want a whole number of seconds", "retentionRules")
        found.append(seconds * _SECOND)
    return found[0], found[1]
