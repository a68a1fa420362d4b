"""Every vector through the strict reader, the tolerant reader and the stand-alone opener."""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import io
import json
import os
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor

from recording import keys
from recording.format import audio_context
from recording.keys import KeysError
from recording.reader_bundle import open_reader
from recording.sealed_reader import SealedReader, SealError

ROOT = Path(__file__).resolve().parents[2]
VECTOR_DIR = ROOT / "tests/vectors/recording"
VECTORS = sorted(VECTOR_DIR.glob("*.json"))
OPENER = ROOT / "scripts/open-recording"


def plaintext(size: int) -> bytes:
    return bytes((i * 7 + i // 251) % 256 for i in range(size))


opened_reader = functools.cache(open_reader)  # Argon2id once for each bundle, not for each vector


def dek_of(vector: dict[str, Any]) -> bytes:
    held = {name: b64decode(vector["keys"][name] or "") for name in ("dek_wrap", "kek_wrap", "reader_bundle")}
    names = {name: vector["keys"][name] for name in ("rec_id", "purpose", "kek_id", "reader_id")}
    if vector["escrow"]:
        _, secret = keys.escrow_pair(keys.escrow_seed(vector["typed"]))
    else:
        secret = opened_reader(held["reader_bundle"], vector["typed"]).secret
    kek = keys.unwrap_kek(held["kek_wrap"], secret, kek_id=names["kek_id"], reader_id=names["reader_id"])
    return keys.unwrap_dek(
        held["dek_wrap"], kek, rec_id=names["rec_id"], purpose=names["purpose"], kek_id=names["kek_id"]
    )


def release(sealed: bytes, vector: dict[str, Any], *, tolerant: bool) -> tuple[str, bytes]:
    """Outcome, and everything that came out before an error."""
    released = bytearray()
    try:
        dek = dek_of(vector)
    except KeysError:
        return "keys", b""
    rec_id, purpose = vector["keys"]["rec_id"], vector["keys"]["purpose"]
    try:
        reader = SealedReader(io.BytesIO(sealed), dek, rec_id, purpose, tolerant=tolerant)
        while block := reader.read(1000):
            released += block
    except SealError as error:
        return type(error).__name__, bytes(released)
    return (reader.state if tolerant else "ok"), bytes(released)


@pytest.mark.promise("L9", "2.11")
@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
@pytest.mark.parametrize("way", ["strict", "tolerant"])
def test_readers_release_exactly_what_may_be_released(path: Path, way: str) -> None:
    vector = json.loads(path.read_text())
    outcome, released = release(path.with_name(vector["file"]).read_bytes(), vector, tolerant=way == "tolerant")
    assert outcome == vector[way]["outcome"], vector["says"]
    assert released == plaintext(vector[way]["released_bytes"]), vector["says"]


@pytest.fixture(scope="module")
def opener() -> Callable[[], int]:
    """The script's own main(), loaded once: a Python for each of a hundred runs would take half a minute."""
    loader = importlib.machinery.SourceFileLoader("open_recording", str(OPENER))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("open_recording", loader))
    loader.exec_module(module)
    module.secret_of_reader = functools.cache(module.secret_of_reader)
    main: Callable[[], int] = module.main
    return main


def typed_into(text: str) -> int:
    """A descriptor from which a passphrase can be read."""
    end, start = os.pipe()
    os.write(start, text.encode() + b"\n")
    os.close(start)
    return end


@pytest.mark.promise("L9", "3.14")
@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
@pytest.mark.parametrize("way", ["opener", "opener_cut"])
def test_the_stand_alone_opener_agrees_and_leaves_nothing_behind(
    path: Path,
    way: str,
    tmp_path: Path,
    opener: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    vector = json.loads(path.read_text())
    out, bundle = tmp_path / "out.ogg", tmp_path / "keys.json"
    bundle.write_text(json.dumps(vector["keys"]))
    options = ["--cut"] * (way == "opener_cut") + ["--escrow"] * vector["escrow"]
    files = [str(path.with_name(vector["file"])), str(bundle), str(out)]
    monkeypatch.setattr(
        sys, "argv", ["open-recording", *files, "--passphrase-fd", str(typed_into(vector["typed"])), *options]
    )
    status, errors = opener(), capsys.readouterr().err
    assert status == vector[way]["status"], (vector["says"], errors)
    if status == 0:
        assert out.read_bytes() == plaintext(vector[way]["released_bytes"])
        assert out.stat().st_mode & 0o777 == 0o600
    else:
        assert not out.exists() and errors.startswith("open-recording: ") and errors.count("\n") == 1


def run_opener(sealed: Path, bundle: Path, out: Path, typed: str) -> subprocess.CompletedProcess[str]:
    """As somebody types it, in a Python that sees nothing of this program."""
    end = typed_into(typed)
    command = [sys.executable, "-I", str(OPENER), str(sealed), str(bundle), str(out), "--passphrase-fd", str(end)]
    try:
        return subprocess.run(command, pass_fds=[end], capture_output=True, text=True, timeout=20)
    finally:
        os.close(end)


def test_the_opener_needs_no_module_of_ours(tmp_path: Path) -> None:
    vector = json.loads((VECTOR_DIR / "good.json").read_text())
    (tmp_path / "keys.json").write_text(json.dumps(vector["keys"]))
    result = run_opener(VECTOR_DIR / "good.rec", tmp_path / "keys.json", tmp_path / "out.ogg", vector["typed"])
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "out.ogg").read_bytes() == plaintext(vector["strict"]["released_bytes"])
    imported = {
        line.split()[1].split(".")[0]
        for line in OPENER.read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported <= {"cryptography"} | sys.stdlib_module_names


def test_an_existing_file_is_not_touched(tmp_path: Path) -> None:
    vector = json.loads((VECTOR_DIR / "good.json").read_text())
    (tmp_path / "keys.json").write_text(json.dumps(vector["keys"]))
    out = tmp_path / "out.ogg"
    out.write_bytes(b"mine")
    result = run_opener(VECTOR_DIR / "good.rec", tmp_path / "keys.json", out, vector["typed"])
    assert result.returncode == 1 and out.read_bytes() == b"mine"


def test_the_official_decryptor_reads_what_the_format_says() -> None:
    vector = json.loads((VECTOR_DIR / "good.json").read_text())
    context = audio_context(vector["keys"]["rec_id"], vector["keys"]["purpose"])
    decryptor = Cobblestone256Decryptor(dek_of(vector), context)
    plain = decryptor.update((VECTOR_DIR / "good.rec").read_bytes()) + decryptor.finalize()
    assert plain == plaintext(vector["strict"]["released_bytes"])
