"""Forms as browsers send them, files among them: read piece by piece, bounded, and kept in memory alone.

aiohttp's own reader of forms writes each file to the disk in clear; a list of people has no business there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import MultiDict

from server.failure import Failure

MOST_FIELDS = 2000
MOST_AT_ONCE = 4  # forms with files that are being read
SLOWEST_S = 120.0
_PIECE = 64 * 1024
_PLAIN = frozenset({"", "7bit", "8bit", "binary"})
_reading = 0


@dataclass(frozen=True, slots=True)
class Upload:
    """`name`: what the browser calls it; it names nothing here."""

    name: str = field(repr=False)
    body: bytes = field(repr=False)


async def form(request: web.Request, most_bytes: int, *, takes_files: bool) -> tuple[MultiDict[str], dict[str, Upload]]:
    """Its texts and its files. Raises Failure, HTTPRequestEntityTooLarge, and ValueError for what is no form, or has
    parts where no files are taken."""
    if request.content_type != "multipart/form-data":
        read = await request.post()
        texts = MultiDict((name, value) for name, value in read.items() if isinstance(value, str))
        return texts, {}
    if not takes_files:
        raise ValueError("no form of a page")
    global _reading
    if _reading >= MOST_AT_ONCE:
        raise Failure("others are sending files just now", "Try again in a minute", "busy")
    _reading += 1
    try:
        async with asyncio.timeout(SLOWEST_S):
            return await _parts(request, most_bytes)
    except HttpProcessingError:  # a boundary that never comes, headers without end
        raise ValueError("no form of a page") from None
    except TimeoutError:
        raise Failure("the file took too long to come", "Send it again over a better line", "invalid") from None
    finally:
        _reading -= 1


async def _parts(request: web.Request, most_bytes: int) -> tuple[MultiDict[str], dict[str, Upload]]:
    texts: MultiDict[str] = MultiDict()
    files: dict[str, Upload] = {}
    left = most_bytes
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader) or not part.name or len(texts) + len(files) >= MOST_FIELDS:
            raise ValueError("no form of a page")
        if hdrs.CONTENT_ENCODING in part.headers or _transfer(part) not in _PLAIN:
            raise Failure("a packed file is not unpacked here", "Send it as it is", "invalid")
        body = bytearray()
        while piece := await part.read_chunk(_PIECE):
            left -= len(piece)
            if left < 0:
                raise web.HTTPRequestEntityTooLarge(most_bytes, most_bytes - left)
            body += piece
        if part.filename is None:
            texts.add(part.name, body.decode())
        elif body or part.filename:
            files[part.name] = Upload(part.filename, bytes(body))
    return texts, files


def _transfer(part: BodyPartReader) -> str:
    return part.headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "").strip().lower()
