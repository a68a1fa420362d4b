"""Kamailio's own log, made fit to keep: pure, a line in, a record out.

While it starts, Kamailio speaks of its configuration only and is quoted in full. Once it serves, any word of a line
may come from a message: kept are level, module, source position and function, which name the fault exactly, and the
fixed texts of our own template.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

_LINE = re.compile(
    r"^\s*\d+\(\d+\) (?P<level>[A-Z]+): (?:\{[^}]*\} )?(?P<module><?[A-Za-z0-9_]+>?)"
    r"(?: \[(?P<place>[A-Za-z0-9_./-]+:\d+)\])?:"
    r" (?:(?P<function>[A-Za-z0-9_]+)\(\):)?\s*(?P<text>.*)$"
)
_LEVELS = {
    "ALERT": logging.CRITICAL,
    "BUG": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "NOTICE": logging.DEBUG,
    "INFO": logging.DEBUG,
    "DEBUG": logging.DEBUG,
}
# Kamailio says this at every start, whatever the memory is; nothing can be set to silence it.
_HARMLESS = (("tls", "tls_h_mod_init_f", "openssl bug #1491"),)
# Where Kamailio complains of what a peer has sent, several lines a message: no fault of ours.
_PEERS_FAULT = ("core/parser/", "core/receive.c", "core/tcp_read.c", "core/msg_translator.c")
_SCRIPT = "<script>"
_OWN_TEXT = re.compile(r"[a-z ]+")  # the template logs nothing but plain words


@dataclass(frozen=True, slots=True)
class DaemonLine:
    """One line of Kamailio's log."""

    level: int  # of the logging module
    module: str  # "<core>", "tls", "<script>"
    place: str  # "core/parser/msg_parser.c:337", "" when unknown
    function: str
    text: str  # may quote a message: see scrubbed()

    def scrubbed(self) -> str:
        """What may be logged while the edge serves."""
        if self.module == _SCRIPT and _OWN_TEXT.fullmatch(self.text):
            return self.text
        return " ".join(part for part in (self.module, self.function, self.place) if part)


def parse(line: str) -> DaemonLine | None:
    """None for a line that is not in the form of Kamailio's log (banner, output of a library)."""
    match = _LINE.match(line)
    if match is None:
        return None
    return DaemonLine(
        level=_level(match),
        module=match["module"],
        place=match["place"] or "",
        function=match["function"] or "",
        text=match["text"].strip(),
    )


def _level(match: re.Match[str]) -> int:
    for module, function, text in _HARMLESS:
        if match["module"] == module and match["function"] == function and match["text"].startswith(text):
            return logging.DEBUG
    if (match["place"] or "").startswith(_PEERS_FAULT):
        return logging.DEBUG
    if match["module"] == _SCRIPT and match["level"] == "NOTICE":
        return logging.INFO
    return _LEVELS.get(match["level"], logging.WARNING)


class Throttle:
    """Lets the same line through a few times in a while. Pure: the time is passed in."""

    def __init__(self, most: int = 5, window_s: float = 60.0) -> None:
        self._most = most
        self._window_s = window_s
        self._since_s = 0.0
        self._seen: dict[str, int] = {}

    def passes(self, text: str, now_s: float) -> bool:
        if now_s - self._since_s > self._window_s:
            self._since_s, self._seen = now_s, {}
        self._seen[text] = self._seen.get(text, 0) + 1
        return self._seen[text] <= self._most

    def last(self, text: str) -> bool:
        """Whether this line, having just passed, will not pass again for a while."""
        return self._seen.get(text, 0) == self._most
