"""The file that whoever waits hears (`recording.hold_melody`): made once, then found."""

from __future__ import annotations

import os
from pathlib import Path

VERSION = 1  # part of the file's name: raise it with any change of the melody's sound
NAME = f"hold-music-{VERSION}.wav"


def ensure(directory: Path) -> Path:
    """The file in ``directory``, made where it is not there yet. Raises OSError.

    It takes some tenths of a second: not to be called while calls wait.
    """
    path = directory / NAME
    if not path.exists():
        from recording import hold_melody  # with numpy, which a daemon that has its music does not load

        unfinished = directory / f".{NAME}.{os.getpid()}"
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(hold_melody.to_wav(hold_melody.make()))
        unfinished.replace(path)
    return path
