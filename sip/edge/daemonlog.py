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
    "NOTICE": logging.INFO,
    "INFO": logging.DEBUG,
    "DEBUG": logging.DEBUG,
}
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
        level=_LEVELS.get(match["level"], logging.WARNING),
        module=match["module"],
        place=match["place"] or "",
        function=match["function"] or "",
        text=match["text"].strip(),
    )
