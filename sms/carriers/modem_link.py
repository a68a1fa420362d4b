"""One life of the process that holds a modem (`modem_process`): started, asked, listened to, ended.

What it was doing when it ended is read in libgammu's own account, which lies in memory that both have: a text whose
first byte had not gone to the modem by then has not been sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sms.carriers import modem_words
from sms.carriers.carrier import Accepted, NotSent, Submitted, Unknown

logger = logging.getLogger(__name__)

Words = dict[str, Any]
_PACKET: Final = 65536
_END_S: Final = 5.0


class Link:
    """`take_in`: commits a text or a receipt; `told`: hears everything else that the process says."""

    def __init__(self, take_in: Callable[[Words], Awaitable[None]], told: Callable[[Words], None]) -> None:
        self._take_in, self._told = take_in, told
        self._socket: socket.socket | None = None
        self._process: Process | None = None
        self._trace = -1
        self._waits: dict[int, asyncio.Future[Submitted]] = {}
        self._last = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def run(self, settings: Words) -> None:
        """Starts it, and returns when it has ended. To be called in the main thread: the kernel ends it with that."""
        self._trace = os.memfd_create("modem")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", "-m", "sms.carriers.modem_process", str(theirs.fileno()), str(self._trace),
                    pass_fds=[theirs.fileno(), self._trace],
                    stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True,
                )  # fmt: skip
            ours.setblocking(False)
            self._socket = ours
            self.tell(settings)
            await self._listen(ours)
        finally:
            self._socket = None
            await self._end(ours)
            self._settle()
            os.close(self._trace)

    def tell(self, words: Words) -> bool:
        """False: nobody is there to hear it."""
        if self._socket is None:
            return False
        try:
            self._socket.send(json.dumps(words).encode())
        except OSError:
            return False
        return True

    def begin(self, words: Words) -> asyncio.Future[Submitted] | None:
        """Tells it to send. What became of that is there at the latest when the process has ended. None: not told."""
        self._last += 1
        if not self.tell({"id": self._last, "words": words}):
            return None
        self._waits[self._last] = asyncio.get_running_loop().create_future()
        return self._waits[self._last]

    def kill(self) -> None:
        """It does not answer any more. `run` returns soon."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def _listen(self, ours: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                packet = await loop.sock_recv(ours, _PACKET)
            except OSError:
                return
            if not packet:
                return
            words: Words = json.loads(packet)
            match words["is"]:
                case "in":
                    self.tell({"verdict": words["n"], "committed": await self._committed(words)})
                case "sent":
                    self._answer(words["id"], Accepted(str(words["reference"])))
                case "not sent":
                    self._answer(words["id"], modem_words.outcome_of_error(words["error"], words["trace"]))
                case _:
                    self._told(words)

    async def _committed(self, words: Words) -> bool:
        try:
            await self._take_in(words)
        except Exception as error:  # whatever the house has: the text stays on the SIM
            logger.warning("a text that came in is not committed, and stays on the SIM: %s", type(error).__name__)
            return False
        return True

    def _answer(self, number: int, outcome: Submitted) -> None:
        waits = self._waits.pop(number, None)
        if waits is not None and not waits.done():
            waits.set_result(outcome)

    def _settle(self) -> None:
        """The process is gone: of what was in its hands, the account says how far it had come."""
        trace = os.pread(self._trace, 1 << 20, 0).decode(errors="replace")
        lost = Unknown("the process ended while it was sending") if modem_words.left(trace) else NotSent()
        for number in list(self._waits):
            self._answer(number, lost)

    async def _end(self, ours: socket.socket) -> None:
        """It ends when its socket does; one that does not is killed."""
        ours.close()
        if self._process is None:
            return
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
