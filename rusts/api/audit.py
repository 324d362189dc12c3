"""The audit log: who did what, from where, and what came of it. Never a password, a token's secret or a header."""

from __future__ import annotations

from typing import Any

from starlette.types import Scope

from rusts.auth.principal import Principal
from rusts.logging import get_logger

__all__ = ["note", "source_of"]

logger = get_logger("rusts.audit")


def source_of(scope: Scope) -> str:
    """The address that the request came from."""
    client = scope.get("client")
    return str(client[0]) if client else "-"


def note(who: Principal | str | None, source: str, action: str, outcome: str, **what: Any) -> None:
    """Log that `who` (None: authentication is off) from `source` did `action`; `outcome` is ok, or why not."""
    name = who.name or "-" if isinstance(who, Principal) else who or "-"
    logger.info("audit", who=name, source=source, action=action, outcome=outcome, **what)
