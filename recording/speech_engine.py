"""The child process that speaks: one JSON object {"text", "voice", "volume"} in, PCM (16 kHz, mono, 16 bit) out.

It loads nothing but the engine, so that it starts in a few hundredths of a second.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Speak what standard input says."""
    from py_nanotts import NanoTTS  # noqa: PLC0415 - C code, only for the child

    order = json.load(sys.stdin)
    sys.stdout.buffer.write(NanoTTS().speak(order["text"], voice=order["voice"], volume=order["volume"]))


if __name__ == "__main__":
    main()
