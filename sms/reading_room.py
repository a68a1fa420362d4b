"""A reading room: a process that lives for one opening of an inbox, then forgets by ending.

Started by `sms.reading_client`: standard input is the control socket, standard output the person's terminal, as of the
rooms in which recordings are heard (`recording.room`). It asks for passphrase and code, and opens what the daemon hands
over. What it would show it names first; the daemon writes that down, and only then is a word of it given out.

    control   daemon {job}; room {"event": "opened", "totp_step"}, daemon {"proceed"}
              daemon {"texts": [...], "kek_wraps"} and what is sealed of each as a block (recording.room_messages), room
              {"event": "found", "ids": [...]}, daemon {"proceed"}; again, until none
              room {"event": "closed", "moved": [id...]} and each sealed anew as a block
              or, at any point, {"event": "refused", "why", "totp_step"}
    terminal  room {"ask"}, terminal {"answer"}; room {"text": {...}} and its words as a block, for each; {"end": count}
              or {"refused": why}
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import unicodedata
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any, Final

from recording import keys as key_tools
from recording.credentials import BadCredentials, check
from recording.hardening import harden
from recording.room_messages import HungUp, Lines
from recording.text_opening import TextRing
from sms import sealing

ANSWER_S: Final = 120.0  # how long somebody may think about a passphrase
CONTROL_S: Final = 60.0


class Refused(Exception):
    """It stays closed."""

    def __init__(self, why: str, totp_step: int | None = None) -> None:
        super().__init__(why)
        self.why: Final = why
        self.totp_step: Final = totp_step


def serve(control: Lines, terminal: Lines) -> None:
    """One opening, whatever its end."""
    job = control.receive()
    try:
        _open(job, control, terminal)
    except Refused as refusal:
        told = "credentials" if refusal.why in ("replay", "bundle") else refusal.why
        with contextlib.suppress(HungUp):
            terminal.send({"refused": told})
        control.send({"event": "refused", "why": refusal.why, "totp_step": refusal.totp_step})


def _open(job: dict[str, Any], control: Lines, terminal: Lines) -> None:
    try:
        passphrase, code = _ask(terminal, "passphrase"), _ask(terminal, "totp")
    except HungUp:
        raise Refused("hung-up") from None
    try:
        reader, step = check(
            b64decode(job["reader_bundle"]), passphrase, code, last_step=job["last_totp_step"], now=datetime.now(UTC)
        )
    except BadCredentials as bad:
        raise Refused(bad.why) from None
    if reader.reader_id != job["reader_id"]:
        raise Refused("keys", step)
    control.send({"event": "opened", "totp_step": step})
    if control.receive().get("proceed") is not True:
        raise Refused("denied", step)
    ring = TextRing(job["reader_id"], reader.secret)
    shown, moved = 0, dict[str, bytes]()
    while texts := (handed := control.receive()).get("texts"):
        ring.add(handed["kek_wraps"])
        sealed = [(one, control.receive_block()) for one in texts]
        opened = [(one, plain) for one, body in sealed if (plain := ring.open(one, body)) is not None]
        wanted = [(one, plain) for one, plain in opened if _matches(job["search"], sealing.said(plain))]
        control.send({"event": "found", "ids": [one["id"] for one, _ in wanted]})
        if control.receive().get("proceed") is not True:
            raise Refused("denied", step)
        for one, plain in wanted:
            shown += 1
            if job["seal_to"] is not None:
                moved[one["id"]] = _again(job["seal_to"], one["id"], plain)
            else:
                terminal.send({"text": one["about"]})
                terminal.send_block(sealing.said(plain).encode(errors="replace"))
    terminal.send({"end": shown, "closed": ring.closed})
    control.send({"event": "closed", "moved": list(moved)})
    for body in moved.values():
        control.send_block(body)


def _again(target: dict[str, str], text_id: str, plain: bytes) -> bytes:
    """For the readers of another inbox."""
    return key_tools.seal_text(
        plain,
        b64decode(target["public"]),
        text_id=text_id,
        purpose=target["purpose"],
        kek_id=target["kek_id"],
    )


def _matches(search: str | None, words: str) -> bool:
    return not search or folded(search) in folded(words)


def folded(text: str) -> str:
    """Without case and accents: as people search."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in plain if not unicodedata.combining(char))


def _ask(terminal: Lines, what: str) -> str:
    terminal.send({"ask": what})
    return str(terminal.receive().get("answer", ""))


def main() -> int:
    """Entry of `python -I -m sms.reading_room`."""
    harden(dies_with_parent=True)
    with socket.socket(fileno=os.dup(0)) as control, socket.socket(fileno=os.dup(1)) as terminal:
        try:
            serve(Lines(control, CONTROL_S), Lines(terminal, ANSWER_S))
        except HungUp:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
