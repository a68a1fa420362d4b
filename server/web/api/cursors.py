"""Where a list goes on: opaque to the program that holds it, signed, and good for the same list and person only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.web.api.problems import Refused, Wrong

DEFAULT = 50
MAX_SIZE = 200
MAX_OFFSET = 1000 - 1  # what one operation gives at once (server.services.permitted), less the one that says more
_MAC_BYTES = 16

Fetch = Callable[[int], Awaitable[list[object]]]
"""The first so many of a list."""


@dataclass(frozen=True, slots=True)
class Place:
    """After so many, the last of which is known by its digest: what is new at the head of a list moves nothing."""

    offset: int = 0
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    items: list[object]
    after: Place | None


class Cursors:
    """`key` is the server's own; what is derived from it signs cursors alone."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._secret = hashlib.sha256(b"beffroi/api-cursor/1\0" + key.private_bytes_raw()).digest()

    def write(self, place: Place, bound: str) -> str:
        payload = json.dumps([place.offset, place.mark], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._mac(payload, bound) + payload).decode().rstrip("=")

    def read(self, text: str, bound: str) -> Place:
        """Raises Refused."""
        try:
            raw = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise _not_ours() from None
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload, bound)):
            raise _not_ours()
        offset, mark = json.loads(payload)
        return Place(offset, mark)

    def _mac(self, payload: bytes, bound: str) -> bytes:
        return hmac.digest(self._secret, bound.encode() + b"\0" + payload, hashlib.sha256)[:_MAC_BYTES]


def bound(person_id: str, operation: str, arguments: Mapping[str, object]) -> str:
    """What a cursor is good for."""
    return json.dumps([person_id, operation, sorted((k, str(v)) for k, v in arguments.items())])


async def page(fetch: Fetch, size: int, place: Place) -> Page:
    """The next `size` after `place`. Raises Refused where that is too deep."""
    if place.offset + size > MAX_OFFSET:
        raise Refused(f"a list is given up to {MAX_OFFSET} entries", "Narrow what you ask for", "invalid")
    wanted = place.offset + size + 1
    while True:
        items = await fetch(wanted)
        start = _after(items, place)
        short = start is None or len(items) <= start + size
        if not short or len(items) < wanted or wanted > MAX_OFFSET:
            break
        wanted = min(2 * wanted, MAX_OFFSET + 1)  # much is new at its head: look further
    if start is None:  # what it went on from is gone
        start = place.offset
    found = items[start : start + size]
    more = len(items) > start + size
    return Page(found, Place(start + size, digest(found[-1])) if more and found else None)


def digest(item: object) -> str:
    """What knows an item again: by its id where it has one."""
    known: object = item
    if isinstance(item, dict):
        known = next((item[key] for key in ("id", "seq", "user", "login", "name", "number") if key in item), item)
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def _after(items: list[object], place: Place) -> int | None:
    if not place.offset:
        return 0
    for index in range(min(place.offset, len(items)) - 1, len(items)):
        if index >= 0 and digest(items[index]) == place.mark:
            return index + 1
    return None


def _not_ours() -> Refused:
    wrong = (Wrong("query", "cursor", "belongs to no page of this list"),)
    return Refused("the cursor is not one of this list", "Begin again without it", "misuse", wrong)
