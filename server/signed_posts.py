"""A POST to a place that the configuration names, signed so that the other side knows whose it is.

Nothing follows a redirection, nothing waits longer than TIMEOUT_S, no proxy of the environment is asked, and a
certificate that does not hold ends it.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp

from config.paths import Paths
from config.settings import Settings
from server.failure import Failure
from server.services import secret_sources
from sms.mail.aside import aside

SIGNATURE = "Beffroi-Signature"
TIMEOUT_S = 10.0


class NotTaken(Exception):
    """Why, in words that name no secret and no address."""


@dataclass(frozen=True, slots=True)
class Place:
    """Who is told. `secret`: its name among the secrets; `ca_file`: who vouches for it, empty for whom this machine
    trusts."""

    url: str
    secret: str
    ca_file: str = ""


@dataclass(frozen=True, slots=True)
class Means:
    """What is needed to tell it."""

    secret: bytes = field(repr=False)
    tls: ssl.SSLContext | bool


async def means(settings: Settings, paths: Paths, place: Place) -> Means:
    """Read in a thread: a smart card, or a slow disk, holds up no call. Raises NotTaken."""

    def read() -> Means:
        return Means(secret(settings, paths, place.secret), _trust(place))

    try:
        return await aside(read, TIMEOUT_S, "signed post")
    except TimeoutError:
        raise NotTaken(f"secret {place.secret}: no answer in time") from None


def session() -> aiohttp.ClientSession:
    """For as many as are sent to one place."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    return aiohttp.ClientSession(timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())


async def post(
    by: aiohttp.ClientSession,
    place: Place,
    means: Means,
    body: bytes,
    at: datetime,
    headers: Mapping[str, str] | None = None,
) -> None:
    """`body`: JSON. Raises NotTaken."""
    said = {
        **(headers or {}),
        "Content-Type": "application/json",
        SIGNATURE: signature(means.secret, body, at),
    }
    try:
        async with by.post(place.url, data=body, headers=said, allow_redirects=False, ssl=means.tls) as answer:
            if not 200 <= answer.status < 300:
                raise NotTaken(f"it answered {answer.status}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NotTaken(type(error).__name__) from None


def signature(secret: bytes, body: bytes, at: datetime) -> str:
    """`t=<unix time>,v1=<hex>`: HMAC-SHA256 over time, a dot and the body, so that an old one cannot be sent again."""
    stamp = str(int(at.timestamp()))
    return f"t={stamp},v1={hmac.digest(secret, stamp.encode() + b'.' + body, hashlib.sha256).hex()}"


def secret(settings: Settings, paths: Paths, name: str) -> bytes:
    """Raises NotTaken."""
    try:
        with secret_sources.source(settings, paths) as get:
            found = get(name).rstrip(b"\n")
    except Failure as failure:
        raise NotTaken(f"secret {name}: {failure.what}") from None
    if not found:
        raise NotTaken(f"secret {name}: it is empty")
    return found


def _trust(place: Place) -> ssl.SSLContext | bool:
    """Raises NotTaken."""
    if not place.url.startswith("https:"):
        return True
    try:
        return ssl.create_default_context(cafile=place.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise NotTaken(f"its certificates cannot be used: {type(error).__name__}") from None
