"""The cookies of the portal. Each is ours alone (`__Host-`: by TLS, for this host), and no script reads it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

SESSION = "__Host-session"  # who has signed in
BROWSER = "__Host-browser"  # that this browser has been signed in with before
VISIT = "__Host-visit"  # what forms hang on before sign-in
CHALLENGE = "__Host-challenge"  # between the password and the second factor
LOOK = "__Host-look"  # language, theme, zone
SAID = "__Host-said"  # one message for the next page

YEAR_S = 365 * 24 * 3600
SAID_S = 60
_SAID_MAX = 2000

Kind = Literal["good", "info", "bad"]


@dataclass(frozen=True, slots=True)
class Said:
    """What the last request has done, told on the page that comes after it."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Look:
    """How somebody wants to see pages, where they have chosen: empty means no choice."""

    language: str = ""
    theme: str = ""
    zone: str = ""


def keep(answer: web.StreamResponse, name: str, value: str, max_age_s: int | None = None) -> None:
    """`max_age_s` None: until the browser is closed."""
    answer.set_cookie(name, value, max_age=max_age_s, path="/", secure=True, httponly=True, samesite="Lax")


def forget(answer: web.StreamResponse, name: str) -> None:
    answer.set_cookie(name, "", max_age=0, path="/", secure=True, httponly=True, samesite="Lax")


def packed(values: Mapping[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False).encode()).decode().rstrip("=")


def unpacked(text: str) -> dict[str, str]:
    """What `packed` made; empty for anything else."""
    try:
        read = json.loads(base64.urlsafe_b64decode(text[: 2 * _SAID_MAX] + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return {k: v for k, v in read.items() if isinstance(v, str)} if isinstance(read, dict) else {}


def said(text: str) -> Said | None:
    read = unpacked(text)
    kind = read.get("kind")
    if kind not in ("good", "info", "bad") or not read.get("text"):
        return None
    return Said(kind, read["text"])  # type: ignore[arg-type]


def say(answer: web.StreamResponse, message: Said) -> None:
    keep(answer, SAID, packed({"kind": message.kind, "text": message.text[:_SAID_MAX]}), SAID_S)
