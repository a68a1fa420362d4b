"""What a MESSAGE holds: content type and bytes in, words out. Pure.

Words come as text/plain, alone or wrapped in CPIM (RFC 3862), which Linphone sends. Without a charset it is UTF-8
(RFC 3261 section 20.15; baresip names none). A notice that a text was shown or delivered (IMDN, RFC 5438) is taken and
left there: nobody here asks for one, and none is ever sent, for when somebody reads is theirs to tell. "Is typing"
(RFC 3994) is refused like everything else, so that it is sent once and not at every key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.message import Message
from email.parser import Parser

ACCEPTED = ("text/plain", "message/cpim")  # what the Accept header of a 415 names; the edge writes the same
_NOTICE = "message/imdn+xml"
_CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "utf-8", "iso-8859-1": "iso-8859-1", "latin1": "iso-8859-1"}
_HEADERS_MAX = 4096  # bytes, of a CPIM wrapper
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff]")  # all controls but tab and line ends


@dataclass(frozen=True, slots=True)
class Words:
    """A text. Lines end in \\n, nothing in it is invisible to everybody, and it is not empty."""

    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """A delivery notice: taken, and of no consequence."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Another type, charset or encoding: 415."""


@dataclass(frozen=True, slots=True)
class Garbled:
    """It is not what it says it is, or it is empty: 400."""


Content = Words | Notice | Unsupported | Garbled


def read(content_type: str, body: bytes) -> Content:
    """What somebody wrote. `content_type`: the value of the header; "" is text/plain (RFC 2045 section 5.2)."""
    kind, charset = _type(content_type)
    match kind:
        case "text/plain":
            return _words(charset, body)
        case "message/cpim":
            return _unwrapped(body)
        case _ if kind == _NOTICE:
            return Notice()
        case _:
            return Unsupported()


def _type(value: str) -> tuple[str, str]:
    head = Message()
    head["Content-Type"] = re.sub(r"[\r\n]+", " ", value) or "text/plain"
    return head.get_content_type(), head.get_content_charset("utf-8")


def _words(charset: str, body: bytes) -> Content:
    codec = _CHARSETS.get(charset)
    if codec is None:
        return Unsupported()
    try:
        text = body.decode(codec)
    except UnicodeDecodeError:
        return Garbled()
    text = _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return Words(text) if text.strip() else Garbled()


def _unwrapped(body: bytes) -> Content:
    """CPIM: its own headers, an empty line, the headers of what is inside, an empty line, and that. Who sends and who
    is meant stands in the SIP request, which was proven; what the wrapper says of it is not read."""
    _, first, rest = _split(body)
    inner, second, content = _split(rest)
    if not first or not second:
        return Garbled()
    headers = Parser().parsestr(inner.decode("utf-8", "replace"), headersonly=True)
    if headers.get("Content-Transfer-Encoding", "8bit").strip().lower() not in ("7bit", "8bit", "binary"):
        return Unsupported()
    kind = headers.get("Content-Type", "text/plain")
    return Unsupported() if _type(kind)[0] == "message/cpim" else read(kind, content)


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Headers, the empty line after them (b"" if there is none), and what follows."""
    for end in (b"\r\n", b"\n"):
        if data.startswith(end):
            return b"", end, data[len(end) :]
    found = re.search(rb"\r?\n\r?\n", data[:_HEADERS_MAX])
    return (data[: found.start()], found[0], data[found.end() :]) if found else (data, b"", b"")
