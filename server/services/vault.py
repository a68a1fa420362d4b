"""Do files, keys and records agree? Nothing listed without file or key, nothing on disk unlisted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from recording import vault
from server.services import recordings as recording_service
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from storage import keys, recordings


@dataclass(frozen=True, slots=True)
class VaultReport:
    """Fields: see `server.commands.vault.FIELDS`."""

    sound: bool
    recordings: int
    bytes: int
    missing_files: tuple[str, ...]
    missing_keys: tuple[str, ...]
    unlisted_files: tuple[str, ...]
    unlisted_keys: tuple[str, ...]
    altered: tuple[str, ...]
    running: int
    checked_contents: bool


async def check(services: Services, actor: Actor, *, contents: bool = False) -> VaultReport:
    """`contents`: also read every file and compare its SHA-256 with what was sealed."""
    async with services.db.transaction() as tx:
        rows = await recordings.list_all(tx)
        keyed = await keys.with_key(tx)
        await note(services, tx, actor, "verify", "vault", count=len(rows))
    finished = {row.id for row in rows if row.state in ("whole", "cut")}
    running = {row.id for row in rows if row.state == "recording"}
    root = services.paths.vault
    found = await asyncio.to_thread(vault.orphans, root, finished | running)
    held = await asyncio.to_thread(lambda: list(vault.held(root)))
    altered: list[str] = []
    if contents:
        verdicts = await recording_service.verify(services, actor, rec_ids=sorted(finished - set(found.missing)))
        altered = [one.id for one in verdicts if any("not the one" in text for text in one.findings)]
    missing_files = tuple(sorted(set(found.missing) & finished))
    missing_keys = tuple(sorted(finished - keyed))
    unlisted_files = tuple(str(path.relative_to(root)) for path in found.unlisted)
    unlisted_keys = tuple(sorted(keyed - finished - running))
    return VaultReport(
        sound=not (missing_files or missing_keys or unlisted_files or unlisted_keys or altered),
        recordings=len(finished),
        bytes=sum(one.size_bytes for one in held),
        missing_files=missing_files,
        missing_keys=missing_keys,
        unlisted_files=unlisted_files,
        unlisted_keys=unlisted_keys,
        altered=tuple(altered),
        running=len(running),
        checked_contents=contents,
    )
