"""baresip, a softphone that is not ours, without a sound card: it speaks a tone and writes down what it hears.

    with Phone(tmp_path / "alice", ports, Login("alice-k3f9", "example.test", "secret"), "127.0.0.1:5061", "tls",
               says=tones.tone(400, 60), ca=data / "tls/ca.pem") as alice:
        alice.registered()
        alice.dial("bob")
        alice.wait("CALL_ESTABLISHED")
        alice.press("1")
    alice.heard()

Events are baresip's own (ctrl_tcp, JSON in netstrings): REGISTER_OK, REGISTER_FAIL, CALL_INCOMING, CALL_RINGING,
CALL_PROGRESS, CALL_ESTABLISHED, CALL_DTMF_START, CALL_CLOSED, ...

Debian 12's baresip 1.0 reads `sip_cafile` and then trusts any certificate (baresip issue 1122; later ones verify), so
the certificate is checked by openssl before the phone starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy as np

from tests.peers import tones
from tests.peers.ports import Ports

_WAV_HEADER_BYTES = 44
_AUDIBLE = 300  # of 32767: a prompt or a voice, not silence and not comfort noise

Transport = Literal["udp", "tcp", "tls"]
Event = dict[str, Any]

CONFIG = """\
poll_method epoll
net_interface {interface}
sip_listen {sip_address}
{cafile}
call_max_calls {max_calls}
audio_player aubridge,{name}
audio_source aufile,{says}
audio_alert aubridge,{name}-alert
audio_srate {rate}
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
rtp_ports {rtp_first}-{rtp_last}
rtp_timeout 0
snd_path {dumps}
module_path /usr/lib/baresip/modules
module stdio.so
module g711.so
module g722.so
module aufile.so
module aubridge.so
module sndfile.so
module srtp.so
module_tmp uuid.so
module_tmp account.so
module_app contact.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
menu_bell no
ring_aufile none
ringback_disabled yes
statmode_default off
"""


@dataclass(frozen=True, slots=True)
class Login:
    """What somebody types into a softphone."""

    user: str
    domain: str
    password: str
    """Empty: no registration, calls only."""
    auth_user: str = ""
    """Authentication name where it differs from `user` (a device registering as its account)."""


class Host(Protocol):
    """Where a phone runs: see tests.peers.netns."""

    def inside(self) -> AbstractContextManager[None]:
        """What the calling thread starts and opens meanwhile is of that host."""


class PhoneError(AssertionError):
    """The phone did not do what the test waited for; the message holds what it did."""


def check_certificate(server: str, ca: Path) -> None:
    """Raises PhoneError unless `server` ("ip:port") shows a certificate for its address that `ca` vouches for."""
    address = server.rsplit(":", 1)[0]
    command = ["openssl", "s_client", "-connect", server, "-CAfile", ca, "-verify_return_error", "-brief"]
    done = subprocess.run([*command, "-verify_ip", address], stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    if done.returncode or b"Verification: OK" not in done.stdout + done.stderr:
        raise PhoneError(f"the certificate of {server} does not hold: {(done.stdout + done.stderr).decode()[-600:]}")


class Phone:
    """One baresip process with one account. Use as a context manager."""

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        login: Login,
        server: str,
        transport: Transport,
        *,
        says: tones.Samples,
        ca: Path | None = None,
        answer: Literal["manual", "auto"] = "manual",
        codecs: str = "PCMA/8000/1",
        srtp: bool | None = None,
        max_calls: int = 4,
        refresh_s: int = 60,
        rate: int = 8000,
        address: str = "127.0.0.1",
        host: Host | None = None,
    ) -> None:
        """`server` is "ip:port"; empty: none, only whole URIs are dialled.

        `srtp` defaults to: mandatory SDES on TLS, none on the others.
        `ca`: certificates that may sign the server's; it must also name the server. Without it nothing is verified.
        `rate`: of what it says and hears, 16000 for G.722 (codecs="G722/16000/1"). `address`: its own. `host`: where it
        runs, if not here.
        """
        self._verify = (server, ca) if transport == "tls" and ca else None
        self.name = directory.name
        self.directory = directory
        self.dumps = directory / "heard"
        self.dumps.mkdir(parents=True)
        # baresip's sndfile cuts a file's name at 128 characters, and then writes nothing, without a word.
        self._short = Path(tempfile.gettempdir()) / f"heard-{secrets.token_hex(6)}"  # a link, from start to stop
        self.log = directory / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.events: list[Event] = []
        self._answers: dict[str, Event] = {}
        self._changed = threading.Condition()
        self._token = 0
        self._host = host
        self._ports = ports
        self._screen_port = 0
        self._screen: socket.socket | None = None  # what baresip's console shows, where anybody looks
        self._shown = b""
        self._control_port = ports.take()
        sip_port = ports.take(2)  # and the next one for TLS, in baresip's own way
        rtp_first = ports.take(2 * max_calls + 2, even=True)
        self.sip_address = f"[{address}]:{sip_port}" if ":" in address else f"{address}:{sip_port}"

        said = tones.write_wav(directory / "says.wav", says, rate=rate)
        (directory / "config").write_text(
            CONFIG.format(
                sip_address=self.sip_address,
                interface=address,
                rate=rate,
                cafile=f"sip_cafile {ca}\nsip_verify_server yes" if ca else "",
                max_calls=max_calls,
                name=self.name,
                says=said,
                rtp_first=rtp_first,
                rtp_last=rtp_first + 2 * max_calls + 1,
                dumps=self._short,
                control_port=self._control_port,
            )
        )
        secure = transport == "tls" if srtp is None else srtp
        account = [
            f"<sip:{login.user}@{login.domain}>",
            f"auth_user={login.auth_user or login.user}",
            f"auth_pass={login.password}",
            *([f'outbound="sip:{server};transport={transport}"'] if server else []),
            f"regint={refresh_s if login.password else 0}",
            f"audio_codecs={codecs}",
            f"answermode={answer}",
            *(["mediaenc=srtp-mand"] if secure else []),
        ]
        (directory / "accounts").write_text(";".join(account) + "\n")
        (directory / "contacts").write_text("")

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        if self._verify:
            with self._there():
                check_certificate(*self._verify)
        self._short.symlink_to(self.dumps)
        with self.log.open("wb") as log:
            command = ["baresip", "-f", self.directory]
            with self._there():
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._control = self._connect(self._control_port)
            if self._screen_port:
                self._screen = self._connect(self._screen_port)
                self._screen.sendall(b"h")  # help: the console speaks to whoever has spoken to it
                self._screen.setblocking(False)
        except BaseException:
            self.stop()
            raise
        self._reader = threading.Thread(target=self._read, name=f"baresip {self.name}", daemon=True)
        self._reader.start()
        return self

    def _there(self) -> AbstractContextManager[None]:
        return self._host.inside() if self._host else contextlib.nullcontext()

    def _connect(self, port: int) -> socket.socket:
        until = time.monotonic() + 10
        while True:
            try:
                with self._there():
                    return socket.create_connection(("127.0.0.1", port), 1)
            except OSError:
                if self._ended() or time.monotonic() > until:
                    raise PhoneError(f"{self.name} did not start: {self.log.read_text()[-800:]}") from None
                time.sleep(0.03)

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self) -> None:
        """Ends the process; baresip un-registers first, and a second signal makes it stop waiting for that."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(6)  # it closes what it writes down only when it ends in order
            except subprocess.TimeoutExpired:
                self.kill()
        self._short.unlink(missing_ok=True)
        if hasattr(self, "_control"):
            self._control.close()
            if self._screen is not None:
                self._screen.close()
            self._reader.join(2)

    def kill(self) -> None:
        """A phone that vanishes: no BYE, no un-registration."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """A phone whose network went away: it neither sends nor answers until `thaw`."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- commands and events ------------------------------------------------------------------------------------------

    def command(self, command: str, params: str = "", *, timeout: float = 5) -> str:
        """Runs one of baresip's commands and gives its answer's text."""
        self._token += 1
        token = str(self._token)
        body = json.dumps({"command": command, "params": params, "token": token}).encode()
        self._control.sendall(b"%d:%s," % (len(body), body))
        answer = self._until(lambda: self._answers.get(token), timeout, f"answer to {command!r}")
        if not answer.get("ok"):
            raise PhoneError(f"{self.name} refused {command!r}: {answer.get('data', '')!r}")
        return str(answer.get("data", ""))

    def dial(self, user: str) -> None:
        """A user part (completed with the account's domain) or a whole sip: URI."""
        self.command("dial", user)

    def befriend(self, uri: str) -> None:
        """Whom `text` writes to; what comes is shown as well (`texts`). Before `start`."""
        (self.directory / "contacts").write_text(f'"friend" <{uri}>\n')
        (self.directory / "current_contact").write_text(uri)
        self._screen_port = self._ports.take()
        with (self.directory / "config").open("a") as config:
            config.write(f"module_app cons.so\ncons_listen 127.0.0.1:{self._screen_port}\n")

    def text(self, words: str) -> None:
        """A text to the friend. baresip says nothing of what becomes of it."""
        self.command("message", words)

    def texts(self) -> list[tuple[str, str]]:
        """(sender, words) of those that have come, oldest first."""
        with contextlib.suppress(BlockingIOError):
            while self._screen is not None and (data := self._screen.recv(65536)):
                self._shown += data
        return re.findall(r'^\r?(sips?:[^\s"]+): "(.*?)"$', self._shown.decode(errors="replace"), re.M | re.S)

    def press(self, digits: str) -> None:
        """RFC 4733 digits, with the spacing of a quick human, who hears something before the first key. (A key that is
        pressed before there is a question answers none, and a machine with much to do asks late.)"""
        self._hears_something(3)
        for digit in digits:
            self.command("sndcode", digit)
            time.sleep(0.25)

    def _hears_something(self, patience_s: float) -> None:
        """Waits until the newest call has brought anything but silence, or patience ends."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            files = self.recordings()
            data = files[-1].read_bytes()[_WAV_HEADER_BYTES:] if files else b""
            samples = np.frombuffer(data[: len(data) // 2 * 2], dtype="<i2")
            if samples.size and int(np.abs(samples.astype(np.int32)).max()) > _AUDIBLE:
                return
            time.sleep(0.02)

    def answer(self) -> None:
        self.command("accept")

    def hang_up(self) -> None:
        self.command("hangup")

    def hold(self) -> None:
        """The call at hand; `resume` takes it back."""
        self.command("hold")

    def resume(self) -> None:
        self.command("resume")

    def refer(self, number: str) -> None:
        """Blind transfer of the call at hand (baresip 1.0 knows no attended one: see tests.peers.deskphone)."""
        self.command("transfer", number)

    def wait(self, kind: str, *, timeout: float = 10, since: int = 0) -> Event:
        """The first event of this kind at or after index `since` of `events`, once it is there."""
        return self._until(lambda: next((e for e in self.events[since:] if e["type"] == kind), None), timeout, kind)

    def established(self, *, timeout: float = 10) -> Event:
        return self.wait("CALL_ESTABLISHED", timeout=timeout)

    def closed(self, *, timeout: float = 10) -> str:
        """Waits for the end of the first call and gives baresip's reason, such as "486 Busy Here"."""
        return str(self.wait("CALL_CLOSED", timeout=timeout).get("param", ""))

    def registered(self, *, timeout: float = 10) -> None:
        """Waits for a registration. One that was done before we could listen for events shows in `reginfo`."""
        until = time.monotonic() + timeout
        while "OK " not in self.command("reginfo") and not self.count("REGISTER_OK"):
            if self._ended() or time.monotonic() > until:
                raise PhoneError(f"{self.name}: not registered within {timeout} s; events: {self.events}")
            time.sleep(0.05)

    def count(self, kind: str) -> int:
        return sum(e["type"] == kind for e in list(self.events))

    def _until(self, found: Callable[[], Event | None], timeout: float, what: str) -> Event:
        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended(), timeout)
            if (event := found()) is not None:
                return event
        seen = [(e["type"], e.get("param", "")) for e in self.events]
        raise PhoneError(f"{self.name}: no {what} within {timeout} s; events: {seen}")

    def _read(self) -> None:
        buffer = b""
        while True:
            try:
                data = self._control.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if not data:
                return
            buffer += data
            while b":" in buffer:
                length, rest = buffer.split(b":", 1)
                size = int(length)
                if len(rest) < size + 1:
                    break
                self._take(json.loads(rest[:size]))
                buffer = rest[size + 1 :]

    def _take(self, message: Event) -> None:
        with self._changed:
            if message.get("response"):
                self._answers[message.get("token", "")] = message
            elif message.get("event"):
                self.events.append({**message, "at": time.monotonic()})
            self._changed.notify_all()

    # --- ears -------------------------------------------------------------------------------------------------------

    def recordings(self) -> list[Path]:
        """What was heard, one file a call and stream, oldest first. Complete only once the call has ended."""
        return sorted(self.dumps.glob("*-dec.wav"), key=lambda p: (p.stat().st_mtime_ns, p.name))

    def heard(self, which: int = -1) -> tones.Samples:
        """The audio of one call as played to this phone's user (at its `rate`); nothing if there was none."""
        files = self.recordings()
        if not files:
            return tones.silence(0)
        return tones.read_wav(files[which])[0][:, 0]
