"""The process that holds one modem: libgammu, and nothing of ours. It decides nothing.

Started by `modem_link` as ``python -I -m sms.carriers.modem_process FD TRACE``. On FD (SOCK_SEQPACKET) it takes orders
and tells what happens, one JSON object a packet. End of file means the daemon is gone, and so are we.

A text that came in is told and stays on the SIM until we are told that it is committed. Nothing is written to a disk:
libgammu's own account goes into TRACE, which is memory that the daemon shares and reads when this process is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
from collections import deque
from typing import Any, Final

import gammu

from recording.hardening import harden

_WAIT_S: Final = 0.2  # between looks at the line: what rings is heard within that
_STATUS_S: Final = 30.0
_NO_SUCH_THING: Final = (gammu.ERR_NOTSUPPORTED, gammu.ERR_NOTIMPLEMENTED, gammu.ERR_SOURCENOTAVAILABLE)
_UNREADABLE: Final = (gammu.ERR_CORRUPTED, gammu.ERR_UNKNOWN, gammu.ERR_INVALIDLOCATION, ValueError)
_UNREADABLE_AT_MOST: Final = 20
_STEPS: Final = ("Entering GSM_SendSMS", "Waiting for modem", "Sending SMS", "CMS Error", "Error ")
Words = dict[str, Any]


class Ended(Exception):
    """The daemon is gone, or has told us to end."""


class Modem:
    """One modem for as long as it is there."""

    def __init__(self, link: socket.socket, trace: int) -> None:
        self._link, self._trace = link, trace
        self._orders: deque[Words] = deque()
        self._rung: list[Words] = []
        self._committed: set[str] = set()  # told to be committed, and not deleted yet
        self._phone = gammu.StateMachine()
        self._told = 0
        self._doorbell = False

    def run(self) -> None:
        """Until the modem fails (gammu.GSMError) or the daemon goes (Ended)."""
        settings = self._next_order(None)
        self._start(settings)
        poll_s = float(settings["poll_s"])
        swept = status = 0.0
        while True:
            self._listen(_WAIT_S)
            while self._orders:
                self._send(self._orders.popleft())
            self._phone.ReadDevice(False)
            direct, self._rung = [words for words in self._rung if "Number" in words], []
            for words in direct:  # it is stored nowhere: whatever the answer, it is not asked for again
                self._hand_over(words, "")
            now = time.monotonic()
            if self._doorbell or now - swept >= poll_s:
                self._doorbell, swept = False, now
                self._sweep()
            if now - status >= _STATUS_S:
                status = now
                self._tell_status()

    def _start(self, settings: Words) -> None:
        phone = self._phone
        phone.SetConfig(
            0,
            {
                "Device": settings["device"],
                "Connection": settings["connection"],
                "Model": settings["model"],
                "SyncTime": 0,
                "LockDevice": 0,
                "StartInfo": 0,
                "UseGlobalDebugFile": 0,
            },
        )
        phone.Init(1)
        phone.SetDebugFile(os.fdopen(os.dup(self._trace), "a"))
        phone.SetDebugLevel("nothing")
        self._unlock()
        phone.SetIncomingCallback(self._rings)
        with contextlib.suppress(*_NO_SUCH_THING):
            phone.SetIncomingSMS(True)
        centre = settings["service_centre"] or str(phone.GetSMSC(1)["Number"])
        self._tell({"is": "up", "service_centre": centre})
        self._tell_status()

    def _unlock(self) -> None:
        """Asks for the PIN only where the SIM does, and types it once."""
        with contextlib.suppress(*_NO_SUCH_THING):
            wanted = self._phone.GetSecurityStatus()
            if wanted is None:
                return
            self._tell({"is": "locked", "wants": wanted})
            pin = self._next_order("pin")["pin"]
            if wanted != "PIN" or pin is None:
                raise Ended
            try:
                self._phone.EnterSecurityCode("PIN", pin)
            except gammu.GSMError as error:
                self._tell({"is": "pin refused", "error": type(error).__name__})
                raise Ended from None
            self._tell({"is": "unlocked"})

    def _rings(self, _phone: object, kind: str, words: Words) -> None:
        if kind != "SMS":
            return
        self._rung.append(words)
        self._doorbell = True

    def _send(self, order: Words) -> None:
        words = {**order["words"]}
        if "UDH" in words:
            words["UDH"] = {"Type": "ConcatenatedMessages", "Text": bytes.fromhex(words["UDH"])}
        os.ftruncate(self._trace, 0)
        try:
            with contextlib.suppress(*_NO_SUCH_THING):
                self._phone.GetSignalQuality()  # whether anybody is there at all, before a byte of it goes out
            self._phone.SetDebugLevel("text")
            reference = self._phone.SendSMS(words)
        except gammu.GSMError as error:
            self._tell({"is": "not sent", "id": order["id"], "error": type(error).__name__, "trace": self._account()})
            if not isinstance(error, gammu.ERR_UNKNOWN | gammu.ERR_FULL):  # those are a modem's answers
                raise
        except ValueError as error:
            self._tell({"is": "not sent", "id": order["id"], "error": type(error).__name__, "trace": ""})
        else:
            self._tell({"is": "sent", "id": order["id"], "reference": reference})
        finally:
            self._phone.SetDebugLevel("nothing")
            os.ftruncate(self._trace, 0)

    def _account(self) -> str:
        """The lines of libgammu's account that tell of steps and errors; what was sent stays here."""
        lines = os.pread(self._trace, 1 << 20, 0).decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if line.startswith(_STEPS))

    def _sweep(self) -> None:
        """All that lies on the SIM, oldest slot first; what is committed is deleted."""
        for words in self._all():
            if words["Type"] == "Submit" and not words["InboxFolder"]:  # written with this SIM in a telephone
                continue
            slot = f"{words['Memory']}{words['Folder']}.{words['Location']}"
            mark = f"{slot}@{words['DateTime']}"
            if mark not in self._committed and not self._hand_over(words, slot):
                return  # the house cannot take it in: it stays where it is, and so do the others
            self._committed.add(mark)
            self._phone.DeleteSMS(0, words["Location"])
            self._committed.discard(mark)

    def _all(self) -> list[Words]:
        """What can be read. A slot that cannot is passed over, and stays."""
        found: list[Words] = []
        location, unreadable = 0, 0
        while True:
            try:
                words = self._phone.GetNextSMS(Folder=0, **({"Location": location} if location else {"Start": True}))[0]
            except gammu.ERR_EMPTY:
                break
            except _UNREADABLE:
                unreadable += 1
                if unreadable > _UNREADABLE_AT_MOST:
                    break
                location += 1
            else:
                found.append(words)
                location = words["Location"]
        if unreadable:
            self._tell({"is": "unreadable", "slots": unreadable})
        return found

    def _hand_over(self, words: Words, slot: str) -> bool:
        """Whether it is committed."""
        self._told += 1
        self._tell({"is": "in", "n": self._told, "slot": slot, "words": _plain(words)})
        while True:
            order = self._next_order("verdict")
            if order.get("verdict") == self._told:
                return bool(order["committed"])
            self._orders.append(order)

    def _tell_status(self) -> None:
        told: Words = {"is": "status"}
        with contextlib.suppress(gammu.GSMError):
            told["signal"] = self._phone.GetSignalQuality()["SignalPercent"]
        with contextlib.suppress(gammu.GSMError):
            network = self._phone.GetNetworkInfo()
            told |= {"operator": network["NetworkName"], "network": network["State"]}
        with contextlib.suppress(gammu.GSMError):
            memory = self._phone.GetSMSStatus()
            told |= {"used": memory["SIMUsed"] + memory["PhoneUsed"], "size": memory["SIMSize"] + memory["PhoneSize"]}
        self._tell(told)

    def _listen(self, seconds: float) -> None:
        while select.select([self._link], [], [], 0 if self._orders else seconds)[0]:
            self._orders.append(self._read())

    def _next_order(self, only: str | None) -> Words:
        """The next packet, or the next with the field `only`: those without it wait their turn."""
        while True:
            order = self._read()
            if only is None or only in order:
                return order
            self._orders.append(order)

    def _read(self) -> Words:
        packet = self._link.recv(65536)
        if not packet:
            raise Ended
        order: Words = json.loads(packet)
        return order

    def _tell(self, words: Words) -> None:
        try:
            self._link.send(json.dumps(words).encode())
        except OSError:
            raise Ended from None


def _plain(words: Words) -> Words:
    """As JSON has it: times as ISO 8601, octets in hexadecimal."""

    def one(value: object) -> object:
        if isinstance(value, dict):
            return _plain(value)
        if isinstance(value, bytes):
            return value.hex()
        return value.isoformat() if hasattr(value, "isoformat") else value

    return {key: one(value) for key, value in words.items()}


def main() -> None:
    parent = os.getppid()
    harden(dies_with_parent=True)
    if os.getppid() != parent:
        return
    link, trace = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    modem = Modem(link, trace)
    try:
        modem.run()
    except Ended:
        return
    except gammu.GSMError as error:
        with contextlib.suppress(OSError):
            link.send(json.dumps({"is": "broken", "error": type(error).__name__}).encode())


if __name__ == "__main__":
    main()
