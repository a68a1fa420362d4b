"""`beffroi doctor`: what is wrong on this machine, in plain words, with the remedy."""

from __future__ import annotations

import textwrap
from pathlib import Path

from server.checks import instance, machine
from server.checks.finding import Finding

WIDTH = 80
_MARKS = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}


def examine(data: Path) -> list[Finding]:
    """Everything that is looked at, good or not. Changes nothing."""
    return [*machine.examine(), *instance.examine(data)]


def text(findings: list[Finding]) -> str:
    """For people: what is wrong comes last, where it is read."""
    order = {"ok": 0, "note": 1, "wrong": 2}
    lines = []
    for finding in sorted(findings, key=lambda one: order[one.verdict]):
        head = f"{_MARKS[finding.verdict]}  {finding.check}: "
        lines += textwrap.wrap(head + finding.what, WIDTH, subsequent_indent=" " * 7, break_long_words=False)
        if finding.remedy:
            lines += textwrap.wrap(f"-> {finding.remedy}", WIDTH, initial_indent=" " * 7, subsequent_indent=" " * 10,
                                   break_long_words=False)  # fmt: skip
    bad = sum(1 for finding in findings if finding.verdict == "wrong")
    return "\n".join([*lines, "", "nothing is wrong" if not bad else f"{bad} thing(s) wrong"])
