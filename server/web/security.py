"""What the browser is told and what is refused from it. Pure: headers, names and tokens go in, a decision comes out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

REPORTS = "/reports/policy"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "media-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        f"report-uri {REPORTS}",
    )
)

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Server": "",
}
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_TOKEN_BYTES = 32
_YEAR_S = 365 * 24 * 3600


def headers(host: str) -> dict[str, str]:
    """For every answer. RFC 6797 says for how long TLS is insisted on; localhost is shared with other programs."""
    if host == "localhost":
        return dict(_HEADERS)
    return {**_HEADERS, "Strict-Transport-Security": f"max-age={_YEAR_S}"}


def is_our_host(named: str, origin: str) -> bool:
    """Whether the Host header names us. Anything else is DNS rebinding, or a name without passkeys."""
    return named.lower() == urlsplit(origin).netloc


def is_foreign(sent: Mapping[str, str], origin: str) -> bool:
    """Whether another site makes the browser send this (Fetch Metadata, RFC 6454).

    A browser says one of the two with each form; a program that says neither has no cookie that we gave it.
    """
    site, named = sent.get("Sec-Fetch-Site"), sent.get("Origin")
    if site is not None and site != "same-origin":
        return True
    return named is not None and named != origin


def form_token(secret: str) -> str:
    """What a form carries to prove that it is ours. Another each time, so that compression tells nothing (BREACH)."""
    mask = os.urandom(_TOKEN_BYTES)
    return base64.urlsafe_b64encode(mask + _xor(mask, _form_key(secret))).decode().rstrip("=")


def is_form_token(token: str, secret: str) -> bool:
    """Whether `form_token` made it of the same secret, be it before a restart."""
    try:
        both = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    if len(both) != 2 * _TOKEN_BYTES:
        return False
    return hmac.compare_digest(_xor(both[:_TOKEN_BYTES], both[_TOKEN_BYTES:]), _form_key(secret))


def local_path(wanted: str | None) -> str:
    """Where to go after sign-in: a path of ours, or the first page. Never somewhere else, however it is written."""
    if not wanted or len(wanted) > 500 or not wanted.startswith("/") or wanted[1:2] in {"/", "\\"}:
        return "/"
    if any(ord(letter) < 0x21 or letter == "\\" or ord(letter) > 0x7E for letter in wanted):
        return "/"
    parts = urlsplit(wanted)
    return "/" if parts.scheme or parts.netloc else wanted


def source_of(peer: str, forwarded: Iterable[str], proxies: Iterable[str]) -> str:
    """Who asks: the last address of X-Forwarded-For that is none of our proxies, believed from a proxy alone."""
    networks = [ipaddress.ip_network(one) for one in proxies]

    def is_proxy(address: str) -> bool:
        try:
            read = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(read in network for network in networks)

    said = [part.strip() for header in forwarded for part in header.split(",")]
    source = peer
    while is_proxy(source) and said:
        source = said.pop()
    try:
        return str(ipaddress.ip_address(source))
    except ValueError:
        return peer


def _form_key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"beffroi/form/1", hashlib.sha256)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
