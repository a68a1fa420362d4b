"""Seals a stream into a growing file of the vault: the write-only half of the format.

Bytes reach the file in whole sealed chunks (16 KiB, about 2.7 s of Opus), so that at any moment the file is openable
to its last chunk. An end that was not reached leaves no last chunk: the file says itself that it is cut.
"""

import contextlib
import fcntl
import hashlib
import os
import time
from pathlib import Path
from typing import Final

from cryptography.cobblestone import Cobblestone256Encryptor

from recording.format import HEADER_BYTES, SEALED_CHUNK_BYTES, audio_context
from recording.vault import growing_path, make_place, sealed_path, sync_directory

SYNC_EVERY_S: Final = 5.0


class SealedWriter:
    """A file-like sink. After finish(), cut() or destroy() it takes and drops whatever an encoder still writes."""

    def __init__(self, vault_dir: Path, rec_id: str, purpose: str, dek: bytes) -> None:
        """Make and lock the `.part` (0600). Raises OSError (FileExistsError for a second try), FormatError."""
        place = make_place(vault_dir, rec_id)
        self._sealed = sealed_path(vault_dir, rec_id)
        self._growing = growing_path(vault_dir, rec_id)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._growing, flags, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        sync_directory(place)
        self._encryptor: Cobblestone256Encryptor | None = Cobblestone256Encryptor(dek, audio_context(rec_id, purpose))
        self._sha256 = hashlib.sha256()
        self._synced_at_s = time.monotonic()
        self._dirty = False  # written since the last sync
        self.size_bytes = 0  # of what is in the file, whole chunks only

    @property
    def sha256(self) -> str:
        """Hexadecimal, of what is in the file."""
        return self._sha256.hexdigest()

    def write(self, data: bytes, /) -> int:
        """Seal and append. Raises OSError; then cut() or destroy()."""
        if self._encryptor is not None:
            self._append(self._encryptor.update(data))
        return len(data)

    def sync_if_due(self) -> None:
        """fdatasync, at most every SYNC_EVERY_S. Raises OSError."""
        now_s = time.monotonic()
        if self._dirty and now_s - self._synced_at_s >= SYNC_EVERY_S:
            os.fdatasync(self._fd)
            self._synced_at_s, self._dirty = now_s, False

    def finish(self) -> None:
        """Seal the end and give the file its final name, durably. Raises OSError; then cut() or destroy()."""
        if self._encryptor is None:
            return
        size_bytes, sha256 = self.size_bytes, self._sha256.copy()
        try:
            self._append(self._encryptor.finalize())
            self._settle()
        except OSError:
            self.size_bytes, self._sha256 = size_bytes, sha256  # an end that may not be there is not counted
            raise

    def cut(self) -> None:
        """Keep what is sealed, drop what is half written, give the file its final name.

        Raises OSError, and leaves an unlocked `.part` for recovery to adopt.
        """
        self._encryptor = None
        try:
            os.ftruncate(self._fd, self.size_bytes)
            self._settle()
        finally:
            self._close()

    def destroy(self) -> None:
        """Unlink what was written, durably. Raises OSError."""
        self._close()
        for path in (self._growing, self._sealed):
            path.unlink(missing_ok=True)
        sync_directory(self._sealed.parent)

    def _settle(self) -> None:
        os.fsync(self._fd)
        with contextlib.suppress(FileNotFoundError):  # renamed by a finish() that failed after it
            self._growing.rename(self._sealed)
        sync_directory(self._sealed.parent)
        self._close()

    def _close(self) -> None:
        self._encryptor = None
        if self._fd >= 0:
            os.close(self._fd)  # and with it the lock, after the rename
            self._fd = -1

    def _append(self, sealed: bytes) -> None:
        # The encryptor hands out the header, then whole chunks, then the end: counted one by one, so that a failure
        # in the middle of several leaves size_bytes at a chunk's border.
        rest = memoryview(sealed)
        while rest:
            unit = rest[: SEALED_CHUNK_BYTES if self.size_bytes else HEADER_BYTES]
            rest = rest[len(unit) :]
            self._sha256.update(self._written(unit))
            self.size_bytes += len(unit)
            self._dirty = True

    def _written(self, unit: memoryview) -> memoryview:
        left = unit
        while left:
            left = left[os.write(self._fd, left) :]
        return unit
