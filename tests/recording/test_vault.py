"""The vault on disk: names, orphans both ways, recovery, removal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
from pathlib import Path

import pytest

from recording import vault
from recording.format import CHUNK_BYTES, HEADER_BYTES, SEALED_CHUNK_BYTES, FormatError, state_by_length
from recording.sealed_writer import SealedWriter

PURPOSE = "quality"


def write(vault_dir: Path, chunks: float, *, finish: bool) -> str:
    rec_id = secrets.token_hex(16)
    writer = SealedWriter(vault_dir, rec_id, PURPOSE, secrets.token_bytes(32))
    writer.write(secrets.token_bytes(int(chunks * CHUNK_BYTES)))
    if finish:
        writer.finish()
    else:
        writer._close()  # what the kernel does to a killed process
    return rec_id


@pytest.mark.promise("L10")
def test_orphans_are_found_both_ways(tmp_path: Path) -> None:
    listed, growing, unlisted = (write(tmp_path, 1.5, finish=finish) for finish in (True, False, True))
    missing = secrets.token_hex(16)
    stray = tmp_path / "note.txt"
    stray.write_text("not a recording")
    misplaced = vault.sealed_path(tmp_path, listed).with_name(secrets.token_hex(16) + ".rec")
    misplaced.write_bytes(b"")
    found = vault.orphans(tmp_path, [listed, growing, missing])
    assert set(found.unlisted) == {vault.sealed_path(tmp_path, unlisted), stray, misplaced}
    assert found.missing == (missing,)
    assert vault.unfinished(tmp_path) == (growing,)


@pytest.mark.promise("2.11")
def test_verify_finds_any_change(tmp_path: Path) -> None:
    rec_id = write(tmp_path, 1.5, finish=True)
    path = vault.sealed_path(tmp_path, rec_id)
    sha256 = vault.sha256_of(path)
    assert vault.verify(tmp_path, rec_id, sha256)
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"\0")
    assert not vault.verify(tmp_path, rec_id, sha256)
    path.unlink()
    with pytest.raises(vault.VaultError):
        vault.verify(tmp_path, rec_id, sha256)


@pytest.mark.parametrize("rec_id", ["../../etc/passwd", "A" * 32, "0" * 31, "0" * 33, "", "0" * 31 + "/"])
def test_only_ids_become_paths(tmp_path: Path, rec_id: str) -> None:
    with pytest.raises(FormatError):
        vault.sealed_path(tmp_path, rec_id)


async def test_recovery_waits_for_a_recorder_that_is_still_finishing(tmp_path: Path) -> None:
    rec_id = secrets.token_hex(16)
    writer = SealedWriter(tmp_path, rec_id, PURPOSE, secrets.token_bytes(32))
    writer.write(bytes(3 * CHUNK_BYTES))
    with pytest.raises(vault.VaultError):
        await vault.settle(tmp_path, rec_id, timeout_s=0.2)
    with pytest.raises(vault.VaultError):
        vault.adopt(tmp_path, rec_id)

    async def finish_soon() -> None:
        await asyncio.sleep(0.3)
        writer.finish()

    settled, _ = await asyncio.gather(vault.settle(tmp_path, rec_id), finish_soon())
    assert settled.state == "whole" and settled.sha256 == writer.sha256 and settled.size_bytes == writer.size_bytes


async def test_recovery_can_itself_be_interrupted(tmp_path: Path) -> None:
    rec_id = write(tmp_path, 2.5, finish=False)
    first = await vault.settle(tmp_path, rec_id)
    again = await vault.settle(tmp_path, rec_id)
    assert first == again and (first.state, first.sealed_chunks) == ("cut", 2)
    vault.adopt(tmp_path, rec_id)
    vault.adopt(tmp_path, rec_id)
    assert vault.verify(tmp_path, rec_id, first.sha256) and vault.unfinished(tmp_path) == ()
    absent = await vault.settle(tmp_path, secrets.token_hex(16))
    assert (absent.state, absent.path) == ("absent", None)


def test_a_cut_drops_the_half_written_chunk(tmp_path: Path) -> None:
    rec_id = secrets.token_hex(16)
    writer = SealedWriter(tmp_path, rec_id, PURPOSE, secrets.token_bytes(32))
    writer.write(bytes(2 * CHUNK_BYTES))
    os.write(writer._fd, b"half a chunk")
    writer.cut()
    size_bytes = vault.sealed_path(tmp_path, rec_id).stat().st_size
    assert size_bytes == writer.size_bytes == HEADER_BYTES + 2 * SEALED_CHUNK_BYTES
    assert vault.sha256_of(vault.sealed_path(tmp_path, rec_id)) == writer.sha256
    assert writer.write(b"late") == 4, "what an encoder still writes is dropped"


def test_a_recording_is_never_written_over(tmp_path: Path) -> None:
    rec_id = secrets.token_hex(16)
    writer = SealedWriter(tmp_path, rec_id, PURPOSE, secrets.token_bytes(32))
    with pytest.raises(FileExistsError):
        SealedWriter(tmp_path, rec_id, PURPOSE, secrets.token_bytes(32))
    writer.destroy()
    assert not vault.remove(tmp_path, rec_id)


@pytest.mark.promise("L3")
def test_remove_takes_either_form(tmp_path: Path) -> None:
    for finish in (True, False):
        rec_id = write(tmp_path, 1, finish=finish)
        assert vault.remove(tmp_path, rec_id) and not vault.remove(tmp_path, rec_id)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_lock_says_who_writes(tmp_path: Path) -> None:
    rec_id = write(tmp_path, 1, finish=False)
    assert not vault.is_being_written(tmp_path, rec_id)
    with vault.growing_path(tmp_path, rec_id).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert vault.is_being_written(tmp_path, rec_id)


@pytest.mark.parametrize(
    ("size_bytes", "state"),
    [
        (0, "cut"),
        (HEADER_BYTES, "cut"),
        (HEADER_BYTES + 15, "cut"),
        (HEADER_BYTES + 16, "whole"),
        (HEADER_BYTES + SEALED_CHUNK_BYTES, "cut"),
        (HEADER_BYTES + SEALED_CHUNK_BYTES + 16, "whole"),
    ],
)
def test_what_a_length_tells(size_bytes: int, state: str) -> None:
    assert state_by_length(size_bytes) == state


@pytest.mark.promise("L3")
def test_a_removal_is_made_durable_by_whoever_finds_it_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who took the file away was killed before that had been synced."""
    rec_id = write(tmp_path, 0.5, finish=True)
    vault.sealed_path(tmp_path, rec_id).unlink()
    synced: list[Path] = []
    monkeypatch.setattr(vault, "sync_directory", synced.append)
    assert not vault.remove(tmp_path, rec_id)
    assert synced == [vault.sealed_path(tmp_path, rec_id).parent]


def test_a_place_that_is_there_is_made_durable_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made it may have been killed between making and syncing it."""
    synced: list[Path] = []
    monkeypatch.setattr(vault, "sync_directory", synced.append)
    rec_id = "ab" * 16
    place = vault.make_place(tmp_path, rec_id)
    assert vault.make_place(tmp_path, rec_id) == place
    assert synced == [tmp_path, place.parent] * 2
