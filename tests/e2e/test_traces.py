"""After many calls of every kind: no audio, and no trace of a protected line, in any byte that was written."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sip.edge.rpc import RpcClient
from storage import index_keys
from storage.field_crypto import FieldKeys
from tests.e2e import scene
from tests.e2e.scene import PROMPT_S
from tests.peers import tones
from tests.peers.product import Product, ProductError

pytestmark = [pytest.mark.e2e]

LANES = 4
SAID_HZ = (320, 400, 500)
"""What a caller by mu-law says, other callers, and called people: no prompt has these tones."""
# Long enough to stand in no time and no port by chance.
LINE = {"protected": "59218", "accepted": "83461", "refused": "72946", "objected": "94573"}
UNKNOWN = "67139"


def mulaw_encode(samples: tones.Samples) -> bytes:
    """ITU-T G.711 mu-law."""
    x = np.clip(np.abs(samples.astype(np.int32)), 0, 32635) + 132
    exponent = np.floor(np.log2(x)).astype(np.int32) - 7
    mantissa = (x >> (exponent + 3)) & 0x0F
    return (~(np.where(samples < 0, 0x80, 0) | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8).tobytes()


def audio_marks() -> dict[str, bytes]:
    """Bytes that audio leaves behind: samples, A-law, mu-law, and the beginnings of containers."""
    found = tones.marks(*SAID_HZ)
    found["Ogg"] = b"OggS\0"  # one byte more: sealed megabytes hold any four bytes now and then
    for hz in SAID_HZ:
        found[f"{hz} Hz mu-law"] = mulaw_encode(tones.tone(hz, max(3 * 8000 // hz, 24) / 8000))
    return found


@dataclass
class Evening:
    """An instance in which people have called each other all evening."""

    product: Product
    temporary: Path
    calls: list[str]
    """What was done, one word a call."""
    before: dict[str, dict[Path, int]] = field(default_factory=dict)
    """How often each word of the protected people was in each file when nobody had called yet: the directory."""


def protected_words() -> dict[str, bytes]:
    """What a call over the protected line would leave: names and numbers of both sides, the line, what was dialled."""
    words = {
        "caller's name": "zacharias",
        "caller's number": "88417",
        "callee's name": "wilhelmina",
        "callee's number": "77431",
        "line's name": "betriebsrat",
        "line's number": LINE["protected"],
        "shown name": "Zacharias Q. Pumpernickel",
    }
    return {name: word.encode() for name, word in words.items()}


class Lane:
    """One caller and one called person."""

    def __init__(self, product: Product, number: int) -> None:
        self.product, self.number = product, number
        names = ("zacharias", "wilhelmina") if number == 0 else (f"caller{number}", f"called{number}")
        extensions = ("88417", "77431") if number == 0 else (f"41{number}", f"42{number}")
        codec = {"codecs": "PCMU/8000/1"} if number == LANES - 1 else {}
        hz = SAID_HZ[0] if codec else SAID_HZ[1]
        self.caller = product.phone(names[0], names[0], ("udp", "tls")[number % 2], says=tones.tone(hz, 60), **codec)
        self.called = product.phone(names[1], names[1], ("tls", "udp")[number % 2], says=tones.tone(SAID_HZ[2], 60))
        self.extension = extensions[1]
        scene.registered(self.caller.start(), self.called.start())

    def call(self, kind: str) -> None:
        getattr(self, kind.replace("-", "_"))()

    # Each of these is one call from beginning to end.

    def talk(self) -> None:
        self._dial(self.extension)
        self._answer_and_talk()

    def protected(self) -> None:
        self._dial(LINE["protected"])
        self._answer_and_talk()

    def cancelled(self) -> None:
        self._dial(self.extension)
        self._called("CALL_INCOMING")
        self._hang_up()

    def busy(self) -> None:
        self._dial(self.extension)
        self._called("CALL_INCOMING")
        self.called.hang_up()
        self._caller("CALL_CLOSED")

    def unknown(self) -> None:
        self._dial(UNKNOWN)
        self._caller("CALL_CLOSED")

    def accepted(self) -> None:
        self._asked("accepted", "1")
        self._answer_and_talk(PROMPT_S)

    def refused(self) -> None:
        self._asked("refused", "2")
        self._answer_and_talk(PROMPT_S)

    def hung_up(self) -> None:
        self._asked("refused", "")
        self._hang_up()

    def objected(self) -> None:
        self._asked("objected", "1")
        self._called("CALL_INCOMING")
        self.called.answer()
        self._called("CALL_ESTABLISHED")
        time.sleep(PROMPT_S + 1.5)
        self.caller.press("2")
        time.sleep(0.7)
        self._hang_up()

    def echo(self) -> None:
        self._dial("*43")
        self._caller("CALL_ESTABLISHED")
        time.sleep(2 * PROMPT_S)
        self.caller.press("1")
        time.sleep(1)
        self._hang_up()

    def _dial(self, number: str) -> None:
        self._since = len(self.caller.events), len(self.called.events)
        self.caller.dial(number)

    def _asked(self, line: str, key: str) -> None:
        self._dial(LINE[line] + str(self.number))
        self._caller("CALL_ESTABLISHED")
        time.sleep(PROMPT_S / 2)
        if key:
            self.caller.press(key)

    def _caller(self, kind: str) -> None:
        self.caller.wait(kind, since=self._since[0], timeout=25)

    def _called(self, kind: str) -> None:
        self.called.wait(kind, since=self._since[1], timeout=25)

    def _answer_and_talk(self, more_s: float = 0) -> None:
        self._called("CALL_INCOMING")
        self.called.answer()
        self._called("CALL_ESTABLISHED")
        self._caller("CALL_ESTABLISHED")
        time.sleep(more_s + 1)
        self._hang_up()

    def _hang_up(self) -> None:
        self.caller.hang_up()
        self._caller("CALL_CLOSED")
        if any(e["type"] in ("CALL_INCOMING", "CALL_ESTABLISHED") for e in self.called.events[self._since[1] :]):
            self._called("CALL_CLOSED")


KINDS = ("talk", "cancelled", "busy", "unknown", "accepted", "refused", "hung-up", "objected", "echo")


def set_up(product: Product) -> None:
    options = {"language": "fr"}
    product.add_account("zacharias", "88417", display_name="Zacharias Q. Pumpernickel", **options)
    product.add_account("wilhelmina", "77431", **options)
    product.add_line("betriebsrat", LINE["protected"], members=["wilhelmina"], class_="none")
    for n in range(LANES):
        members = ["wilhelmina"]
        if n:
            product.add_account(f"caller{n}", f"41{n}", **options)
            product.add_account(f"called{n}", f"42{n}", class_="standard", **options)
            members = [f"called{n}"]
        for line in ("accepted", "refused", "objected"):
            number = LINE[line] + str(n)
            product.add_line(
                f"{line}{n}",
                number,
                members=members,
                pack="REC_QUALITY",
                consent="opt-in",
                class_=("none", "minimal", "standard")[min(n, 2)],
            )


@pytest.fixture(
    scope="module",
    params=[pytest.param(30, id="30 calls"), pytest.param(200, id="200 calls", marks=[pytest.mark.full])],
)
def evening(
    request: pytest.FixtureRequest, product_seed: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Evening]:
    place = tmp_path_factory.mktemp("traces")
    temporary = place / "tmp"
    temporary.mkdir()
    product = Product(place / "product", *product_seed)
    scene.speak_in_tones(product)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        with product:
            set_up(product)
            made = Evening(product, temporary, [])
            lanes = [Lane(product, n) for n in range(LANES)]
            made.before = {name: occurrences(made, word) for name, word in protected_words().items()}
            evening_of_calls(made, lanes, request.param)
            scene.until(lambda: not scene.live_calls(product), "all calls are over", every_s=0.5)
            yield made


def evening_of_calls(evening: Evening, lanes: list[Lane], count: int) -> None:
    chance = random.Random(count)  # noqa: S311 - the same evening each time
    kinds = [*itertools.islice(itertools.cycle(KINDS), count - count // 6)]
    chance.shuffle(kinds)
    todo, turn = kinds, threading.Lock()

    def work(lane: Lane) -> None:
        # Only the first lane's people use the protected line, and no other: nothing else may lead to them.
        mine = ["protected", "unknown"] * (count // 12) if lane.number == 0 else []
        while True:
            with turn:
                if lane.number == 0 and not mine or lane.number and not todo:
                    return
                kind = (mine if lane.number == 0 else todo).pop()
            lane.call(kind)
            evening.calls.append(kind)

    scene.in_parallel(*(lambda lane=lane: work(lane) for lane in lanes))


def places(evening: Evening) -> list[Path]:
    """Every file that the instance has or may have written, prompts and the phones' own files left out."""
    product = evening.product
    edge = Path("/run") / f"beffroi-{hashlib.sha256(str(product.data.resolve()).encode()).hexdigest()[:12]}"
    own = (product.directory / "phones", product.data / "prompts")
    roots = [product.directory, evening.temporary, *([edge] if edge.exists() else [])]
    return [
        p
        for root in roots
        for p in sorted(root.rglob("*"))
        if p.is_file() and not any(p.is_relative_to(o) for o in own)
    ]


