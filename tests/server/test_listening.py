"""Listening: passphrase, code, reason and the right for that purpose; all of it in the ledger; nothing else opens."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import io
import json
import os
import pty
import secrets
import select
import subprocess
import termios
import time
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyotp
import pytest

from recording import keys as key_tools
from recording import vault
from recording.sealed_writer import SealedWriter
from server import control_socket
from server.services.actor import Actor
from server.services.context import Services, open_services
from storage import keys, ledger, people, readers, recordings
from storage.keys import Kek, KekWrap, RecKey
from storage.recordings import Party
from tests.peers.product import BEFFROI, run_cli

PURPOSE = "REC_QUALITY"
ME = Actor("os:0", "here", reason="a test")


@dataclass(frozen=True)
class Kept:
    """A sealed recording, and what its stream was."""

    rec_id: str
    ogg: bytes


def ogg_stream() -> bytes:
    """Two seconds of a tone, as a recorder would encode it."""
    out = io.BytesIO()
    with av.open(out, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=48000, layout="stereo")
        tone = (8000 * np.sin(np.arange(96000) * 2 * np.pi * 440 / 48000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None, :], format="s16", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


async def keep(services: Services, ogg: bytes, purpose: str = PURPOSE) -> Kept:
    """Seal a stream as the recorder does, wrapped to the readers of the purpose and to escrow."""
    now, rec_id, kek_id = datetime.now(UTC), secrets.token_hex(16), secrets.token_hex(16)
    public, secret = key_tools.generate_kek()
    dek = secrets.token_bytes(32)
    alg = key_tools.algorithm(public)
    writer = SealedWriter(services.paths.vault, rec_id, purpose, dek)
    writer.write(ogg)
    writer.finish()
    async with services.db.transaction() as tx:
        wraps = [
            KekWrap(kek_id, reader, alg, key_tools.wrap_kek(secret, to, kek_id=kek_id, reader_id=reader))
            for reader, to in [(one.person_id, one.public) for one in await readers.for_purpose(tx, purpose)]
        ]
        signature = key_tools.sign_kek(kek_id, purpose, public, services.keys.ledger)
        kek = Kek(kek_id, purpose, f"2026-W47.{kek_id}", alg, public, signature, now, now + timedelta(days=7))
        await keys.add_kek(tx, kek, wraps)
        wrap = key_tools.wrap_dek(dek, public, rec_id=rec_id, purpose=purpose, kek_id=kek_id)
        await keys.add_rec_key(tx, RecKey(rec_id, kek_id, alg, wrap))
        await recordings.start(
            tx, rec_id, call_id=secrets.token_hex(16), purpose=purpose, pack_version="1", legal_basis="GDPR 6(1)(f)",
            expires_at=now + timedelta(days=90), codec="opus", rate_hz=8000, channels=2, started_at=now, kek_id=kek_id,
            parties=[Party(0, "leg-a", None, "+33612345678"), Party(1, "leg-b", None, "102")], consent_refs=[1],
        )  # fmt: skip
        await recordings.finish(tx, rec_id, state="whole", ended_at=now, duration_ms=2000,
                                size_bytes=writer.size_bytes, sha256=writer.sha256)  # fmt: skip
    return Kept(rec_id, ogg)


@pytest.fixture
async def kept(data: Path) -> Kept:
    async with open_services(data) as services:
        return await keep(services, ogg_stream())


def code(shown: dict[str, Any]) -> str:
    return pyotp.TOTP(shown["reader"]["totp_secret"]).at(datetime.now(UTC))


def export(data: Path, rec_id: str, out: Path, passphrase: str, totp: str, *more: str, login: str = "reader") -> Any:
    return run_cli(data, "recordings", "export", rec_id, "--as", login, "--reason", "checking the tone",
                   "--out", str(out), *more, secrets={"--secrets-fd": f"{passphrase}\n{totp}"})  # fmt: skip


async def entries(data: Path) -> list[dict[str, Any]]:
    async with open_services(data) as services, services.db.read() as tx:
        return [json.loads(entry.body) for entry in await ledger.entries(tx, "access")]


def what(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["action"], entry["outcome"]


@contextlib.asynccontextmanager
async def running(data: Path, *, daemon: bool, patient: bool = True) -> AsyncIterator[None]:
    if not daemon:
        yield
        return
    async with open_services(data) as services, control_socket.serve(services):
        yield
        if patient:
            await rooms_are_gone()


async def rooms_are_gone() -> None:
    """What a room said last is written down a moment after the person has heard it."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    for _ in range(100):
        if not children.read_text().strip():  # noqa: ASYNC240 - a pseudo file
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)


