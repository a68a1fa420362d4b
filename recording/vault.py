"""The vault on disk: `ab/cd/<rec_id>.rec`, named by random hexadecimal digits only; `.part` while it grows.

Who writes a `.part` holds flock(LOCK_EX) on it until it is renamed or gone. So after a crash of the daemon a `.part`
that is locked is still being finished by its recorder, and one that nobody locks was cut (docs/recording-format.md
section 3). Blocking; nothing here holds a key.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from recording.format import FormatError, State, check_rec_id, full_chunks, state_by_length

SEALED: Final = ".rec"
GROWING: Final = ".part"
_READ_BYTES: Final = 1 << 20
_POLL_S: Final = 0.1


class VaultError(Exception):
    """The vault does not hold what it should, or is still busy with it."""


@dataclass(frozen=True, slots=True)
class Held:
    """One file of the vault."""

    rec_id: str
    path: Path
    size_bytes: int
    growing: bool  # .part


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a recording that no recorder of ours answers for."""

    rec_id: str
    state: State | Literal["absent"]  # whole as far as length tells; only opening proves it
    path: Path | None
    size_bytes: int
    sha256: str  # hexadecimal, "" if absent
    sealed_chunks: int  # full chunks: with none, a cut recording holds nothing that can be opened
    written_at: datetime | None = None  # when the last byte was written: about when the recording ended


@dataclass(frozen=True, slots=True)
class Orphans:
    """Both ways of disagreeing."""

    unlisted: tuple[Path, ...]  # on disk, not expected: also anything that is no recording at all
    missing: tuple[str, ...]  # expected, not on disk


def sealed_path(vault_dir: Path, rec_id: str) -> Path:
    """Where a finished recording lies. Raises FormatError."""
    return _place(vault_dir, rec_id, SEALED)


def growing_path(vault_dir: Path, rec_id: str) -> Path:
    """Where a recording lies while it grows. Raises FormatError."""
    return _place(vault_dir, rec_id, GROWING)


def make_place(vault_dir: Path, rec_id: str) -> Path:
    """Make the directory of a recording (0700, durable), return it. Raises OSError, FormatError.

    Made durable even where it is there: whoever made it may have been killed before it was.
    """
    place = sealed_path(vault_dir, rec_id).parent
    for directory in (place.parent, place):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(0o700)
        sync_directory(directory.parent)
    return place


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def verify(vault_dir: Path, rec_id: str, sha256: str) -> bool:
    """Whether the sealed file is, byte for byte, the one of this SHA-256. Raises VaultError if it is missing."""
    try:
        found = sha256_of(sealed_path(vault_dir, rec_id))
    except FileNotFoundError:
        raise VaultError("the recording's file is missing") from None
    return hmac.compare_digest(found, sha256)


def held(vault_dir: Path) -> Iterator[Held]:
    """Every recording in the vault, finished or growing, in order of name."""
    for path in sorted(vault_dir.glob("??/??/*")):
        rec_id = path.stem
        with contextlib.suppress(FormatError, FileNotFoundError):
            if path in (sealed_path(vault_dir, rec_id), growing_path(vault_dir, rec_id)):
                yield Held(rec_id, path, path.stat().st_size, path.suffix == GROWING)


def orphans(vault_dir: Path, expected: Iterable[str]) -> Orphans:
    """Compare with the ids that the database lists (those being recorded right now included)."""
    wanted = set(expected)
    here: set[str] = set()
    unlisted = {path for path in vault_dir.rglob("*") if not path.is_dir()}
    for file in held(vault_dir):
        here.add(file.rec_id)
        if file.rec_id in wanted:
            unlisted.discard(file.path)
    return Orphans(tuple(sorted(unlisted)), tuple(sorted(wanted - here)))


def remove(vault_dir: Path, rec_id: str) -> bool:
    """Unlink a recording in either form, durably, and verify its absence; False if there was none.

    Also where there was none: whoever took it away may have been killed before that was durable. Raises VaultError,
    OSError.
    """
    found = False
    for path in (sealed_path(vault_dir, rec_id), growing_path(vault_dir, rec_id)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            found = True
    with contextlib.suppress(FileNotFoundError):
        sync_directory(sealed_path(vault_dir, rec_id).parent)
    if any(path.exists() for path in (sealed_path(vault_dir, rec_id), growing_path(vault_dir, rec_id))):
        raise VaultError("the recording's file is still there")
    return found


def unfinished(vault_dir: Path) -> tuple[str, ...]:
    """Ids of the recordings with a `.part`."""
    return tuple(file.rec_id for file in held(vault_dir) if file.growing)


def is_being_written(vault_dir: Path, rec_id: str) -> bool:
    """Whether somebody holds the lock of its `.part`."""
    try:
        fd = os.open(growing_path(vault_dir, rec_id), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


async def settle(vault_dir: Path, rec_id: str, timeout_s: float = 30.0) -> Settled:
    """Judge a recording after a crash: waits for a recorder that is still finishing it. Changes nothing on disk.

    Commit the verdict first, then adopt(). Recovery asks this of every recording that the database thinks is growing
    and of every one in unfinished(): then a second crash, wherever it falls, finds the same question again.
    Raises VaultError if the recorder has not finished in time.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    while is_being_written(vault_dir, rec_id):
        if asyncio.get_running_loop().time() > deadline:
            raise VaultError("the recording is still being written")
        await asyncio.sleep(_POLL_S)
    return await asyncio.to_thread(_judge, vault_dir, rec_id)


def adopt(vault_dir: Path, rec_id: str) -> None:
    """Give a cut recording its final name; nothing to do for one that has it. Raises VaultError, OSError."""
    growing, sealed = growing_path(vault_dir, rec_id), sealed_path(vault_dir, rec_id)
    if is_being_written(vault_dir, rec_id):
        raise VaultError("the recording is still being written")
    if not growing.exists():
        return
    if sealed.exists():
        raise VaultError("the vault holds this recording twice")
    growing.rename(sealed)
    sync_directory(sealed.parent)


def _judge(vault_dir: Path, rec_id: str) -> Settled:
    for path in (sealed_path(vault_dir, rec_id), growing_path(vault_dir, rec_id)):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            size_bytes, written_at = found.st_size, datetime.fromtimestamp(found.st_mtime, UTC)
            state = "cut" if path.suffix == GROWING else state_by_length(size_bytes)
            return Settled(rec_id, state, path, size_bytes, sha256_of(path), full_chunks(size_bytes), written_at)
    return Settled(rec_id, "absent", None, 0, "", 0)


def _place(vault_dir: Path, rec_id: str, suffix: str) -> Path:
    check_rec_id(rec_id)
    return vault_dir / rec_id[:2] / rec_id[2:4] / (rec_id + suffix)
