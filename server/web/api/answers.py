"""How an answer is written: JSON, with an ETag where it can be asked for again."""

from __future__ import annotations

import hashlib
import json
import re

from aiohttp import web

_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def json_answer(request: web.Request, answer: object) -> web.Response:
    """No more than its ETag to whoever holds it already (RFC 9110, section 13.1.2)."""
    body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
    return tagged(request, body, "application/json")


def tagged(request: web.Request, body: bytes, content_type: str) -> web.Response:
    if request.method not in ("GET", "HEAD"):
        return web.Response(body=body, content_type=content_type, charset=None)
    tag = hashlib.sha256(body).hexdigest()[:32]
    held = request.headers.get("If-None-Match", "")
    if held.strip() == "*" or tag in _TAG.findall(held):
        return web.Response(status=304, headers={"ETag": f'"{tag}"'})
    charset = "utf-8" if content_type.startswith("text/") else None
    return web.Response(body=body, content_type=content_type, charset=charset, headers={"ETag": f'"{tag}"'})
