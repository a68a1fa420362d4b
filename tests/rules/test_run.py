"""scripts/run as the keeper of two processes, with a stand-in for the program."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers.ports import Ports

ROOT = Path(__file__).resolve().parents[2]

# Writes what it is told into a journal; `serve` answers /healthz like the real one.
STAND_IN = """\
#!/usr/bin/env python3
import http.server, os, signal, sys, time
journal = open(os.environ["JOURNAL"], "a", buffering=1)
word = sys.argv[1]
def started():
    print(word, *sys.argv[2:], os.getpid(), file=journal)
if word not in ("edge", "serve"):
    started()
if word == "quickstart":
    if os.environ.get("BROKEN"):
        sys.exit(1)
    with open(os.environ["BEFFROI_DATA"] + "/beffroi.toml", "w") as f:
        f.write('[sip]\\nlisten = "1"\\n[http]\\nlisten = "127.0.0.1:PORT"\\n')
if word in ("edge", "serve"):
    def bye(*_):
        print("stopped", word, file=journal)
        os._exit(0)
    signal.signal(signal.SIGTERM, bye)
    started()
    if os.environ.get("FALLS") == word:
        sys.exit(3)
if word == "edge":
    time.sleep(60)
if word == "serve":
    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.end_headers()
        def log_message(self, *_): pass
    http.server.HTTPServer.allow_reuse_address = True
    http.server.HTTPServer(("127.0.0.1", PORT), Healthy).serve_forever()
"""


class Run:
    """scripts/run in a copy of the project whose .venv holds the stand-in."""

    def __init__(self, directory: Path, port: int) -> None:
        self.root, self.data, self.journal = directory / "clone", directory / "data", directory / "journal"
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        shutil.copytree(ROOT / "requirements", self.root / "requirements")
        shutil.copy(ROOT / "pyproject.toml", self.root)
        program = self.root / ".venv" / "bin" / "beffroi"
        program.parent.mkdir(parents=True)
        program.write_text(STAND_IN.replace("PORT", str(port)))
        program.chmod(0o755)
        stamp = f". {self.root}/scripts/prepare.sh; stamp_of runtime.txt > {self.root}/.venv/.stamp-run"
        subprocess.run(["bash", "-c", stamp], check=True)
        self.process: subprocess.Popen[str] | None = None

    def start(self, *options: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [self.root / "scripts" / "run", "--data", self.data, *options],
            env={**os.environ, "JOURNAL": str(self.journal), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, there: Callable[[list[str]], bool], timeout_s: float = 10) -> list[str]:
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            lines = self.lines()
            if there(lines):
                return lines
            time.sleep(0.02)
        raise AssertionError(f"it did not come: {self.lines()}")

    def lines(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def pid(self, word: str) -> int:
        return int([line for line in self.lines() if line.startswith(f"{word} ")][-1].split()[-1])

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        assert self.process is not None
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=20)
        return self.process.returncode, output, errors


@pytest.fixture
def run(tmp_path: Path, ports: Ports) -> Iterator[Run]:
    it = Run(tmp_path, ports.take())
    yield it
    if it.process is not None and it.process.poll() is None:
        it.process.kill()
        it.process.wait()


def started(lines: list[str]) -> bool:
    return {"edge", "serve"} <= {line.split()[0] for line in lines}


def until_ready(run: Run) -> None:
    """Reads its output up to the line that says so. The stand-in's daemon does not wait for the edge: we do."""
    assert run.process is not None and run.process.stdout is not None
    for line in run.process.stdout:
        if line.startswith("-- ready"):
            run.wait_for(started)
            return
    raise AssertionError("it ended without being ready")


def test_the_first_start_makes_a_default_and_the_next_one_greets(run: Run):
    run.start("--address", "192.0.2.7", "--port-base", "17000")
    until_ready(run)
    code, _, _ = run.end()
    assert code == 0
    assert run.lines()[0].startswith("quickstart --address 192.0.2.7 --port-base 17000 ")

    run.journal.unlink()
    began = time.monotonic()
    run.start()
    until_ready(run)
    # The stand-in is quick: what is measured is the script, on a machine that runs other tests as well.
    assert time.monotonic() - began < 3
    run.end()
    words = [line.split()[0] for line in run.lines()]
    assert "welcome" in words
    assert "quickstart" not in words


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_daemon_stops_before_the_edge(run: Run, number: signal.Signals):
    run.start()
    until_ready(run)
    code, output, errors = run.end(number)
    assert (code, run.lines()[-2:]) == (0, ["stopped serve", "stopped edge"]), (run.lines(), output, errors)


def test_a_daemon_that_dies_is_started_again_and_the_edge_stays(run: Run):
    run.start()
    until_ready(run)
    edge, daemon = run.pid("edge"), run.pid("serve")
    time.sleep(3)  # one that falls sooner is not started again
    os.kill(daemon, signal.SIGKILL)
    run.wait_for(lambda _: run.pid("serve") != daemon)
    assert run.pid("edge") == edge
    code, output, _ = run.end()
    assert code == 0
    assert "the daemon ended with status 137; starting it again" in output


def test_one_that_falls_at_once_ends_all_and_says_what_to_do(run: Run):
    run.start(FALLS="serve")
    assert run.process is not None
    _, errors = run.process.communicate(timeout=15)
    assert run.process.returncode == 1
    assert "the daemon ended with status 3" in errors
    assert "doctor" in errors
    edges = [int(line.split()[-1]) for line in run.lines() if line.startswith("edge ")]
    assert [pid for pid in edges if Path(f"/proc/{pid}").exists()] == []


def test_a_quickstart_that_fails_starts_nothing(run: Run):
    run.start(BROKEN="yes")
    assert run.process is not None
    _, errors = run.process.communicate(timeout=15)
    assert run.process.returncode == 1
    assert "quickstart failed" in errors
    assert not started(run.lines())


def test_nothing_is_left_when_it_is_killed(run: Run):
    run.start()
    until_ready(run)
    assert run.process is not None
    run.process.kill()
    run.process.communicate(timeout=15)
    run.wait_for(lambda lines: {"stopped edge", "stopped serve"} <= set(lines))
