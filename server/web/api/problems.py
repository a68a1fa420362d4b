"""What a program is told when something is refused: RFC 9457, with the code and the remedy of the Failure.

Never a traceback, a path of this machine or a stored value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from server.failure import Failure

CONTENT_TYPE = "application/problem+json"

STATUS: Mapping[str, int] = {
    "misuse": 400,
    "malformed": 400,
    "unauthenticated": 401,
    "denied": 403,
    "step_up": 403,
    "not_found": 404,
    "no_method": 405,
    "not_acceptable": 406,
    "taken": 409,
    "conflict": 409,
    "in_progress": 409,
    "too_large": 413,
    "media_type": 415,
    "invalid": 422,
    "key_reused": 422,
    "configuration": 422,
    "locked": 423,
    "too_many": 429,
    "throttled": 429,
    "fault": 500,
    "damaged": 503,
    "failed": 503,
    "not_running": 503,
    "unavailable": 503,
    "full": 507,
}
"""Code -> status. `fault` is our own: it is in the log, and never meant to happen."""

TITLES: Mapping[str, str] = {
    "misuse": "The request names something that does not exist here, or leaves something out",
    "malformed": "The request cannot be read",
    "unauthenticated": "No token that holds",
    "denied": "Not permitted",
    "step_up": "A second factor is needed",
    "not_found": "Not found",
    "no_method": "No such method here",
    "not_acceptable": "Only JSON is spoken here",
    "taken": "Already taken",
    "conflict": "Not possible in its present state",
    "in_progress": "The same request is still being worked on",
    "too_large": "The request is too large",
    "media_type": "The body has to be JSON",
    "invalid": "A value is not right",
    "key_reused": "The idempotency key belongs to another request",
    "configuration": "The configuration is not right",
    "locked": "Locked",
    "too_many": "Too many requests",
    "throttled": "Too many tries",
    "fault": "The server failed",
    "damaged": "Something stored is damaged",
    "failed": "It did not work",
    "not_running": "A part of the server is not running",
    "unavailable": "Not available at present",
    "full": "No room left",
}


@dataclass(frozen=True, slots=True)
class Wrong:
    """One field that is not right. `where`: path, query, body or header."""

    where: str
    name: str
    why: str


class Refused(Failure):
    """A Failure that also names the fields that are wrong, or headers that go with the answer."""

    def __init__(
        self, what: str, remedy: str, code: str, wrong: Sequence[Wrong] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what, remedy, code)
        self.wrong = tuple(wrong)
        self.headers = dict(headers or {})


def status_of(code: str) -> int:
    return STATUS.get(code, 503)


def problem(failure: Failure) -> web.Response:
    code = failure.code if failure.code in STATUS else "failed"
    body: dict[str, object] = {
        "type": f"/api/v1/#problem-{code}",
        "title": TITLES[code],
        "status": STATUS[code],
        "detail": failure.what,
        "code": code,
        "remedy": failure.remedy,
    }
    headers: dict[str, str] = {}
    if isinstance(failure, Refused):
        headers = failure.headers
        if failure.wrong:
            body["wrong"] = [{"in": one.where, "name": one.name, "why": one.why} for one in failure.wrong]
    return web.Response(
        body=json.dumps(body, ensure_ascii=False).encode(),
        status=STATUS[code],
        content_type=CONTENT_TYPE,
        headers=headers,
    )


def fault() -> web.Response:
    """For what we did not foresee. Says nothing of what it was."""
    return problem(Failure("the server failed", "Try again; whoever runs it finds the reason in its log", "fault"))


SCHEMA: Mapping[str, object] = {
    "type": "object",
    "description": "RFC 9457. `code` is for programs, `detail` and `remedy` are for people.",
    "required": ["type", "title", "status", "detail", "code", "remedy"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(STATUS)},
        "remedy": {"type": "string"},
        "wrong": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["in", "name", "why"],
                "properties": {
                    "in": {"enum": ["path", "query", "header", "body"]},
                    "name": {"type": "string"},
                    "why": {"type": "string"},
                },
            },
        },
    },
}
