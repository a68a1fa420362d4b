"""Linphone, a softphone that is not ours, as it sets itself up: it is given one link, and fetches all else by it.

    with Linphone(tmp_path / "linphone", product.ports, link, ca=product.ca) as phone:
        phone.command("register-status ALL")
        phone.command("call sip:*43@127.0.0.1")

Debian's linphone-daemon, without a sound card: it hears, and says nothing. It trusts one authority alone, and checks
the server's name, be it an address.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.ports import Ports

PROGRAM = "linphone-daemon"
_RC = """\
[sip]
root_ca={ca}
verify_server_certs=1
verify_server_cn=1
sip_port=-1
sip_tcp_port=-1
sip_tls_port=-1
[rtp]
audio_rtp_port={rtp}
[misc]
config-uri={link}
[net]
enable_ipv6=0
"""
_STATUS = re.compile(r"^Status: (Ok|Error)$", re.MULTILINE)


def is_here() -> bool:
    return shutil.which(PROGRAM) is not None


class Linphone:
    """Started as a context, and stopped at its end. What it keeps of its configuration goes with its directory."""

    def __init__(self, directory: Path, ports: Ports, link: str, *, ca: Path) -> None:
        self.directory = directory
        self._rc = _RC.format(ca=ca, rtp=ports.take(2, even=True), link=link)
        self._said = ""
        self._told = threading.Condition()

    def __enter__(self) -> Self:
        (self.directory / ".local" / "share" / "linphone").mkdir(parents=True)
        rc = self.directory / "rc"
        rc.write_text(self._rc)
        self._process = subprocess.Popen(
            [PROGRAM, "--config", rc],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={"HOME": str(self.directory), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write("quit\n")
            self._process.stdin.close()
            self._process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._listener.join(5)
        self._process.stdout.close()

    def command(self, line: str, timeout_s: float = 10.0) -> str:
        """What it answers. Raises AssertionError where it refuses, or says nothing."""
        assert self._process.stdin is not None
        with self._told:
            began = len(self._said)
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            there = self._told.wait_for(lambda: _STATUS.search(self._said, began), timeout_s)
            assert there, f"{line}: no answer within {timeout_s} s"
            answer = self._said[began:]
        assert "Status: Error" not in answer, f"{line}: {answer}"
        time.sleep(0.1)  # the rest of it
        with self._told:
            return self._said[began:]

    @property
    def said(self) -> str:
        """All so far: answers and events, such as LinphoneCallStreamsRunning."""
        with self._told:
            return self._said

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._told:
                self._said += line
                self._told.notify_all()