@pytest.mark.promise("2.9", "2.10", "0.6")
@pytest.mark.parametrize("daemon", [True, False], ids=["daemon", "alone"])
async def test_a_reader_opens_and_it_is_written_down(
    data: Path, kept: Kept, shown: dict[str, Any], tmp_path: Path, daemon: bool
):
    out = tmp_path / "copy.ogg"
    async with running(data, daemon=daemon):
        done = await asyncio.to_thread(
            export, data, kept.rec_id, out, shown["reader"]["passphrase"], code(shown), "--case", "2026-17"
        )
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == kept.ogg
    assert out.stat().st_mode & 0o777 == 0o600
    said = [entry for entry in await entries(data) if entry.get("rec_id") == kept.rec_id]
    assert [what(entry) for entry in said] == [("unlock", "done"), ("export", "done"), ("stop", "done")]
    for entry in said:  # who, by which right, on what, from where, when, why
        assert entry["person_id"] and entry["actor_id"] and entry["workstation"] and entry["at"] and entry["reason_id"]
        assert entry["purpose"] == PURPOSE
    assert said[-1]["complete"] is True and said[-1]["size_bytes"] == len(kept.ogg)


async def test_the_passphrase_and_the_code_never_reach_the_daemon(
    data: Path, kept: Kept, shown: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Everything that the daemon's end of the connection takes in is collected."""
    taken: list[bytes] = []
    loop = asyncio.get_running_loop()
    receive = loop.sock_recv

    async def listening(sock: Any, size: int) -> bytes:
        got = await receive(sock, size)
        taken.append(got)
        return got

    monkeypatch.setattr(loop, "sock_recv", listening)
    totp = code(shown)
    async with running(data, daemon=True):
        done = await asyncio.to_thread(
            export, data, kept.rec_id, tmp_path / "copy.ogg", shown["reader"]["passphrase"], totp
        )
    assert done.returncode == 0, done.stderr
    everything = b"".join(taken)
    assert kept.rec_id.encode() in everything, "the request itself was seen"
    assert shown["reader"]["passphrase"].encode() not in everything and totp.encode() not in everything


@pytest.mark.parametrize("daemon", [True, False], ids=["daemon", "alone"])
@pytest.mark.parametrize("wrong", ["passphrase", "code"])
async def test_one_of_the_two_does_not_open(
    data: Path, kept: Kept, shown: dict[str, Any], tmp_path: Path, daemon: bool, wrong: str
):
    passphrase, totp = shown["reader"]["passphrase"], code(shown)
    if wrong == "passphrase":
        passphrase = passphrase[:-1] + ("a" if passphrase[-1] != "a" else "b")
    else:
        totp = f"{(int(totp) + 1) % 1000000:06}"
    out = tmp_path / "copy.ogg"
    async with running(data, daemon=daemon):
        done = await asyncio.to_thread(export, data, kept.rec_id, out, passphrase, totp)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("beffroi: passphrase or code is wrong") and done.stderr.count("\n") == 1
    assert not out.exists()
    assert [what(one) for one in (await entries(data))[-2:]] == [("unlock", "done"), ("export", "wrong")]


async def test_a_code_opens_once(data: Path, kept: Kept, shown: dict[str, Any], tmp_path: Path):
    totp = code(shown)
    first = export(data, kept.rec_id, tmp_path / "one.ogg", shown["reader"]["passphrase"], totp)
    again = export(data, kept.rec_id, tmp_path / "two.ogg", shown["reader"]["passphrase"], totp)
    assert (first.returncode, again.returncode) == (0, 1)
    assert not (tmp_path / "two.ogg").exists()
    assert what((await entries(data))[-1]) == ("export", "replayed")


async def test_a_code_opens_once_even_when_used_twice_at_a_time(
    data: Path, kept: Kept, shown: dict[str, Any], tmp_path: Path
):
    totp = code(shown)
    async with running(data, daemon=True):
        both = await asyncio.gather(
            *(
                asyncio.to_thread(export, data, kept.rec_id, tmp_path / name, shown["reader"]["passphrase"], totp)
                for name in ("one.ogg", "two.ogg")
            )
        )
    assert sorted(done.returncode for done in both) == [0, 1]
    assert len([name for name in os.listdir(tmp_path) if name.endswith(".ogg")]) == 1


async def test_after_five_wrong_codes_even_the_right_one_has_to_wait(
    data: Path, kept: Kept, shown: dict[str, Any], tmp_path: Path
):
    async with open_services(data) as services, services.db.transaction() as tx:
        person = await people.by_login(tx, "reader")
        for _ in range(readers.FREE_FAILURES):
            await readers.try_totp(tx, person.id, None, services.clock())
    done = export(data, kept.rec_id, tmp_path / "copy.ogg", shown["reader"]["passphrase"], code(shown))
    assert done.returncode == 1 and "locked until" in done.stderr
    assert what((await entries(data))[-1]) == ("unlock", "locked")


async def test_the_right_of_another_purpose_does_not_open(data: Path, shown: dict[str, Any], tmp_path: Path):
    async with open_services(data) as services:
        other = await keep(services, ogg_stream(), "REC_CONTRACT")
    done = export(data, other.rec_id, tmp_path / "copy.ogg", shown["reader"]["passphrase"], code(shown))
    assert done.returncode == 1 and "no right to listen to REC_CONTRACT" in done.stderr
    assert what((await entries(data))[-1]) == ("unlock", "denied")


async def test_a_right_that_is_written_into_the_database_opens_nothing(
    data: Path, shown: dict[str, Any], tmp_path: Path
):
    """Whoever can write the database gives themselves the right: the key was still never wrapped to them."""
    async with open_services(data) as services:
        other = await keep(services, ogg_stream(), "REC_CONTRACT")
        async with services.db.transaction() as tx:
            person = await people.by_login(tx, "reader")
            await readers.grant(tx, person.id, "REC_CONTRACT", "system", services.clock())
    done = export(data, other.rec_id, tmp_path / "copy.ogg", shown["reader"]["passphrase"], code(shown))
    assert done.returncode == 1 and "never given to this reader" in done.stderr


async def test_administrators_have_no_right(data: Path, kept: Kept, shown: dict[str, Any], tmp_path: Path):
    assert run_cli(data, "person", "add", "boss", "Boss", "--roles", "admin,dpo,auditor").returncode == 0
    done = export(data, kept.rec_id, tmp_path / "copy.ogg", shown["reader"]["passphrase"], code(shown), login="boss")
    assert done.returncode == 1 and "no right" in done.stderr


@pytest.mark.promise("2.11")
async def test_a_changed_file_stays_closed(data: Path, kept: Kept, shown: dict[str, Any], tmp_path: Path):
    path = vault.sealed_path(data / "vault", kept.rec_id)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    verdict = run_cli(data, "recordings", "verify", "--json")
    assert verdict.returncode == 1
    assert json.loads(verdict.stdout)[0]["findings"] == ["the file is not the one that was sealed"]
    out = tmp_path / "copy.ogg"
    done = export(data, kept.rec_id, out, shown["reader"]["passphrase"], code(shown))
    assert done.returncode == 1 and "not what was sealed" in done.stderr
    assert not out.exists()
    assert what((await entries(data))[-1]) == ("export", "failed")


async def test_a_file_that_is_there_is_not_written_over(data: Path, kept: Kept, shown: dict[str, Any], tmp_path: Path):
    out = tmp_path / "copy.ogg"
    out.write_text("mine")
    done = export(data, kept.rec_id, out, shown["reader"]["passphrase"], code(shown))
    assert done.returncode == 1 and out.read_text() == "mine"


async def test_what_the_lists_say_of_it(data: Path, kept: Kept):
    listed = json.loads(run_cli(data, "recordings", "list", "--json").stdout)
    assert [one["id"] for one in listed] == [kept.rec_id]
    assert [party["number"] for party in listed[0]["parties"]] == ["+33•••••••78", "102"]
    clear = json.loads(run_cli(data, "recordings", "show", kept.rec_id[:8], "--json", "--reason", "a request").stdout)
    assert clear["parties"][0]["number"] == "+33612345678"
    found = run_cli(data, "recordings", "list", "--number", "+33612345678", "--reason", "a request", "--json")
    assert [one["id"] for one in json.loads(found.stdout)] == [kept.rec_id]
    table = run_cli(data, "recordings", "list").stdout
    assert max(map(len, table.splitlines())) <= 80 and "0:02" in table
    assert json.loads(run_cli(data, "vault", "check", "--contents", "--json").stdout)["sound"] is True


@pytest.mark.promise("L10")
async def test_the_vault_is_compared_with_what_is_listed(data: Path, kept: Kept):
    stray = data / "vault" / "ab" / "cd" / ("abcd" + "0" * 28 + ".rec")
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x" * 100)
    path = vault.sealed_path(data / "vault", kept.rec_id)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    done = run_cli(data, "vault", "check", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1 and digest
    assert report["missing_files"] == [kept.rec_id]
    assert report["unlisted_files"] == [str(stray.relative_to(data / "vault"))]
    async with open_services(data) as services, services.db.transaction() as tx:
        await keys.destroy_rec_key(tx, kept.rec_id)
    assert json.loads(run_cli(data, "vault", "check", "--json").stdout)["missing_keys"] == [kept.rec_id]


@pytest.mark.parametrize("daemon", [True, False], ids=["daemon", "alone"])
async def test_open_serves_a_page_once_and_closes_with_the_command(
    data: Path, kept: Kept, shown: dict[str, Any], daemon: bool
):
    """At a terminal: the program asks for passphrase and code, and never echoes them."""
    passphrase, totp = shown["reader"]["passphrase"], code(shown)
    async with running(data, daemon=daemon):
        terminal = await asyncio.to_thread(Terminal, data, kept.rec_id)
        try:
            await asyncio.to_thread(terminal.expect, "Passphrase: ")
            terminal.type(passphrase)
            await asyncio.to_thread(terminal.expect, "Code of the authenticator: ")
            terminal.type(totp)
            said = await asyncio.to_thread(terminal.expect, "Ctrl-C")
            url = next(word for word in said.split() if word.startswith("http://127.0.0.1:"))
            status, page = await asyncio.to_thread(fetch, url)
            assert status == 200 and "<audio" in page
            terminal.interrupt()
            assert await asyncio.to_thread(terminal.process.wait, 10) == 0
        finally:
            terminal.close()
        assert passphrase not in terminal.shown and totp not in terminal.shown
        with pytest.raises(OSError):
            await asyncio.to_thread(fetch, url)
    await asyncio.sleep(0)
    said_of_it = [what(entry) for entry in await entries(data) if entry.get("rec_id") == kept.rec_id]
    assert said_of_it == [("unlock", "done"), ("open", "done"), ("listen", "done")]


@pytest.mark.parametrize("opened", [True, False], ids=["open", "asking"])
async def test_a_daemon_that_stops_closes_the_room_and_writes_it_down(
    data: Path, kept: Kept, shown: dict[str, Any], opened: bool
):
    async with running(data, daemon=True, patient=False):
        terminal = await asyncio.to_thread(Terminal, data, kept.rec_id)
        await asyncio.to_thread(terminal.expect, "Passphrase: ")
        if opened:
            terminal.type(shown["reader"]["passphrase"])
            await asyncio.to_thread(terminal.expect, "Code of the authenticator: ")
            terminal.type(code(shown))
            await asyncio.to_thread(terminal.expect, "Ctrl-C")
    try:
        if not opened:
            terminal.interrupt()
        assert await asyncio.to_thread(terminal.process.wait, 10) == (0 if opened else 130)
    finally:
        terminal.close()
    said_of_it = [what(entry) for entry in await entries(data) if entry.get("rec_id") == kept.rec_id]
    ends = [("open", "done"), ("listen", "done")] if opened else [("open", "failed")]
    assert said_of_it == [("unlock", "done"), *ends]


class Terminal:
    """`beffroi recordings open` at a pseudo terminal."""

    def __init__(self, data: Path, rec_id: str) -> None:
        self.master, slave = pty.openpty()
        self.shown = ""
        words = [BEFFROI, "--data", data, "recordings", "open", rec_id, "--as", "reader", "--reason", "to hear it"]
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=_take_terminal
        )
        os.close(slave)

    def expect(self, words: str, timeout_s: float = 20) -> str:
        until = time.monotonic() + timeout_s
        seen = len(self.shown)
        while words not in self.shown[seen:]:
            assert time.monotonic() < until, self.shown
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 4096).decode()
        return self.shown[seen:]

    def type(self, text: str) -> None:
        os.write(self.master, text.encode() + b"\n")

    def interrupt(self) -> None:
        os.write(self.master, b"\x03")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            while select.select([self.master], [], [], 0)[0] and (more := os.read(self.master, 4096)):
                self.shown += more.decode()
        os.close(self.master)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def fetch(url: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(url, timeout=5) as answer:
        return answer.status, answer.read().decode()
