"""What a browser says it is, in short words: enough to know one's own again, and no print of it."""

from __future__ import annotations

import re

# In this order: each says to be those after it as well.
_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("FxiOS", "Firefox"), ("CriOS", "Chrome"),
             ("Chrome", "Chrome"), ("Safari", "Safari"), ("curl", "curl"), ("python", "Python"))  # fmt: skip
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
            ("Macintosh", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"))  # fmt: skip


def described(agent: str) -> str:
    """ "Firefox, Linux"; "" where nothing is known."""
    short = agent[:500]
    return ", ".join(word for word in (_first(short, _BROWSERS), _first(short, _SYSTEMS)) if word)


def _first(agent: str, known: tuple[tuple[str, str], ...]) -> str:
    return next((word for mark, word in known if re.search(rf"\b{mark}", agent)), "")
