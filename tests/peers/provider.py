"""A telephone company that is not ours: a Kamailio with a configuration of its own, and phones behind it.

    with Provider(tmp_path / "provider", ports) as provider:
        doris = provider.phone("doris", "+33612345678", says=tones.tone(1000, 30), answer="auto")
        ...                                     # the product's trunk: provider.server("udp"), USER, PASSWORD, REALM
        provider.behave(INVITE="503")
        provider.seen("INVITE")[-1]["P-Asserted-Identity"]

It challenges by digest (or takes calls by address), registers its customer, answers OPTIONS, and routes numbers to
subscribers: baresip phones, SIPp, anything with a SIP address. Audio goes past it, from end to end.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.peers import tones
from tests.peers.baresip import Login, Phone
from tests.peers.certificates import make_certificate
from tests.peers.ports import Ports
from tests.peers.sipclient import Message, parse

USER, PASSWORD, REALM = "customer1", "as-the-contract-says", "sip.provider.test"
DOMAIN = REALM

Transport = Literal["udp", "tcp", "tls"]


class ProviderError(AssertionError):
    """The provider did not start or answer; the message holds the end of its log."""


class Provider:
    """One provider with one customer. Use as a context manager. `server(transport)` is where the trunk points."""

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        *,
        digest: bool = True,
        address: str = "127.0.0.1",
        certified: tuple[str, ...] = (),
    ) -> None:
        """`digest` False: a customer is believed by its address. `address` may be "::1". `certified`: names and
        addresses in its certificate, if others than that."""
        directory.mkdir(parents=True)
        self.directory, self.ports, self.address = directory, ports, address
        self._first = ports.take(2)  # UDP and TCP, TLS
        self.certificate, self._key = make_certificate(
            directory, "provider", *(certified or (address,)), common_name=directory.name
        )
        # The path of a UNIX socket has little room.
        self._run = Path(tempfile.mkdtemp(prefix="provider-"))
        self._dumps = directory / "messages"
        self._dumps.mkdir()
        self._log = directory / "kamailio.log"
        self._ids = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._phones: list[Phone] = []
        self._digest = digest
        self._config = directory / "provider.cfg"
        self._config.write_text(self._render())

    @property
    def ca(self) -> Path:
        """The authority that vouches for its TLS address: its certificate itself."""
        return self.certificate

    def host(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address

    def port(self, transport: Transport = "udp") -> int:
        return self._first + (transport == "tls")

    def server(self, transport: Transport = "udp") -> str:
        return f"{self.host()}:{self.port(transport)}"

    def _render(self) -> str:
        host, port, secure = self.host(), self.port(), self.port("tls")
        module = f"""loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{self.certificate}")
