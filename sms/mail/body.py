"""The words of a mail: its first plain part, decoded, without what mail programs add. Pure.

RFC 2045 (encodings), RFC 2046 (parts), RFC 3676 (lines that flow, the mark of a signature).
"""

from __future__ import annotations

import base64
import codecs
import quopri
from collections.abc import Iterator
from email.message import Message

from sms.mail.answers import Rejection

PARTS_MAX = 50
DEPTH_MAX = 8
_SIGNATURES = {"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}
# By Python's own names. Nothing that is no alphabet, and nothing that escapes (UTF-7 and the like).
_CHARSETS = {
    *(
        "ascii",
        "utf-8",
        "utf-16",
        "utf-16-be",
        "utf-16-le",
        "koi8-r",
        "koi8-u",
        "mac-roman",
        "cp437",
        "cp850",
        "tis-620",
    ),
    *("gb2312", "gbk", "gb18030", "big5", "euc_jp", "iso2022_jp", "shift_jis", "euc_kr"),
    *(f"iso8859-{part}" for part in range(1, 17)),
    *(f"cp{page}" for page in range(1250, 1259)),
}
# What calls itself Latin 1 is Windows' alphabet of which Latin 1 is a part.
_IN_FACT = {"iso8859-1": "cp1252", "ascii": "utf-8"}


class Unreadable(Exception):
    """It gives no words; `because` says what to do."""

    def __init__(self, because: Rejection) -> None:
        super().__init__(because.status)
        self.because = because


def words(message: Message) -> str:
    """What is to be sent. Raises Unreadable."""
    plain: Message | None = None
    html = False
    for count, (part, related) in enumerate(_leaves(message)):
        if count >= PARTS_MAX:
            raise Unreadable(Rejection(554, "5.6.0", "too many parts: write plain text"))
        kind = part.get_content_type()
        attached = part.get_content_disposition() == "attachment"
        shown = not attached and part.get_filename() is None
        if kind in _SIGNATURES:
            continue
        if kind == "text/plain" and shown:
            plain = part if plain is None else plain
        elif kind == "text/html" and shown:
            html = True
        elif attached or not related:
            raise Unreadable(Rejection(554, "5.6.1", "a text carries no attachment: send it again without"))
    if plain is None:
        if html:
            raise Unreadable(Rejection(554, "5.6.1", "only HTML: have your mail program write plain text as well"))
        raise Unreadable(Rejection(554, "5.6.0", "there is no text in it: write some"))
    found = tidy(_flowing(plain, _decoded(plain)))
    if not found:
        raise Unreadable(Rejection(554, "5.6.0", "there is no text in it: write some, above the signature"))
    return found


def _leaves(message: Message, related: bool = False, depth: int = 0) -> Iterator[tuple[Message, bool]]:
    """Each part that has no parts, and whether it belongs to a page of HTML (RFC 2387): a logo is no attachment."""
    if message.get_content_maintype() == "message":
        raise Unreadable(Rejection(554, "5.6.1", "a mail within a mail cannot be sent: write the text itself"))
    inside = message.get_payload()
    if not isinstance(inside, list):
        yield message, related
        return
    related = related or message.get_content_subtype() == "related"
    if depth >= DEPTH_MAX:
        raise Unreadable(Rejection(554, "5.6.0", "too many parts: write plain text"))
    for part in inside:
        if isinstance(part, Message):
            yield from _leaves(part, related, depth + 1)


def _decoded(part: Message) -> str:
    encoding = str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower()
    try:
        match encoding:
            case "7bit" | "8bit" | "binary":
                given = part.get_payload(decode=True)
                raw = given if isinstance(given, bytes) else b""
            case "quoted-printable":
                raw = quopri.decodestring(str(part.get_payload()).encode("ascii"))
            case "base64":
                raw = base64.b64decode(b"".join(str(part.get_payload()).encode("ascii").split()), validate=True)
            case _:
                raise Unreadable(Rejection(554, "5.6.1", "an unknown transfer encoding: use quoted-printable"))
    except ValueError:
        raise Unreadable(Rejection(554, "5.6.0", f"its {encoding} is damaged: send it again")) from None
    try:
        name = codecs.lookup(part.get_content_charset("us-ascii")).name
        if name not in _CHARSETS:
            raise LookupError
        return raw.decode(_IN_FACT.get(name, name))
    except LookupError:
        raise Unreadable(Rejection(554, "5.6.1", "an unknown charset: use UTF-8")) from None
    except UnicodeError:
        raise Unreadable(Rejection(554, "5.6.0", "it is not in the charset that it names: use UTF-8")) from None


def _flowing(part: Message, text: str) -> str:
    """RFC 3676 section 4.1 and 4.2: soft line breaks taken back. Other text as it is."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if str(part.get_param("format", "")).lower() != "flowed":
        return text
    gone = str(part.get_param("delsp", "")).lower() == "yes"
    lines: list[str] = []
    soft = False
    for line in text.split("\n"):
        line = line.removeprefix(" ")
        if soft and line != "-- ":
            lines[-1] += line
        else:
            lines.append(line)
        soft = line.endswith(" ") and line != "-- "
        if soft and gone:
            lines[-1] = lines[-1].removesuffix(" ")
    return "\n".join(lines)


def tidy(text: str) -> str:
    """Up to the mark of a signature; without blank ends, and without what cannot be seen."""
    kept = []
    for line in text.split("\n"):
        if line in ("-- ", "--"):  # the blank is often lost on the way
            break
        kept.append("".join(c for c in line.replace("\t", " ") if c >= " " and c not in "\x7f\ufeff").rstrip())
    return "\n".join(kept).strip()
