"""Answers a provider's challenge to a text (RFC 7616, RFC 2617). Pure. For calls the edge does it by itself."""

from __future__ import annotations

import hashlib
import re

_FIELD = re.compile(r'([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_QUOTABLE = re.compile(r'[^"\\\r\n]*')


def credentials(challenge: str, *, user: str, realm: str, ha1: str, method: str, uri: str, cnonce: str) -> str | None:
    """The value of (Proxy-)Authorization; None where this challenge is not answered: another realm than the one that
    the credentials are for, another algorithm than MD5, a stranger's form. `ha1`: MD5(user:realm:password)."""
    scheme, _, rest = challenge.strip().partition(" ")
    values = {name.lower(): quoted or plain for name, quoted, plain in _FIELD.findall(rest)}
    nonce, qops = values.get("nonce", ""), values.get("qop", "")
    if scheme.lower() != "digest" or values.get("realm") != realm or not nonce:
        return None
    if values.get("algorithm", "MD5").upper() != "MD5" or not all(map(_QUOTABLE.fullmatch, values.values())):
        return None
    if qops and "auth" not in [qop.strip().lower() for qop in qops.split(",")]:
        return None
    middle = f"{nonce}:00000001:{cnonce}:auth" if qops else nonce
    response = _md5(f"{ha1}:{middle}:{_md5(f'{method}:{uri}')}")
    fields = [f'username="{user}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{uri}"', f'response="{response}"']
    fields += ["algorithm=MD5"]
    fields += [f'cnonce="{cnonce}"', "qop=auth", "nc=00000001"] if qops else []
    fields += [f'opaque="{values["opaque"]}"'] if "opaque" in values else []
    return f"Digest {', '.join(fields)}"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
