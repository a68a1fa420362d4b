"""What a request says besides its route: the token, reason and case, the body."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from aiohttp import web

from server.web.api import bounds
from server.web.api.bounds import Unbounded
from server.web.api.problems import Refused, Wrong

REASON, CASE = "X-Reason", "X-Case"
MAX_REASON_CHARS, MAX_CASE_CHARS = 500, 100

_BEARER = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/=-]{1,200})")


def bearer(request: web.Request) -> str | None:
    """The token, where exactly one was sent (RFC 6750, section 2.1; neither in the address nor in a cookie)."""
    sent = request.headers.getall("Authorization", [])
    found = _BEARER.fullmatch(sent[0].strip()) if len(sent) == 1 else None
    return found[1] if found else None


def reason(request: web.Request) -> str | None:
    """Raises Refused."""
    return _words(request, REASON, MAX_REASON_CHARS)


def case(request: web.Request) -> str | None:
    """Raises Refused."""
    return _words(request, CASE, MAX_CASE_CHARS)


def query(request: web.Request) -> dict[str, list[str]]:
    """Each name with all its values."""
    return {name: request.query.getall(name) for name in request.query}


def one(given: dict[str, list[str]], name: str) -> str | None:
    """Taken out of a query. Raises Refused where it stands there more than once."""
    sent = given.pop(name, [])
    if len(sent) > 1:
        raise wrong_query(name, "stands there more than once")
    return sent[0] if sent else None


def check_query(**texts: str | None) -> None:
    """Raises Refused."""
    for name, text in texts.items():
        try:
            bounds.check(text)
        except Unbounded as error:
            raise wrong_query(name, str(error)) from None


def wrong_query(name: str, why: str) -> Refused:
    return Refused(f"{name} {why}", "Correct it", "misuse", (Wrong("query", name, why),))


def _words(request: web.Request, header: str, longest: int) -> str | None:
    """A header of words: UTF-8, with what is beyond ASCII written as %C3%A9. Raises Refused."""
    sent = request.headers.getall(header, [])
    if len(sent) > 1:
        raise _wrong(header, "stands there more than once")
    if not sent:
        return None
    try:
        text = unquote_to_bytes(sent[0].encode("utf-8", "surrogateescape")).decode().strip()
        bounds.check(text, longest=longest)
    except UnicodeDecodeError:
        raise _wrong(header, "is no UTF-8") from None
    except Unbounded as error:
        raise _wrong(header, str(error)) from None
    return text or None


async def body(request: web.Request) -> bytes:
    """The body as it was sent, JSON by its own account; empty where there is none. Raises Refused."""
    if "Content-Encoding" in request.headers:
        raise Refused("the body is encoded", "Send it as it is", "media_type")
    if not request.body_exists:
        return b""
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
        raise Refused("the body is no JSON", "Send it with Content-Type: application/json", "media_type")
    if (request.content_length or 0) > bounds.MAX_BODY_BYTES:
        raise _too_large()
    read = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        read += chunk
        if len(read) > bounds.MAX_BODY_BYTES:
            raise _too_large()
    return bytes(read)


def _too_large() -> Refused:
    return Refused(f"the body is larger than {bounds.MAX_BODY_BYTES} bytes", "Send it in parts", "too_large")


def _wrong(header: str, why: str) -> Refused:
    return Refused(f"{header} {why}", "Correct it", "misuse", (Wrong("header", header, why),))
