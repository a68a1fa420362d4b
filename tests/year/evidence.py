"""A year is lived, and what lies there at its end is kept for the check: a copy of the data directory with the log that
the database has open, every byte of the disk, and what the house wrote down beside it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from config import settings
from storage.database import Database, sqlite_url
from storage.tables import metadata
from tests.peers import disk_image
from tests.year import almanac
from tests.year.house import opened
from tests.year.life import Life

CHECK = Path(__file__).parent / "independent_check"


@dataclass(frozen=True)
class Evidence:
    """`disk`: an image, None where none could be mounted. `tables`: a copy of a database that is no file."""

    place: Path
    met: frozenset[str] = frozenset()

    @property
    def data(self) -> Path:
        return self.place / "data"

    @property
    def outside(self) -> Path:
        return self.place / "outside"

    @property
    def diary(self) -> Path:
        return self.outside / "diary.jsonl"

    @property
    def database(self) -> Path:
        copied = self.place / "tables.sqlite3"
        return copied if copied.exists() else self.data / "beffroi.sqlite3"

    @property
    def disk(self) -> Path:
        return self.place / "disk.image"

    def copy(self, place: Path) -> Evidence:
        """To be spoilt. Without the disk, which takes long."""
        shutil.copytree(self.place, place, ignore=shutil.ignore_patterns("disk.image"))
        return Evidence(place)

    def check(self, *more: str) -> tuple[int, str]:
        """What the independent check says of it."""
        told = ("--diary", self.diary, "--data", self.data, "--outside", self.outside, "--database", self.database)
        disk = ("--disk", str(self.disk)) if self.disk.exists() else ()
        done = subprocess.run([sys.executable, "-E", CHECK, *told, *disk, *more], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr


def lived(place: Path, scale: almanac.Scale, seed: int, *, postgres_url: str = "", disk_mib: int = 0) -> Evidence:
    """`disk_mib`: the size of a disk that the data directory lies on; 0: it is a directory like any other."""
    place.mkdir(parents=True)
    evidence = Evidence(place)
    with TemporaryDirectory(prefix="beffroi-year-", dir=_quick_place()) as quick:
        where = Path(quick)
        with disk_image.disk(where, size_mib=disk_mib) if disk_mib else nullcontext((where, bytes)) as (root, image):
            met = asyncio.run(_live(evidence, root / "data", scale, seed, postgres_url))
            if disk_mib:
                evidence.disk.write_bytes(image())
    return Evidence(place, frozenset(met))


def _quick_place() -> Path | None:
    """In memory where there is room: a year has some ten thousand transactions, and each waits for the disk."""
    memory = Path("/dev/shm")  # noqa: S108
    try:
        return memory if shutil.disk_usage(memory).free > 1 << 30 else None
    except OSError:
        return None


async def _live(evidence: Evidence, data: Path, scale: almanac.Scale, seed: int, postgres_url: str) -> set[str]:
    config = evidence.place / "beffroi.toml"
    config.write_text(settings.sample())
    url = postgres_url or sqlite_url(data / "beffroi.sqlite3")
    async with opened(data, evidence.outside, url, config, scale) as house:
        life = Life(house, url)
        await life.live(almanac.year(seed, scale))
        if postgres_url:
            await _copy_tables(house.services.db, evidence.place / "tables.sqlite3")
        shutil.copytree(data, evidence.data)
    return life.met


async def _copy_tables(db: Database, place: Path) -> None:
    """Every row of every table as it stands there, into a file that the check can read."""
    with closing(sqlite3.connect(place)) as made:
        async with db.read() as tx:
            for name in metadata.tables:
                found = await tx.conn.exec_driver_sql(f'SELECT * FROM "{name}"')  # noqa: S608
                columns = list(found.keys())
                made.execute(f'CREATE TABLE "{name}" ({", ".join(columns)})')
                rows: list[Any] = [tuple(row) for row in found]
                made.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(columns))})', rows)  # noqa: S608
        made.commit()
