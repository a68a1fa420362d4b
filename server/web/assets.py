"""What pages are made of: style, scripts and pictures, each under a name that changes with its content."""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PLACE = Path(__file__).with_name("static")
PREFIX = "/static/"
KINDS: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".png": "image/png",
}


@dataclass(frozen=True, slots=True)
class Asset:
    kind: str
    body: bytes
    packed: bytes  # gzip


class Assets:
    """All of them, in memory: there are few, and they are small."""

    def __init__(self, place: Path = PLACE) -> None:
        self._by_path: dict[str, Asset] = {}
        self._paths: dict[str, str] = {}
        for file in sorted(place.iterdir()):
            kind = KINDS.get(file.suffix)
            if kind is None:
                continue
            body = file.read_bytes()
            path = f"{PREFIX}{file.stem}.{hashlib.sha256(body).hexdigest()[:12]}{file.suffix}"
            self._by_path[path] = Asset(kind, body, gzip.compress(body, mtime=0))
            self._paths[file.name] = path

    def path(self, name: str) -> str:
        """Where `name` is found. Raises KeyError: a template names what is not there."""
        return self._paths[name]

    def get(self, path: str) -> Asset | None:
        return self._by_path.get(path)


@functools.cache
def shipped() -> Assets:
    return Assets()
