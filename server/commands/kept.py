"""How what is kept about a person stands in a terminal: one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from server.commands.base import minutes, short

_Rows = Sequence[Mapping[str, Any]]


def things(rows: _Rows) -> str:
    return ", ".join(f"{row['kind']} {row['count']}" for row in rows)


def counted(rows: _Rows) -> str:
    return "; ".join(
        f"{row['count']} {row['kind']}, {row['purpose']}, {row['legal_basis']}, until {minutes(row['last_expiry'])}"
        for row in rows
    )


def recordings(rows: _Rows) -> str:
    return "; ".join(
        f"{short(row['id'])} of {minutes(row['started_at'])}, {row['purpose']}, until {minutes(row['expires_at'])}, "
        f"opened {len(row['openings'])} times"
        for row in rows
    )
