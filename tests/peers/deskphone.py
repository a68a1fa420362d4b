"""A softphone on pjsua2 in a process of its own, for what baresip 1.0 cannot: attended transfer, several calls by
number, digits by INFO, 100rel, session timers, UPDATE. UDP and TCP over IPv4 only: the wheel has no more.

    with DeskPhone(tmp_path / "anna", ports, Login(...), "127.0.0.1:5060", says=tones.tone(400, 60)) as anna:
        anna.registered()
        first = anna.dial("702")
        anna.established(first)
        anna.hold(first)
        second = anna.dial("703")
        anna.established(second)
        anna.attend(first, second)      # REFER with Replaces: who is in `first` gets who is in `second`
        anna.transferred(first)         # "200 OK"
    anna.heard(first)

Events are named as those of tests.peers.baresip, each with its call's number.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.peers import tones
from tests.peers.baresip import Event, Login, PhoneError
from tests.peers.ports import Ports

PROGRAM = Path(__file__).with_name("deskphone_process.py")
PCMA, G722 = "PCMA/8000/1", "G722/16000/1"


class DeskPhone:
    """One process with one account. Use as a context manager."""

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        login: Login,
        server: str,
        transport: Literal["udp", "tcp"] = "udp",
        *,
        says: tones.Samples,
        rate: int = 8000,
        answer: Literal["manual", "auto"] = "manual",
        codecs: tuple[str, ...] = (PCMA,),
        srtp: bool = False,
        prack: bool = False,
        timer_s: int = 0,
        address: str = "127.0.0.1",
        refresh_s: int = 60,
        silent: bool = False,
        registers: bool = True,
        ha1: str = "",
        log_level: int = 3,
    ) -> None:
        """`server` "ip:port", empty for none. `says` at `rate`. `timer_s`: session timer to be asked for, 90 at least.

        `silent`: does not even say 180. `registers` False: it knows its password and calls only. `ha1`: what it proves
        itself with in place of the password.
        """
        directory.mkdir(parents=True)
        self.name, self.directory, self.rate = directory.name, directory, rate
        self.dumps = directory / "heard"
        self.dumps.mkdir()
        self.log = directory / "log"
        self.events: list[Event] = []
        self.process: subprocess.Popen[bytes] | None = None
        self._ids = itertools.count(1)
        self._answers: dict[int, Event] = {}
        self._changed = threading.Condition()
        port = ports.take()
        self.sip_address = f"{address}:{port}"
        self._options = {
            "user": login.user, "domain": login.domain, "password": login.password,
            "auth_user": login.auth_user or login.user, "register": registers and bool(login.password or ha1),
            "ha1": ha1,
            "server": server, "transport": transport, "address": address, "port": port, "rate": rate, "answer": answer,
            "codecs": codecs, "srtp": srtp, "prack": prack, "timer_s": timer_s, "refresh_s": refresh_s,
            "rtp_first": ports.take(16, even=True), "rtp_count": 14, "heard": str(self.dumps), "silent": silent,
            "says": str(tones.write_wav(directory / "says.wav", says, rate=rate)),
            "log": str(self.log), "log_level": log_level,
        }  # fmt: skip

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        with (self.directory / "errors").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, PROGRAM, json.dumps(self._options)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, name=f"deskphone {self.name}", daemon=True)
        self._reader.start()
        return self

    def stop(self) -> None:
        """Ends its calls and itself. Its registration stays until it expires."""
        if self.process is None:
            return
        assert self.process.stdin is not None and self.process.stdout is not None
        if self.process.poll() is None:
            try:
                self._send({"id": 0, "do": "quit"})
                self.process.wait(5)
            except (subprocess.TimeoutExpired, OSError):
                self.kill()
        self._reader.join(2)
        self.process.stdin.close()
        self.process.stdout.close()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    # --- commands -----------------------------------------------------------------------------------------------------

    def _send(self, order: Event) -> None:
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, what: str, **order: Any) -> Any:
        """Runs one of the program's commands, `do_...` there. Raises PhoneError where the phone cannot."""
        number = next(self._ids)
        self._send({"id": number, "do": what, **order})
        answer = self._until(lambda: self._answers.get(number), 10, f"answer to {what!r}")
        if "error" in answer:
            raise PhoneError(f"{self.name} cannot {what}: {answer['error']}")
        return answer["value"]

    def dial(self, number: str, **headers: str) -> int:
        """A user part or a whole sip: URI; gives the number of the call. `headers` as P_Asserted_Identity="..."."""
        return int(self.ask("dial", uri=number, headers={k.replace("_", "-"): v for k, v in headers.items()}))

    def text(self, number: str, words: str, *, kind: str = "text/plain") -> str:
        """Sends a text and gives what is said to it, such as "200 OK"."""
        since = len(self.events)
        self.ask("text", uri=number, words=words, kind=kind)
        return str(self.wait("TEXT_STATUS", since=since)["param"])

    def texted(self, *, since: int = 0, timeout: float = 15) -> Event:
        """The next text that has come: `param` has the words, `peer` the sender."""
        return self.wait("TEXT", since=since, timeout=timeout)

    def answer(self, call: int, code: int = 200) -> float:
        """When it did, on the clock of the events."""
        return float(self.ask("answer", call=call, code=code))

    def hang_up(self, call: int, code: int = 0) -> None:
        """Or refuses, with this code, what rings."""
        self.ask("hang_up", call=call, code=code)

    def hold(self, call: int) -> None:
        self.ask("hold", call=call)

    def resume(self, call: int) -> None:
        self.ask("resume", call=call)

    def refer(self, call: int, number: str) -> None:
        """Blind transfer of who is in `call`."""
        self.ask("refer", call=call, uri=number)

    def attend(self, call: int, other: int) -> None:
        """Attended transfer: REFER in `call`, with Replaces of `other`."""
        self.ask("refer_to_call", call=call, other=other)

    def press(self, call: int, digits: str, *, info: bool = False) -> None:
        """RFC 4733, or INFO with application/dtmf-relay."""
        self.ask("press", call=call, digits=digits, info=info)

    def call_id(self, call: int) -> str:
        return str(self.ask("info", call=call)["call_id"])

    # --- events -------------------------------------------------------------------------------------------------------

    def wait(self, kind: str, call: int | None = None, *, timeout: float = 15, since: int = 0, **fields: Any) -> Event:
        """The first event of this kind (of this call, with these fields) at or after index `since` of `events`."""

        def found() -> Event | None:
            return next((e for e in self.events[since:] if matches(e)), None)

        def matches(event: Event) -> bool:
            right = event["type"] == kind and (call is None or event.get("call") == call)
            return right and all(event.get(name) == value for name, value in fields.items())

        return self._until(found, timeout, f"{kind} of {call} {fields or ''}")

    def registered(self, *, timeout: float = 10) -> None:
        self.wait("REGISTER_OK", timeout=timeout)

    def rung(self, *, timeout: float = 15, since: int = 0) -> int:
        """The number of the call that came in."""
        return int(self.wait("CALL_INCOMING", timeout=timeout, since=since)["call"])

    def established(self, call: int, *, timeout: float = 15) -> Event:
        return self.wait("CALL_ESTABLISHED", call, timeout=timeout)

    def closed(self, call: int, *, timeout: float = 15) -> str:
        """Waits for the end and gives the last status, such as "486 Busy Here"."""
        return str(self.wait("CALL_CLOSED", call, timeout=timeout)["param"])

    def transferred(self, call: int, *, timeout: float = 20) -> str:
        """Waits for the last NOTIFY of a transfer and gives what it said, such as "200 OK"."""
        return str(self.wait("TRANSFER", call, timeout=timeout, final=True)["param"])

    def count(self, kind: str) -> int:
        return sum(e["type"] == kind for e in list(self.events))

    def _until(self, found: Any, timeout: float, what: str) -> Event:
        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended(), timeout)
            if (event := found()) is not None:
                return dict(event)
        seen = [(e["type"], e.get("call"), e.get("param", "")) for e in self.events]
        errors = (self.directory / "errors").read_text(errors="replace")[-500:]
        raise PhoneError(f"{self.name}: no {what} within {timeout} s; events: {seen} {errors}")

    def _read(self) -> None:
        assert self.process is not None and self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            with self._changed:
                if "answer" in message:
                    self._answers[message["answer"]] = message
                else:
                    self.events.append({**message, "type": message.pop("event"), "at": time.monotonic()})
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    # --- ears -------------------------------------------------------------------------------------------------------

    def heard(self, call: int) -> tones.Samples:
        """What one call sounded like at `rate`; complete once the call has ended."""
        path = self.dumps / f"{call:04}-dec.wav"
        return tones.read_wav(path)[0][:, 0] if path.exists() else tones.silence(0)
