"""The person's end of a listening room: answers its questions, keeps an export or shows the address of the page."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from recording.room_messages import HungUp, Lines

_PATIENCE_S: Final = 30 * 60.0


class RoomRefused(Exception):
    """It stays closed; `why` is one of recording.room_messages.Why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why: Final = why


@dataclass(frozen=True, slots=True)
class Page:
    """Where to listen. It closes when the socket does."""

    url: str  # works once
    until: str  # ISO 8601, UTC
    state: str  # "whole" or "cut"


def export_to(sock: socket.socket, answer: Callable[[str], str], target: Path) -> str:
    """Keep an export in a new file (0600); returns "whole" or "cut". A failure leaves no file.

    `answer` is asked for "passphrase" and "totp". Raises RoomRefused, HungUp, OSError (FileExistsError).
    """
    lines = Lines(sock, _PATIENCE_S)
    state = str(_answers(lines, answer)["state"])
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "wb") as file:  # noqa: PTH123  (a descriptor, made exclusive)
            while block := lines.receive_block():
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return state


def secured_by(sock: socket.socket, answer: Callable[[str], str]) -> int:
    """How many keys of held recordings the reader wrapped once more; nothing is opened. Raises RoomRefused, HungUp."""
    return int(_answers(Lines(sock, _PATIENCE_S), answer)["secured"])


def page_of(sock: socket.socket, answer: Callable[[str], str]) -> Page:
    """The address of an opened room. Raises RoomRefused, HungUp."""
    said = _answers(Lines(sock, _PATIENCE_S), answer)
    return Page(str(said["url"]), str(said["until"]), str(said["state"]))


def wait_closed(sock: socket.socket) -> None:
    """Until the room has closed by itself; closing the socket earlier closes the room."""
    try:
        Lines(sock, _PATIENCE_S).receive()
    except HungUp:
        return


def _answers(lines: Lines, answer: Callable[[str], str]) -> dict[str, Any]:
    while True:
        said = lines.receive()
        if "refused" in said:
            raise RoomRefused(str(said["refused"]))
        if "ask" not in said:
            return said
        lines.send({"answer": answer(str(said["ask"]))})