modparam("tls", "private_key", "{self._key}")
modparam("tls", "verify_certificate", 0)
modparam("tls", "require_certificate", 0)"""
        tokens = {
            "TLS_ENABLE": "enable_tls=yes",
            "SOURCE": "" if ":" in self.address else f"tcp_source_ipv4={self.address}",
            "LISTENS": f"listen=udp:{host}:{port}\nlisten=tcp:{host}:{port}\nlisten=tls:{host}:{secure}",
            "TLS_MODULE": module,
            "RPC_SOCKET": str(self._run / "rpc"),
            "DUMPS": str(self._dumps),
            "REALM": REALM,
            "DOMAIN": DOMAIN,
        }
        text = Path(__file__).with_name("provider.cfg.in").read_text()
        return re.sub(r"@@([A-Z_]+)@@", lambda found: tokens[found[1]], text)

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["kamailio", "-DD", "-E", "-m", "32", "-M", "8", "-Y", self._run, "-f", self._config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + 15
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise ProviderError(f"the provider did not start: {self.log()}")
            time.sleep(0.05)
        self._set("user", USER, PASSWORD)
        self._set("cfg", "aor", USER)
        self._set("cfg", "digest", "1" if self._digest else "0")
        return self

    def _answers(self) -> bool:
        try:
            self.rpc("core.version", timeout_s=1)
        except (OSError, ProviderError):
            return False
        return True

    def stop(self) -> None:
        """The phones first, then the company."""
        for phone in self._phones:
            phone.stop()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(8)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        shutil.rmtree(self._run, ignore_errors=True)

    def vanish(self) -> None:
        """The machine is gone: nobody listens at its address any more. The phones behind it stay."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        (self._run / "rpc").unlink(missing_ok=True)

    def certify(self, *hosts: str) -> None:
        """Another certificate from its next start on; `ca` changes with it."""
        make_certificate(self.directory, "provider", *hosts)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def log(self, *, last: int = 3000) -> str:
        return self._log.read_text(errors="replace")[-last:]

    # --- what it does -------------------------------------------------------------------------------------------------

    def behave(self, *, late_s: int = 8, redirect: str = "sip:elsewhere@127.0.0.1:9", **methods: str) -> None:
        """`behave(INVITE="503", OPTIONS="silent")`: from now on, for requests that begin something.

        ok, a status code, silent (no answer at all; for BYE also inside a call), challenge (whatever the credentials
        are), redirect (302 to `redirect`), late (an INVITE is left without any reply for `late_s`).
        """
        self._set("cfg", "late", str(late_s + 1))  # its clock counts whole seconds: up to one is over already
        self._set("cfg", "redirect", redirect)
        for method, what in methods.items():
            self._set("do", method, what)

    def behave_well(self) -> None:
        self.behave(**{method: "ok" for method in ("INVITE", "MESSAGE", "OPTIONS", "REGISTER", "BYE", "ACK", "CANCEL")})

    def calls_by_address(self, server: str, transport: Transport = "udp") -> None:
        """Calls to the customer go to `server` ("ip:port"), whoever has registered. The request URI is the number."""
        self._set("cfg", "inbound", f"sip:{server};transport={transport}")

    def calls_by_registration(self, *, uri: Literal["contact", "number"] = "contact") -> None:
        """Calls to the customer go where it registered. `uri`: whom the request URI names; To has the number."""
        self.rpc("htable.delete", "cfg", "inbound", check=False)
        self._set("cfg", "uri", uri)

    def route(self, number: str, uri: str) -> None:
        """Calls to `number`, as it stands in the request URI ("*": to any other), go to `uri`."""
        self._set("sub", number, uri)

    def lets_call(self, port: int) -> None:
        """What comes from this UDP port is a subscriber, who may call the customer."""
        self._set("out", str(port), "1")

    def phone(self, name: str, number: str, *, also: tuple[str, ...] = (), **options: Any) -> Phone:
        """A baresip behind the provider, not started, reached by `number` (and `also`); it may call the customer.

        Its From is `number`. `options` as of Phone: says, answer, codecs, srtp, ...
        """
        options.setdefault("says", tones.tone(1000, 60))
        login = Login(number, DOMAIN, "")
        phone = Phone(self.directory / "phones" / name, self.ports, login, self.server("udp"), "udp", **options)
        for each in (number, *also):
            self.route(each, f"sip:{number}@{phone.sip_address}")
        self.lets_call(int(phone.sip_address.rsplit(":", 1)[1]))
        self._phones.append(phone)
        return phone

    # --- what it saw --------------------------------------------------------------------------------------------------

    def messages(self, direction: Literal["rcv", "snd"] = "rcv") -> list[Message]:
        """Every SIP message that came in (or went out), in order, TLS too: about 0.1 s late."""
        found = []
        for path in sorted(self._dumps.glob("*.data")):
            for part in path.read_bytes().split(b"=" * 20 + b"\n"):
                head, sep, rest = part.partition(b"~" * 20 + b"\n")
                text, end, _ = rest.partition(b"|" * 20 + b"\n")
                if sep and end and f"tag: {direction}\n".encode() in head:
                    found.append(parse(text))
        return found

    def seen(self, method: str, *, number: str = "") -> list[Message]:
        """Requests of this method that came in (to this number), without repetitions (same branch), oldest first."""
        found: dict[str, Message] = {}
        for message in self.messages():
            if not message.code and message.method == method and number in message.uri:
                found.setdefault(message["Via"], message)
        return list(found.values())

    def wait_seen(self, method: str, count: int = 1, *, timeout_s: float = 15, **which: str) -> list[Message]:
        """`seen`, once there are `count` of them."""
        end = time.monotonic() + timeout_s
        while len(found := self.seen(method, **which)) < count:
            if time.monotonic() > end:
                raise ProviderError(f"{len(found)} {method}, not {count}, within {timeout_s} s")
            time.sleep(0.1)
        return found

    def contacts(self) -> list[str]:
        """Where the customer is registered."""
        answer = self.rpc("ul.dump")
        return re.findall(r'"Address":\s*"([^"]*)"', json.dumps(answer))

    def wait_registered(self, timeout_s: float = 15) -> list[str]:
        end = time.monotonic() + timeout_s
        while not (found := self.contacts()):
            if time.monotonic() > end:
                raise ProviderError(f"the customer has not registered within {timeout_s} s: {self.log()}")
            time.sleep(0.1)
        return found

    def forget_registrations(self) -> None:
        self.rpc("ul.flush", check=False)
        self.rpc("ul.rm", "location", f"{USER}@{DOMAIN}", check=False)

    # --- RPC ----------------------------------------------------------------------------------------------------------

    def _set(self, table: str, key: str, value: str) -> None:
        self.rpc("htable.sets", table, key, value)

    def rpc(self, method: str, *params: str | int, timeout_s: float = 5, check: bool = True) -> Any:
        """Kamailio's JSON-RPC. Raises ProviderError on an error unless not `check`."""
        own = self._run / f"ask-{secrets.token_hex(4)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.settimeout(timeout_s)
            s.bind(str(own))
            try:
                s.connect(str(self._run / "rpc"))
                question = {"jsonrpc": "2.0", "method": method, "params": params, "id": next(self._ids)}
                s.send(json.dumps(question).encode())
                answer = json.loads(s.recv(1 << 20))
            finally:
                own.unlink(missing_ok=True)
        if check and "error" in answer:
            raise ProviderError(f"{method} {params}: {answer['error']}")
        return answer.get("result")
