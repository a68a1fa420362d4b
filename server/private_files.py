"""Files that only the service's user may read, written so that they are whole or absent, and taken back on failure."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Mode 0600, replaced in one step, on disk when this returns. Raises OSError."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in it durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Made:
    """What a set-up has made so far, so that a failure leaves nothing behind."""

    def __init__(self) -> None:
        self._paths: list[Path] = []

    def directory(self, path: Path) -> None:
        """Make it, 0700, with its parents (which get the usual mode)."""
        if path.is_dir():
            return
        missing = [path]
        while not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        for one in reversed(missing):
            one.mkdir(mode=0o700)
            self._paths.append(one)

    def file(self, path: Path, content: bytes) -> bool:
        """Write it unless it is there; whether it was written."""
        if path.exists():
            return False
        write(path, content)
        self._paths.append(path)
        return True

    def replace(self, path: Path, content: bytes) -> None:
        """Write it, in place of an older one; only a wholly new file is taken back."""
        if not self.file(path, content):
            write(path, content)

    def note(self, path: Path) -> None:
        """Somebody else is about to make it."""
        if not path.exists():
            self._paths.append(path)

    def take_back(self) -> None:
        """Remove it all, last first. What others have put into a directory meanwhile keeps that directory."""
        for path in reversed(self._paths):
            try:
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
            except OSError:
                continue
        self._paths.clear()
