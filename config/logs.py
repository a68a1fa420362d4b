"""Logs: one JSON object a line or text for people, with whatever looks like a person's address taken out.

Code logs opaque ids only. This filter is the second line: numbers, SIP and telephone URIs and mail addresses are
replaced in the message, its arguments and exception texts, also those of libraries. Ids of 32 hexadecimal digits
stay.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Literal

_OPAQUE = r"(?<![0-9A-Za-z])[0-9a-f]{32}(?:[0-9a-f]{32})?(?![0-9A-Za-z])"
_URI = r"\b(?:sips?|tel|im|mailto):[^\s<>\"',)\]}]+"
_MAIL = r"[\w.+%-]+@[\w\[\]:-]+(?:\.[\w-]+)*"
_TIME = r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_ADDRESS = r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?![.\d])"
# Six digits or more, however they are grouped: +33 1 23 45 67 89, (01)23-45-67.
_NUMBER = r"(?<![0-9A-Za-z])(?:\+|\(\+?)?\d(?:[ \u00a0.()/-]{0,2}\d){5,}(?![0-9A-Za-z])"
_WITHIN = r"\d{6,}"  # a number glued to letters: alice0612345678
_ANY = re.compile(
    f"(?P<keep>{_OPAQUE}|{_TIME}|{_ADDRESS})|(?P<uri>{_URI})|(?P<mail>{_MAIL})|(?P<number>{_NUMBER}|{_WITHIN})",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with numbers, URIs and mail addresses replaced by [number], [uri], [mail]."""
    return _ANY.sub(lambda found: found[0] if found.lastgroup == "keep" else f"[{found.lastgroup}]", text)


class RedactingFormatter(logging.Formatter):
    """Turns a record into one line. Redacts the finished text, so nothing can come past it in an argument."""

    def __init__(self, shape: Literal["json", "text"]) -> None:
        super().__init__()
        self._shape = shape

    def format(self, record: logging.LogRecord) -> str:
        """One line, also for an exception in JSON; never raises, whatever the arguments are."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} (its arguments do not fit)"
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        error = redact(_exception_text(record))
        if self._shape == "json":
            line = {"at": at, "level": record.levelname.lower(), "from": record.name, "message": redact(message)}
            if error:
                line["error"] = error
            return json.dumps(line, ensure_ascii=False)
        text = f"{at} {record.levelname:<7} {record.name}: {redact(message)}"
        return f"{text}\n{error}" if error else text


def _exception_text(record: logging.LogRecord) -> str:
    info = record.exc_info
    parts = traceback.format_exception(*info) if isinstance(info, tuple) and info[0] else []
    if record.stack_info:
        parts.append(record.stack_info)
    return "".join(parts).rstrip()


# At level debug these would write down what passes through them: statements with their values, requests.
_TALKATIVE = ("aiohttp", "aiosqlite", "alembic", "asyncio", "asyncpg", "sqlalchemy")


def set_up(level: str, shape: Literal["json", "text"], stream: IO[str] | None = None) -> None:
    """Send everything to `stream` (standard error): the root logger, warnings, and exceptions nobody caught."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(RedactingFormatter(shape))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("uncaught").critical("ended by an error", exc_info=(kind, error, trace))
