"""Every file under the data directory, one after the other; links are named and never followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataFile:
    """`path`: relative to the data directory. `regular` False: a link or a device, which nobody here makes."""

    path: str
    changed_at: datetime
    regular: bool


def files(data: Path) -> Iterator[DataFile]:
    """Sockets count as files. What goes away meanwhile is passed over. Raises OSError where a directory may not be
    read."""
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            entries = os.scandir(data / inside)
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                path = f"{inside}/{entry.name}" if inside else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                    continue
                try:
                    changed = entry.stat(follow_symlinks=False).st_mtime
                except FileNotFoundError:
                    continue
                sound = not entry.is_symlink()
                yield DataFile(path, datetime.fromtimestamp(changed, UTC), sound)
