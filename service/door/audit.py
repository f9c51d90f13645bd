"""The audit log: who did what with which model, one JSON object a line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from service.door.audit_lines import AuditLines
from service.door.key import NOBODY
from service.errors import SettingsInvalid

if TYPE_CHECKING:
    from starlette.types import Scope

    from service.door.guard import Asked

#: Answers that say that somebody was not let in, or not with that much.
REFUSED = frozenset({401, 403, 408, 413, 415, 429})


def check_target(target: str) -> None:
    """Is the file one that lines can be written to?

    Raises:
        SettingsInvalid: it is not.
    """
    if target not in {"", "-"}:
        try:
            open(target, "a", encoding="utf-8").close()
        except OSError as error:
            expected = f"a file that can be written ({(error.strerror or 'it cannot').lower()})"
            raise SettingsInvalid("TANDEM_AUDIT_LOG (--audit-log)", found=target, expected=expected) from None


class Audit:
    """Notes a line for each job and each administration that was asked for, and for each request refused.

    Args:
        target: a file that is appended to, with a line for each prediction, too; `-`: the same, in the server's log;
            empty: the server's log, without predictions, of which there may be thousands a second.
    """

    def __init__(self, target: str) -> None:
        self.actions = {"jobs", "admin", "predict"} if target else {"jobs", "admin"}
        self.lines = AuditLines(target)

    def write(self, scope: Scope, asked: Asked | None, *, status: int, refused: str = "") -> None:
        """Write down how a request ended, where it is one of those that are."""
        action = asked.action if asked else None
        if action not in self.actions and status not in REFUSED:
            return
        key, client = scope.get("tandem.key", NOBODY), scope.get("client")
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": scope.get("tandem.request_id"),
            "key": key.name or None,
            "action": action,
            "method": scope["method"],
            "path": asked.path if asked else None,
            "model": scope.get("tandem.model"),
            "rows": scope.get("tandem.rows", 0),
            "status": status,
            "client": client[0] if client else None,
        }
        if refused:
            line["refused"] = refused
        self.lines.write(line)

    def close(self) -> None:
        """Have the last lines written; may take seconds where the disk does."""
        self.lines.close()