def occurrences(evening: Evening, word: bytes) -> dict[Path, int]:
    """How often a word is in each file; the files of the database count as one."""
    found: dict[Path, int] = {}
    for path in places(evening):
        if n := path.read_bytes().count(word):
            name = path.with_name("database") if "sqlite3" in path.name else path
            found[name] = found.get(name, 0) + n
    return found


@pytest.mark.promise("0.1", "L1", "L9")
def test_no_audio_lies_anywhere(evening: Evening):
    assert len(evening.calls) >= 25
    looked_at = places(evening)
    assert {"beffroi.sqlite3", "serve.log", "edge.log", "beffroi.toml"} <= {path.name for path in looked_at}
    assert any(path.suffix == ".rec" for path in looked_at)
    found: dict[str, list[Path]] = {}
    for path in looked_at:
        content = path.read_bytes()
        for name, mark in audio_marks().items():
            if mark in content:
                found.setdefault(name, []).append(path)
    assert found == {}


@pytest.mark.promise("0.1")
def test_the_marks_are_the_right_ones(evening: Evening):
    """The phones' own files, which do hold audio, have them: what was not found above would have been."""
    own = evening.product.directory / "phones"
    found = tones.traces(own, audio_marks())
    assert {"WAV", "400 Hz PCM", "500 Hz PCM from A-law"} <= found.keys()


