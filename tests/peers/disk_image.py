"""A disk of a test's own: a file that holds an ext4 file system, mounted. What it says can be read byte by byte, also
where no file is any more.

    with disk(tmp_path, size_mib=64) as (place, image):
        ...                       # files below `place`
        image()                   # every byte of the disk
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def why_not() -> str:
    """What is missing to mount one; empty if nothing is."""
    if os.geteuid() != 0:
        return "mounting needs root"
    missing = [tool for tool in ("mkfs.ext4", "mount", "umount") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return "" if Path("/dev/loop-control").exists() else "this machine has no loop devices"


@contextmanager
def disk(directory: Path, *, size_mib: int) -> Iterator[tuple[Path, Callable[[], bytes]]]:
    """Where it is mounted, and a function that reads all of it. Raises CalledProcessError."""
    file, place = directory / "disk.image", directory / "disk"
    place.mkdir()
    with file.open("wb") as made:
        made.truncate(size_mib << 20)
    _run("mkfs.ext4", "-q", "-F", "-E", "nodiscard", file)
    _run("mount", "-o", "loop,nodiscard", file, place)

    def read() -> bytes:
        os.sync()
        return file.read_bytes()

    try:
        yield place, read
    finally:
        _run("umount", "--lazy", place)
        file.unlink()


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)
