"""How npm's sms-segments-calculator and node's own Intl.Segmenter cut a text: one process for many texts."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

NODE = Path(__file__).parent / "node"


@dataclass(frozen=True, slots=True)
class Cut:
    encoding: str  # "GSM-7" or "UCS-2"
    parts: tuple[str, ...]
    bits: int  # of the text, headers not counted
    graphemes: tuple[str, ...]


class Segmenter:
    """A context manager; `cut` asks the process."""

    def __enter__(self) -> Segmenter:
        self._process = subprocess.Popen(
            ["node", NODE / "segments.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def cut(self, text: str) -> Cut:
        """Raises AssertionError where the process has ended."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(text) + "\n")
        stdin.flush()
        answer = stdout.readline()
        assert answer, f"node has ended with {self._process.wait(30)}"
        found = json.loads(answer)
        return Cut(found["encoding"], tuple(found["parts"]), found["bits"], tuple(found["graphemes"]))