@pytest.mark.promise("0.1", "2.4")
def test_the_prompts_are_prompts(evening: Evening):
    """Public texts: as many as there are prompts, and nobody's voice."""
    place = evening.product.data / "prompts"
    for path in place.rglob("*"):
        assert path.is_dir() or path.suffix == ".wav"
        if path.suffix == ".wav" and path.parent == place:
            assert len(path.stem) == 64 or path.stem.startswith("hold-music")
            assert max(tones.shares(tones.read_wav(path)[0][:, 0], SAID_HZ)[hz] for hz in SAID_HZ) < 0.3
    said = {name: mark for name, mark in audio_marks().items() if "Hz" in name}
    assert tones.traces(place, said) == {}


@pytest.mark.promise("3.3", "L5", "L11", "0.13")
def test_a_protected_line_leaves_no_trace(evening: Evening):
    assert evening.calls.count("protected") >= 2
    for name, word in protected_words().items():
        after = occurrences(evening, word)
        assert {path: n for path, n in after.items() if n > evening.before[name].get(path, 0)} == {}, name
    assert occurrences(evening, UNKNOWN.encode()) == {}
    # Nor as the keyed hash by which a number would be found.
    keys = FieldKeys.from_json((evening.product.data / "keys" / "field.key").read_bytes())
    with scene.database(evening.product) as db:
        rows = db.execute("SELECT version, secret_sealed FROM index_keys").fetchall()
    secrets = {row[0]: keys.open("index_keys", "secret", str(row[0]), row[1]) for row in rows}
    assert secrets
    for number in ("88417", "77431", LINE["protected"], UNKNOWN):
        hashes = [index_keys.value(version, secret, number) for version, secret in secrets.items()]
        for digest in (*hashes, *keys.blind_index_all_versions("number", number)):
            assert occurrences(evening, digest) == {}
    with scene.database(evening.product) as db:
        protected = {row["id"] for row in db.execute("SELECT id FROM lines WHERE name = 'betriebsrat'")}
        assert not [r for r in db.execute("SELECT line_id FROM call_records") if r["line_id"] in protected]
        assert db.execute("SELECT sum(calls) FROM call_totals").fetchone()[0] >= evening.calls.count("protected")


