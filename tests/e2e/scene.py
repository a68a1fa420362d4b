"""What end-to-end tests share: readers who open what was sealed, the ledger as evidence, prompts that are tones.

Real prompts last ten seconds and more. Where a test is about what follows from them and not about the words, the
company's own audio replaces each by a short tone, and what a phone heard is told as a story: ["optin", "callee"].
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
import pyotp

from storage import key_slots
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.processes import tree
from tests.peers.product import Product, ProductError, run_cli

ROOT = Path(__file__).resolve().parents[2]

CALLER_HZ, CALLEE_HZ = 400, 500
RINGBACK_HZ = 440

T = TypeVar("T")


def until(found: Callable[[], T], what: str, timeout_s: float = 10.0, every_s: float = 0.05) -> T:
    """The first answer of `found` that is true. Fails, naming `what`, if none comes in time."""
    end = time.monotonic() + timeout_s
    while not (answer := found()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(every_s)
    return answer


# --- prompts that are tones -------------------------------------------------------------------------------------------

PROMPT_HZ = {
    prompt: 700 + 100 * number
    for number, prompt in enumerate(
        (
            "PROMPT_OPTIN",
            "PROMPT_OPTIN_OR_END",
            "PROMPT_OPTOUT",
            "PROMPT_OPTOUT_QUALITY",
            "PROMPT_MIFID",
            "PROMPT_STAFF",
            "PROMPT_LONG",
            "PROMPT_REFUSED",
            "PROMPT_TIMEOUT",
            "PROMPT_STOPPED",
            "PROMPT_MUST_END",
            "PROMPT_ECHO",
            "PROMPT_BUSY",
            "PROMPT_DECLINED",
            "PROMPT_NO_ANSWER",
            "PROMPT_NOT_AVAILABLE",
            "PROMPT_ERROR",
        )
    )
} | {
    prompt: 750 + 100 * number
    for number, prompt in enumerate(
        (
            "PROMPT_UNKNOWN",
            "PROMPT_LINES_BUSY",
            "PROMPT_CEILING",
            "PROMPT_CEILING_END",
            "PROMPT_LIMIT",
            "PROMPT_NOT_PERMITTED",
            "PROMPT_LOOP",
            "PROMPT_TRUNK_FAILED",
            "PROMPT_TRANSFER_FAILED",
            "PROMPT_PICKUP_FAILED",
            "PROMPT_DND_ON",
            "PROMPT_DND_OFF",
            "PROMPT_FORWARD_ON",
            "PROMPT_FORWARD_OFF",
            "PROMPT_FORWARD_REFUSED",
            "PROMPT_DRILL",
            "PROMPT_PAUSED",
            "PROMPT_RESUMED",
        )
    )
}
PROMPT_S = 1.0
_NAMES = {hz: name.removeprefix("PROMPT_").lower() for name, hz in PROMPT_HZ.items()}
NAMES = {CALLER_HZ: "caller", CALLEE_HZ: "callee", RINGBACK_HZ: "ringback", **_NAMES}
"""What `story` calls each tone: "caller", "callee", "ringback", "optin", "must_end", ..."""


def speak_in_tones(product: Product, language: str = "fr", *, seconds: float = PROMPT_S) -> None:
    """Replaces every prompt of this language by a tone, before the product starts or while it runs."""
    place = product.data / "prompts" / "custom"
    place.mkdir(mode=0o700, exist_ok=True)
    for prompt, hz in PROMPT_HZ.items():
        tones.write_wav(place / f"{prompt}.{language}.wav", tones.tone(hz, seconds))


def break_prompt(product: Product, prompt: str, language: str) -> None:
    """A file that somebody put there and that is no audio."""
    (product.data / "prompts" / "custom" / f"{prompt}.{language}.wav").write_bytes(b"RIFF\x04\0\0\0WAVE")


def story(samples: tones.Samples, *, at_least_s: float = 0.2) -> list[str]:
    """The tones that somebody heard, one after the other, without silence and without what is shorter."""
    step = 0.05
    found = tones.labels(samples, tuple(NAMES), window=step)
    told: list[str] = []
    borders = np.flatnonzero(np.diff(found)) + 1
    for run in np.split(found, borders):
        if len(run) * step >= at_least_s and (name := NAMES.get(int(run[0]))) and told[-1:] != [name]:
            told.append(name)
    return told


# --- opening ----------------------------------------------------------------------------------------------------------


@dataclass
class Reader:
    """Somebody with a passphrase and a second factor. A code counts once, so `code` waits where it must."""

    login: str
    passphrase: str
    totp_secret: str
    used: int = field(default=-1)
    """Step of the last code."""

    def code(self) -> str:
        """A code that was not used yet and counts now: of the step before, of this one, of the next."""
        while True:
            step = int(time.time()) // 30
            # Not the step before, when it is about to go out of the window; nor the next, which is not there yet.
            for wanted in (step - 1, step, step + 1):
                if wanted > self.used and not (wanted < step and time.time() % 30 > 20):
                    self.used = wanted
                    return pyotp.TOTP(self.totp_secret).generate_otp(wanted)
            time.sleep(0.5)

    def secrets(self, *, passphrase: str | None = None, code: str | None = None) -> str:
        """What is typed: passphrase and code."""
        return f"{passphrase or self.passphrase}\n{code or self.code()}"

    def export(self, product: Product, rec_id: str, place: Path, *, reason: str = "a test listens") -> tones.Samples:
        """By the command line, as WAV: frames by channels at 8 kHz. Raises ProductError where it is refused."""
        out = place / f"{rec_id}-{self.used}.wav"
        product.cli("recordings", "export", rec_id, "--as", self.login, "--reason", reason, "--format", "wav",
                    "--out", str(out), secrets={"--secrets-fd": self.secrets()})  # fmt: skip
        return tones.decode(out)


def first_reader(product: Product) -> Reader:
    """The one that quickstart made, with the right to REC_QUALITY."""
    shown = product.shown["reader"]
    return Reader(shown["login"], shown["passphrase"], shown["totp_secret"])


def new_reader(product: Product, login: str, *purposes: str, roles: str = "reader") -> Reader:
    """A person with a key and the right to these purposes, for recordings made from now on."""
    passphrase = f"a long passphrase of {login}"
    product.cli("person", "add", login, login.title(), "--roles", roles)
    reading, writing = os.pipe()
    try:
        done = _enrol(product, login, passphrase, writing)
    finally:
        os.close(writing)
    with os.fdopen(reading) as said:
        assert done.returncode == 0, done.stderr
        secret = json.loads(said.readline())["totp_secret"]
    for purpose in purposes:
        product.cli("person", "grant", login, purpose)
    return Reader(login, passphrase, secret)


def _enrol(product: Product, login: str, passphrase: str, descriptor: int) -> subprocess.CompletedProcess[str]:
    reading, writing = os.pipe()
    os.write(writing, passphrase.encode() + b"\n")
    os.close(writing)
    beffroi = str(Path(sys.executable).with_name("beffroi"))
    command = [beffroi, "reader", "enrol", login, "--passphrase-fd", str(reading), "--secrets-fd", str(descriptor)]
    try:
        return subprocess.run(
            command,
            env={**os.environ, "BEFFROI_DATA": str(product.data)},
            pass_fds=[reading, descriptor],
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        os.close(reading)


@contextmanager
def database(product: Product) -> Iterator[sqlite3.Connection]:
    """The database as somebody reads it who has the disk."""
    with closing(sqlite3.connect(f"file:{product.data / 'beffroi.sqlite3'}?mode=ro", uri=True, timeout=10)) as db:
        db.row_factory = sqlite3.Row
        yield db


def key_bundle(product: Product, rec_id: str, reader_id: str = "escrow") -> dict[str, Any]:
    """What docs/recording-format.md section 7 asks for, out of the database. Raises TypeError where a wrap is gone."""
    with database(product) as db:
        key = db.execute("SELECT * FROM rec_keys JOIN key_slots USING (slot) WHERE rec_id = ?", (rec_id,)).fetchone()
        wrap = db.execute(
            "SELECT blob FROM kek_wraps WHERE kek_id = ? AND reader_id = ?", (key["kek_id"], reader_id)
        ).fetchone()
        purpose = db.execute("SELECT purpose FROM keks WHERE id = ?", (key["kek_id"],)).fetchone()[0]
        bundle = db.execute("SELECT secret FROM reader_keys WHERE person_id = ?", (reader_id,)).fetchone()
    dek_wrap = key_slots.unpacked(key["content"])
    text = {"dek_wrap": dek_wrap, "kek_wrap": wrap["blob"], "reader_bundle": bundle and bundle["secret"]}
    coded = {name: value and base64.b64encode(value).decode() for name, value in text.items()}
    return {"v": 1, "rec_id": rec_id, "purpose": purpose, "kek_id": key["kek_id"], "reader_id": reader_id, **coded}


def sealed_file(product: Product, rec_id: str) -> Path:
    return product.data / "vault" / rec_id[:2] / rec_id[2:4] / f"{rec_id}.rec"


def by_escrow(product: Product, rec_id: str, place: Path, *, cut: bool = False) -> tones.Samples:
    """Opened by hand with scripts/open-recording and the escrow sheet: frames by channels at 8 kHz."""
    keys, out = place / f"{rec_id}.json", place / f"{rec_id}.audio"
    keys.write_text(json.dumps(key_bundle(product, rec_id)))
    reading, writing = os.pipe()
    os.write(writing, product.shown["escrow"].encode() + b"\n")
    os.close(writing)
    command = [sys.executable, ROOT / "scripts" / "open-recording", sealed_file(product, rec_id), keys, out]
    flags = ["--escrow", "--passphrase-fd", str(reading), *(["--cut"] if cut else [])]
    try:
        done = subprocess.run([*command, *flags], pass_fds=[reading], capture_output=True, text=True, timeout=60)
    finally:
        os.close(reading)
    assert done.returncode == 0, done.stderr
    return decode(out)


def decode(path: Path) -> tones.Samples:
    """An opened recording, Opus or FLAC: frames by channels at 8 kHz."""
    pieces = []
    resampler = av.AudioResampler(format="s16", layout="stereo", rate=8000)
    with av.open(str(path)) as container:
        for frame in [*container.decode(audio=0), None]:
            pieces += [piece.to_ndarray() for piece in resampler.resample(frame)]
    return np.concatenate(pieces, axis=1).reshape(-1, 2).astype(np.int16)


def heard_in(channel: tones.Samples) -> set[str]:
    """Names of the tones that a channel holds."""
    return {NAMES[hz] for hz in tones.tones_in(channel, tuple(NAMES))}


# --- what is written down ---------------------------------------------------------------------------------------------


def entries(product: Product, log: str, *, last: int = 500) -> list[dict[str, Any]]:
    """Bodies of the entries of a log, oldest first."""
    return [{**one["body"], "seq": one["seq"]} for one in product.json("ledger", "show", log, "--last", str(last))]


def recordings(product: Product) -> list[dict[str, Any]]:
    """Oldest first, destroyed ones too."""
    states = "recording,whole,cut,failed,destroyed"
    return list(reversed(product.json("recordings", "list", "--states", states, "--limit", "500")))


def one_recording(product: Product, state: str = "whole", *, but: set[str] | None = None) -> dict[str, Any]:
    """The one finished recording that is not among `but`; waits until it is finished."""

    def found() -> list[dict[str, Any]]:
        new = [r for r in recordings(product) if r["id"] not in (but or set())]
        return new if new and all(r["state"] != "recording" for r in new) else []

    [recording] = until(found, "a finished recording", every_s=0.3)
    assert recording["state"] == state, recording
    return recording


def rec_ids(product: Product) -> set[str]:
    """Of all recordings that are listed. Writes nothing, so it also answers on a full disk."""
    with database(product) as db:
        return {row["id"] for row in db.execute("SELECT id FROM recordings")}


def live_calls(product: Product) -> list[dict[str, Any]]:
    """Of the running daemon."""
    return list(product.live()["calls"])


def processes(product: Product) -> dict[str, Any]:
    """zygote, recorder, workers: process ids of the running daemon."""
    return dict(product.live()["processes"])


def recorder_pids(product: Product) -> list[int]:
    """Seen from outside: also while the daemon has not noticed yet."""
    assert product.daemon is not None
    return [p.pid for p in tree([product.daemon.pid]) if "recording.recorder" in p.command]


def survivors(product: Product) -> list[str]:
    """Command lines of all processes that were started for this data directory and live."""
    mark = f"BEFFROI_DATA={product.data}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [command for command in found if command]


def assert_in_order(product: Product) -> None:
    """Ledger and vault agree with themselves and with each other."""
    assert product.json("ledger", "verify")["sound"]
    report = product.json("vault", "check", "--contents")
    assert report["sound"], report


# --- phones -----------------------------------------------------------------------------------------------------------


def registered(*phones: Phone) -> None:
    for phone in phones:
        phone.registered()


def talk(seconds: float) -> None:
    """Both sides are connected and sound their tones; nothing to wait for but time."""
    time.sleep(seconds)


def in_parallel(*acts: Callable[[], object]) -> None:
    """Runs all at once, waits for all, and raises the first failure."""
    failures: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as failure:  # noqa: BLE001 - raised below, in the test's own thread
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def refused(product: Product, *args: str, secrets: Mapping[str, str] | None = None) -> str:
    """Standard error of a command that must fail with status 1."""
    done = run_cli(product.data, *args, secrets=secrets)
    if done.returncode != 1:
        raise ProductError(f"beffroi {' '.join(args)} exited {done.returncode}, not 1: {done.stdout}{done.stderr}")
    return done.stderr
