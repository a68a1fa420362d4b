"""Every kind of file under the data directory: the half of the data map that lies beside the database.

Paths are relative to the data directory. A file that no pattern knows was made by nobody that this program knows of.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from config.kept import Kept

LEFT_OVER = timedelta(days=1)  # after which what was to be renamed or unlinked at once is a leftover


@dataclass(frozen=True, slots=True)
class Place:
    """`kept.where` is a regular expression for the whole path. `passing`: it is there for moments only."""

    kept: Kept
    passing: bool = False

    def holds(self, path: str) -> bool:
        return re.fullmatch(self.kept.where, path) is not None


def _of_nobody(where: str, what: str) -> Place:
    return Place(Kept(where, what))


_HEX2 = "[0-9a-f]{2}"
SEALED = Kept(
    rf"vault/{_HEX2}/{_HEX2}/[0-9a-f]{{32}}\.rec",
    "sealed recording",
    subject="whoever is heard: caller, called, staff",
    purpose="the pack of its row",
    expiry="recordings.expires_at",
    erased_by=("recording",),
)
GROWING = Kept(
    rf"vault/{_HEX2}/{_HEX2}/[0-9a-f]{{32}}\.part",
    "sealed recording that still grows",
    subject="whoever is heard: caller, called, staff",
    purpose="the pack of its row",
    expiry="recordings.expires_at",
    erased_by=("recording",),
)
DATABASE = Kept(
    r"beffroi\.sqlite3(-wal|-shm|-journal)?",
    "the database",
    subject="see its tables",
    purpose="see its tables",
    expiry="see its tables",
    unless="its rows go one by one; the file is rewritten after each destruction",
)
TRUNK_COPIES = Kept(
    r"run/edge/registrations/\w+", "the edge's registrations at providers: rows that it is given at each start"
)

PLACES: Sequence[Place] = (
    _of_nobody(r"beffroi\.toml", "configuration; no secret"),
    _of_nobody(r"keys/[\w.-]+\.(key|p11)", "secrets of the server itself; none opens a recording"),
    _of_nobody(r"keys/[\w.-]+\.(password|pin)", "password of a service, or PIN of a SIM, that the configuration names"),
    _of_nobody(r"run/modem-[a-z0-9-]+/[\w.-]+\.pin-tried", "that a SIM has refused its PIN: it is not tried again"),
    _of_nobody(r"tls/[\w.-]+\.(pem|key)", "certificates and keys of the private authority and of providers"),
    _of_nobody(r"rates\.toml", "what calls cost"),
    Place(DATABASE),
    Place(SEALED),
    Place(GROWING),
    _of_nobody(r"prompts/[0-9a-f]{64}\.wav", "spoken prompt: a public text"),
    _of_nobody(r"prompts/hold-music-[\w.-]+\.wav", "music on hold"),
    _of_nobody(r"prompts/custom/[A-Z0-9_]+\.[a-zA-Z-]+\.wav", "the company's own audio of a prompt"),
    _of_nobody(r"run/(lock|control\.(sock|secret)|[\w.-]*kamailio[\w.-]*\.cfg|rpc\.sock)", "lock, sockets, generated"),
    _of_nobody(r"run/edge/[\w.-]+", "generated files and sockets of the edge"),
    Place(TRUNK_COPIES),
    Place(Kept(r"(keys|tls|run|prompts|prompts/custom)/\.[\w.-]+", "being written: renamed or unlinked at once"), True),
    Place(Kept(r"\.[\w-]+\.toml\.[0-9a-f]+", "configuration that is being written"), True),
    Place(Kept(r"run/[0-9a-f]{32}\.wav", "a name for a capture while it is opened; never audio"), True),
)


def place_of(path: str) -> Place | None:
    """Of a path relative to the data directory, with forward slashes; None where nobody knows it."""
    return next((place for place in PLACES if place.holds(path)), None)