@pytest.mark.promise("0.13", "L11")
def test_logs_name_nobody(evening: Evening):
    """Names, numbers, addresses of phones: of any line."""
    product = evening.product
    words = [f"{kind}{n}" for kind in ("caller", "called") for n in range(1, LANES)] + ["41", "42"]
    words = [*words[:-2], "sip:", *LINE.values(), "411", "421", product.shown["devices"][0]["user"]]
    for log in product.directory.glob("*.log"):
        for line in log.read_text().splitlines():
            message = json.dumps({k: v for k, v in json.loads(line).items() if k != "at"})
            assert not [word for word in words if word in message and not hexadecimal(message, word)], line


def hexadecimal(message: str, word: str) -> bool:
    """Whether a number is there only as part of an opaque id."""
    import re

    return word.isdigit() and not re.search(rf"(?<![0-9a-f]){word}(?![0-9a-f])", message)


@pytest.mark.promise("3.3", "L5")
async def test_the_edge_tells_nothing_of_calls_that_are_over(evening: Evening):
    product = evening.product
    edge = Path("/run") / f"beffroi-{hashlib.sha256(str(product.data.resolve()).encode()).hexdigest()[:12]}"
    socket = next(p for p in (edge / "rpc.sock", product.data / "run" / "edge" / "rpc.sock") if p.exists())
    rpc = RpcClient(socket)
    await rpc.open()
    try:
        for _ in range(40):  # for some seconds it waits for whoever might still send a BYE
            if not (dialogs := await rpc.call("dlg.list")):
                break
            await asyncio.sleep(0.5)
        assert not dialogs
        # Every table that there is; what the directory has pushed (`dev`) may say whose extension is whose.
        tables = {table["name"] for table in await rpc.call("htable.listTables")}
        assert tables >= {"rate", "fail", "ban", "live", "ctl", "wk", "dev", "alone", "emc", "own", "tr"}
        for table in tables:
            told = json.dumps(await rpc.call("htable.dump", table))
            words = (*LINE.values(), UNKNOWN, *(() if table == "dev" else ("88417", "77431")))
            assert not [word for word in words if word in told], table
    finally:
        rpc.close()


@pytest.mark.promise("L10", "2.11", "3.3")
def test_nothing_is_listed_without_file_and_key_and_nothing_lies_there_unlisted(evening: Evening):
    product = evening.product
    scene.assert_in_order(product)
    listed = {r["id"]: r["state"] for r in scene.recordings(product)}
    assert {"whole", "destroyed"} <= set(listed.values()) <= {"whole", "cut", "destroyed"}
    assert sum(state == "whole" for state in listed.values()) == sum(k in ("accepted", "echo") for k in evening.calls)
    assert sum(state == "destroyed" for state in listed.values()) == evening.calls.count("objected")
    kept = {rec_id for rec_id, state in listed.items() if state in ("whole", "cut")}
    files = [path for path in (product.data / "vault").rglob("*") if path.is_file()]
    assert {path.stem for path in files} == kept and {path.suffix for path in files} <= {".rec"}
    with scene.database(product) as db:
        assert {row["rec_id"] for row in db.execute("SELECT rec_id FROM rec_keys")} == kept
    # And the reconciliation does see what does not belong there.
    stray = files[0].with_name(f"{'0' * 32}.rec")
    stray.write_bytes(os.urandom(100))
    try:
        with pytest.raises(ProductError):
            product.json("vault", "check")
    finally:
        stray.unlink()
