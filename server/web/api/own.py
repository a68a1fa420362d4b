"""Routes of the API that are no operation: each with the right that it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.web.api import lookup, stream


@dataclass(frozen=True, slots=True)
class Own:
    """`answer`: content type and schema of what it says; `takes`: parameters, as the document has them."""

    name: str
    method: str
    path: str
    summary: str
    right: str | None  # None: any token that holds
    answer: tuple[str, Mapping[str, Any]]
    takes: tuple[Mapping[str, Any], ...] = field(default=())
    words: str = ""


_JSON = "application/json"
_TEXT: Mapping[str, Any] = {"$ref": "#/components/schemas/Text"}

OWN: tuple[Own, ...] = (
    Own("reference", "GET", "/", "This description for people to read", None, ("text/html", {"type": "string"})),
    Own("document", "GET", "/openapi.json", "This description", None, (_JSON, {"type": "object"})),
    Own(
        "lookup",
        "GET",
        "/lookup",
        "Who is that? For a CRM that has a number",
        lookup.RIGHT,
        (_JSON, lookup.SCHEMA),
        (
            {"name": "number", "in": "query", "required": True, "schema": _TEXT},
            {"name": "line", "in": "query", "schema": _TEXT, "description": "The line that would call it."},
        ),
    ),
    Own(
        "events",
        "GET",
        "/events",
        "What happens, as it happens: calls and texts",
        None,
        ("text/event-stream", {"type": "string"}),
        stream.TAKES,
        "Server-sent events that go on until the token holds no more. Each tells ids, states and names of ours that the"
        " token may know of: no number, no word of a text.",
    ),
)
