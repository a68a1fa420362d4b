"""What the browser keeps between the password and the second factor, and what it is given once somebody is in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiohttp import web

from server.services.sign_in import Challenge, SignedIn
from server.web import cookies
from server.web.visit import Visit

_WAYS = ("totp", "passkeys", "recovery")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody on the way in. `ways`: by which second factor they can go on."""

    token: str = field(repr=False)
    ways: frozenset[str]


def wait(answer: web.StreamResponse, challenge: Challenge) -> None:
    """Remember that the password was right."""
    ways: Iterable[str] = (way for way in _WAYS if getattr(challenge, way))
    cookies.keep(answer, cookies.CHALLENGE, cookies.packed({"token": challenge.token, "ways": " ".join(ways)}))


def waiting(visit: Visit) -> Waiting | None:
    read = cookies.unpacked(visit.request.cookies.get(cookies.CHALLENGE, ""))
    if not read.get("token"):
        return None
    return Waiting(read["token"], frozenset(read.get("ways", "").split()) & set(_WAYS))


def let_in(answer: web.StreamResponse, signed_in: SignedIn) -> None:
    """A session of its own: whatever the browser brought along is good for nothing any more (session fixation)."""
    cookies.keep(answer, cookies.SESSION, signed_in.session_token)
    if signed_in.browser_token:
        cookies.keep(answer, cookies.BROWSER, signed_in.browser_token, cookies.YEAR_S)
    cookies.forget(answer, cookies.CHALLENGE)
    cookies.forget(answer, cookies.VISIT)


def let_out(answer: web.StreamResponse) -> None:
    for name in (cookies.SESSION, cookies.CHALLENGE, cookies.VISIT):
        cookies.forget(answer, name)
