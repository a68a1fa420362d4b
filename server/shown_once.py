"""Secrets as they are shown to a person, once: as text, and as a QR code where there is a screen for it."""

from __future__ import annotations

import io
from typing import TextIO
from urllib.parse import quote


def qr(text: str) -> str:
    """The code in half blocks, for a terminal."""
    import segno

    out = io.StringIO()
    segno.make(text, error="m").terminal(out, compact=True, border=2)
    return out.getvalue()


def wants_qr(stream: TextIO, asked: bool | None) -> bool:
    """On a terminal that can draw it, or when asked for."""
    if asked is not None:
        return asked
    return stream.isatty() and "utf" in (stream.encoding or "").lower()


def device_uri(user: str, password: str, domain: str, port: int) -> str:
    """RFC 3261 section 19.1.1, with the password where phones expect it when they read a code."""
    host = domain if port == 5061 else f"{domain}:{port}"
    return f"sip:{quote(user)}:{quote(password)}@{host};transport=tls"


def otpauth_uri(login: str, secret: str, issuer: str) -> str:
    """As authenticator programs read it: RFC 6238 with its defaults (SHA-1, 6 digits, 30 s)."""
    label = f"{quote(issuer)}:{quote(login)}"
    return f"otpauth://totp/{label}?secret={secret}&issuer={quote(issuer)}"
