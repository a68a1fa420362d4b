"""The product as a stranger meets it: a data directory, two processes, ports, the command line. Nothing is imported
but the connection that the command line itself uses.

A test takes the fixture `product` (an instance of its own, from a quickstart that each test process makes once) or
`shared_product` (one for all tests of a module), and asks it for phones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from server import client
from tests.peers import tones
from tests.peers.baresip import Login, Phone, Transport
from tests.peers.deskphone import DeskPhone
from tests.peers.ports import Ports

BEFFROI = str(Path(sys.executable).with_name("beffroi"))

READY_S = 20.0
"""A loaded machine of two cores is slow; what the product promises is measured by tests of its own."""


class ProductError(AssertionError):
    """The product did not start, stop or answer; the message holds the ends of its logs."""


def run_cli(
    data: Path,
    *args: str,
    secrets: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """`beffroi ARGS`. `secrets`: option -> secret; each is written into a pipe whose descriptor follows its option."""
    command, passed = [BEFFROI, *args], []
    for option, secret in (secrets or {}).items():
        reading, writing = os.pipe()
        os.write(writing, secret.encode() + b"\n")
        os.close(writing)
        passed.append(reading)
        command += [option, str(reading)]
    try:
        return subprocess.run(
            command,
            env={**os.environ, "BEFFROI_DATA": str(data), **(env or {})},
            input=stdin if stdin is not None else "",
            pass_fds=passed,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
    finally:
        for descriptor in passed:
            os.close(descriptor)


def flags(options: Mapping[str, str]) -> list[str]:
    """{"class_": "none", "display_name": "A"} -> ["--class", "none", "--display-name", "A"]."""
    return [word for name, value in options.items() for word in (f"--{name.rstrip('_').replace('_', '-')}", value)]


class Product:
    """One instance: `data` is its data directory, `server(transport)` where phones find it."""

    def __init__(
        self, directory: Path, seed: Path, shown: Mapping[str, Any], *, ports: int = 400, address: str = "127.0.0.1"
    ) -> None:
        """`seed` is a data directory fresh from quickstart, copied here; `shown` is what `make_seed` gave with it.

        `ports`: how many to take; the upper half, from an even one on, is for the product's audio. `address`: where
        phones find it, the one that quickstart was told.
        """
        self.directory, self.data, self.shown, self.address = directory, directory / "data", shown, address
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copytree(seed, self.data, symlinks=True)
        self.ports = Ports(ports)
        first = self.ports.take(6)
        self._ports = {"tls": first, "udp": first + 1, "tcp": first + 1}
        self.http_port, self.web_port = first + 4, first + 5
        audio = self.ports.last - ports // 2 + 1
        self.edge: subprocess.Popen[bytes] | None = None
        self.daemon: subprocess.Popen[bytes] | None = None
        self._phones: list[Phone | DeskPhone] = []
        plain = [f"{address}:{self._ports['udp']}"]
        self.configure(
            sip__tls_listen=[f"{address}:{self._ports['tls']}"],
            sip__udp_listen=plain,
            sip__tcp_listen=plain,
            sip__worker_port=first + 2,
            sip__control_port=first + 3,
            http__listen=f"127.0.0.1:{self.http_port}",
            web__listen=f"127.0.0.1:{self.web_port}",
            media__address=address,
            media__rtp_port_first=audio + audio % 2,
            media__rtp_port_last=self.ports.last,
            calls__max_concurrent=max(4, min(20, (ports // 2) // 16 - 1)),
        )
        self.ports.last = audio - 1  # what is left is for phones

    # --- configuration ------------------------------------------------------------------------------------------------

    def configure(self, **values: Any) -> None:
        """Changes keys of beffroi.toml: `section__key=value`. The product must be told (start, or `reload`)."""
        path = self.data / "beffroi.toml"
        text = path.read_text()
        for name, value in values.items():
            section, key = name.split("__", 1)
            line = f"{key} = {json.dumps(value)}"
            head, found, tail = text.partition(f"[{section}]\n")
            if not found:
                head, tail = text.rstrip("\n") + "\n\n", ""
            body, rest = re.split(r"(?m)(?=^\[)", tail, maxsplit=1) if re.search(r"(?m)^\[", tail) else (tail, "")
            # A function as replacement: the value is taken as it stands, backslashes too.
            body, changed = re.subn(rf"(?m)^{re.escape(key)} *=.*$", lambda _, new=line: new, body)
            text = f"{head}[{section}]\n{body if changed else line + chr(10) + body}{rest}"
        path.write_text(text)

    def reload(self) -> None:
        """Asks the daemon to read its configuration again."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGHUP)

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        self.start_edge()
        self.start_daemon()
        return self

    def start_edge(self) -> None:
        self.edge = self._spawn("edge")

    def start_daemon(self, *, wait: bool = True) -> None:
        self.daemon = self._spawn("serve")
        if wait:
            self.wait_ready()

    def _spawn(self, command: str) -> subprocess.Popen[bytes]:
        with (self.directory / f"{command}.log").open("ab") as log:
            return subprocess.Popen(
                [BEFFROI, command],
                env={**os.environ, "BEFFROI_DATA": str(self.data)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Until /healthz says 200, which includes that the edge is attached."""
        until = time.monotonic() + timeout_s
        while self.health()[0] != 200:
            if self.daemon is None or self.daemon.poll() is not None:
                raise ProductError(f"the daemon ended by itself\n{self.logs()}")
            if time.monotonic() > until:
                raise ProductError(f"not ready after {timeout_s} s: {self.health()}\n{self.logs()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """As systemd would: the daemon first, then the edge. What does not stop in time fails the test."""
        slow = []
        for phone in self._phones:
            phone.stop()
        for name, process, seconds in (("daemon", self.daemon, 20), ("edge", self.edge, 10)):
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                slow.append(name)
        self.ports.close()
        if slow:
            raise ProductError(f"did not stop when asked: {slow}\n{self.logs()}")

    def stop_daemon(self, timeout_s: float = 20) -> int:
        assert self.daemon is not None
        self.daemon.terminate()
        return self.daemon.wait(timeout_s)

    def kill_daemon(self) -> None:
        """SIGKILL: no handler, no farewell."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()

    def kill_edge(self) -> None:
        assert self.edge is not None
        os.killpg(self.edge.pid, signal.SIGKILL)
        self.edge.wait()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.abandon()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
        else:
            self.abandon()

    def abandon(self) -> None:
        """After a failure: everything ends, nothing is checked any more."""
        for phone in self._phones:
            phone.stop()
        for process in (self.daemon, self.edge):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.ports.close()

    # --- asking -------------------------------------------------------------------------------------------------------

    def cli(self, *args: str, secrets: Mapping[str, str] | None = None, timeout_s: float = 60) -> str:
        """Standard output of `beffroi ARGS`; raises ProductError unless it exits 0."""
        done = run_cli(self.data, *args, secrets=secrets, timeout_s=timeout_s)
        if done.returncode:
            raise ProductError(f"beffroi {' '.join(args)} exited {done.returncode}: {done.stderr}\n{self.logs()}")
        return done.stdout

    def json(self, *args: str, secrets: Mapping[str, str] | None = None) -> Any:
        return json.loads(self.cli(*args, "--json", secrets=secrets))

    def live(self) -> Any:
        """What `beffroi status` says of calls and processes, asked on the command line's own connection: it is asked
        for again and again, and a command takes longer to start than to answer."""
        with client.connected(self.data) as connection:
            if connection is None:
                raise ProductError(f"no daemon is running here\n{self.logs()}")
            return client.send_request(connection, client.Asking(self.data), "status", {})["live"]

    def http(self, path: str) -> tuple[int, str]:
        """(status, body); status 0 if nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def health(self) -> tuple[int, str]:
        return self.http("/healthz")

    def metric(self, name: str) -> float:
        """Sum over all labels of one metric of /metrics."""
        lines = re.findall(rf"(?m)^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", self.http("/metrics")[1])
        return sum(float(value) for value in lines)

    def logs(self, *, last: int = 3000) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-last:]}"
            for path in sorted(self.directory.glob("*.log"))
        )

    # --- phones -------------------------------------------------------------------------------------------------------

    @property
    def domain(self) -> str:
        found = re.search(r'(?m)^domain = "(.*)"$', (self.data / "beffroi.toml").read_text())
        assert found
        return found[1]

    @property
    def ca(self) -> Path:
        return self.data / "tls" / "ca.pem"

    def server(self, transport: Transport = "tls") -> str:
        return f"{self.address}:{self._ports[transport]}"

    def add_account(self, name: str, extension: str, **options: str) -> Any:
        """`options` as on the command line: display_name, country, language, class_, ..."""
        return self.json("account", "add", name, extension, *flags(options))

    def add_line(self, name: str, number: str, *, members: Sequence[str] = (), **options: str) -> Any:
        """`options` as on the command line: pack, consent, class_, language, statute, kind."""
        chosen = ["--members", ",".join(members)] if members else []
        return self.json("line", "add", name, number, *chosen, *flags(options))

    def login(self, account: str) -> Login:
        """A new device of `account`, by the command line."""
        made = self.json("device", "add", account)
        return Login(made["device"]["user"], made["domain"], made["password"])

    def phone(
        self,
        name: str,
        account: str | Login,
        transport: Transport = "tls",
        *,
        says: tones.Samples | None = None,
        answer: Literal["manual", "auto"] = "manual",
        **options: Any,
    ) -> Phone:
        """A baresip with a new device of `account` (or with this login), not started; stopped with the product."""
        login = self.login(account) if isinstance(account, str) else account
        phone = Phone(
            self.directory / "phones" / name,
            self.ports,
            login,
            self.server(transport),
            transport,
            says=tones.tone(400, 60) if says is None else says,
            ca=self.ca if transport == "tls" else None,
            answer=answer,
            **options,
        )
        self._phones.append(phone)
        return phone

    def desk(self, name: str, account: str | Login, *, says: tones.Samples | None = None, **options: Any) -> DeskPhone:
        """A desk phone (UDP unless told otherwise) with a new device of `account`, not started; stopped with us."""
        login = self.login(account) if isinstance(account, str) else account
        sound = tones.tone(400, 60) if says is None else says
        server = self.server(options.get("transport", "udp"))
        phone = DeskPhone(self.directory / "phones" / name, self.ports, login, server, says=sound, **options)
        self._phones.append(phone)
        return phone

    # --- what lies on the disk ----------------------------------------------------------------------------------------

    def traces(self, wanted: Mapping[str, bytes]) -> dict[str, list[Path]]:
        """Files of the data directory and logs that hold any of these byte strings; spoken prompts are public."""
        own = (self.directory / "phones", self.data / "prompts")
        return tones.traces(self.directory, dict(wanted), but=own)


def make_seed(directory: Path, address: str = "127.0.0.1") -> tuple[Path, dict[str, Any]]:
    """Runs quickstart: (data directory, what it showed once).

    Shown: domain, devices [{account, extension, user, password}], reader {login, passphrase, totp_secret}, escrow.
    """
    data = directory / "data"
    reading, writing = os.pipe()
    with os.fdopen(reading) as shown:
        command = [BEFFROI, "--data", data, "quickstart", "--address", address, "--secrets-fd", str(writing)]
        done = subprocess.run(command, pass_fds=[writing], capture_output=True, text=True, timeout=120)
        os.close(writing)
        if done.returncode:
            raise ProductError(f"quickstart exited {done.returncode}: {done.stderr}")
        return data, json.loads(shown.read())
