"""A year in fast time on both databases: lines with every pack, real sealed recordings, objections, holds, changes of
what a line is for, and sweeps that are killed, doubted, interrupted and doubled. At its end a check of its own, which
knows the diary, the files and the tables alone, finds exactly what must be there, opens it, and not the rest."""

from __future__ import annotations

import ast
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.peers import disk_image, postgres
from tests.recording.house import decoded, strength
from tests.year import almanac
from tests.year.evidence import CHECK, Evidence, lived

pytestmark = [pytest.mark.timeout(1800), pytest.mark.promise("0.1", "2.5", "L3", "3.3", "3.9")]
SEED = 20270701
NO_DISK = disk_image.why_not()


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    """On SQLite, on a disk of its own where one can be mounted."""
    place = tmp_path_factory.mktemp("year")
    yield lived(place / "sqlite", almanac.SHORT, SEED, disk_mib=0 if NO_DISK else 64)
    shutil.rmtree(place, ignore_errors=True)


def passed(evidence: Evidence, *more: str) -> dict[str, int]:
    """What the check counted."""
    status, said = evidence.check(*more)
    assert status == 0, said
    return {name: int(count) for count, _, name in (part.partition(" ") for part in said.strip().split(", "))}


def test_a_year_leaves_exactly_what_must_be_there(year: Evidence, tmp_path: Path) -> None:
    counts = passed(year, "--opened", str(tmp_path))
    assert counts["opened"] > 5
    assert counts["stayed shut"] > 12
    assert counts["gone"] > 100
    assert counts["wraps not in the data directory"] > 30
    wished = {"consent_withdrawn", "no_contract", "admin_order", "art17_request"}
    went = {name.removeprefix("by ") for name in counts if name.startswith("by ")}
    assert went >= wished
    assert any(entry["what"] == "event" for entry in diary(year))
    assert {entry["done"] for entry in diary(year) if entry["what"] == "ordered"} == {True, False}
    assert NO_DISK or counts["wraps not in the disk"] > 30
    met = {how.partition(":")[0] for how in year.met}
    assert met == {"killed", "database", "process", "clock", "two", "hold", "listened"}
    told = {entry["id"]: entry for entry in diary(year) if entry["what"] == "recording"}
    for file in sorted(tmp_path.glob("*.ogg"))[:6]:
        channels = decoded(file.read_bytes())
        for channel, tone in zip(channels, told[file.stem]["tones_hz"], strict=True):
            assert strength(channel, tone) > 3000, "what was opened is what was said"


@pytest.mark.promise("L9")
@pytest.mark.skipif(NO_DISK != "", reason=NO_DISK or "-")
def test_a_wrap_that_only_the_disk_remembers_is_found(year: Evidence, tmp_path: Path) -> None:
    """In blocks that no file holds any more."""
    spoilt = year.copy(tmp_path / "spoilt")
    wrap = bytes.fromhex(wrap_of(spoilt, destroyed(spoilt))["wrap"])
    image = bytearray(year.disk.read_bytes())
    image[-5001:-4901] = wrap[300:400]
    spoilt.disk.write_bytes(image)
    status, said = spoilt.check()
    assert status == 1
    assert "stands in the disk" in said


@pytest.mark.postgresql
def test_the_same_year_on_postgresql(tmp_path: Path) -> None:
    assert not (missing := postgres.why_not()), missing
    with postgres.cluster("fsync=off", "shared_buffers=16MB") as directory:
        counts = passed(
            lived(tmp_path / "year", almanac.SPARSE, SEED, postgres_url=postgres.url(directory, "postgres"))
        )
    assert counts["opened"] > 5
    assert counts["stayed shut"] > 12


@pytest.mark.full
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
@pytest.mark.timeout(7200)
def test_a_whole_year(engine: str, tmp_path: Path) -> None:
    if engine == "sqlite":
        evidence = lived(tmp_path / "year", almanac.LONG, SEED + 1, disk_mib=0 if NO_DISK else 192)
    else:
        with postgres.cluster("fsync=off", "shared_buffers=16MB") as directory:
            url = postgres.url(directory, "postgres")
            evidence = lived(tmp_path / "year", almanac.LONG, SEED + 1, postgres_url=url)
    counts = passed(evidence)
    assert counts["opened"] > 40
    assert counts["gone"] > 1000
    assert evidence.met >= set(almanac.TROUBLES)


# --- the check itself -------------------------------------------------------------------------------------------------


def test_the_check_imports_nothing_of_the_project() -> None:
    files = sorted(CHECK.glob("*.py"))
    siblings = {file.stem for file in files}
    imported = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                imported.add((node.module or "").partition(".")[0])
    assert len(files) == 5
    assert imported - siblings - set(sys.stdlib_module_names) <= {"cryptography", "numpy"}
    assert not imported & {"importlib", "runpy", "subprocess"}


def diary(evidence: Evidence) -> list[dict[str, Any]]:
    return [json.loads(line) for line in evidence.diary.read_text().splitlines()]


def rewrite(evidence: Evidence, entries: list[dict[str, Any]]) -> None:
    evidence.diary.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def sql(evidence: Evidence, *statements: str) -> None:
    with closing(sqlite3.connect(evidence.database)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, statement
        connection.commit()


def destroyed(evidence: Evidence) -> str:
    """A recording that went, of which somebody kept a copy of its file."""
    with closing(sqlite3.connect(evidence.database)) as connection:
        rows = connection.execute("SELECT id FROM recordings WHERE state = 'destroyed' ORDER BY id")
        return next(str(row[0]) for row in rows if (evidence.outside / "stolen" / row[0]).exists())


def living(evidence: Evidence) -> str:
    """A recording that is there, and that nobody has touched."""
    touched = {entry["recording"] for entry in diary(evidence) if entry["what"] == "mischief"}
    with closing(sqlite3.connect(evidence.database)) as connection:
        rows = connection.execute("SELECT id FROM recordings WHERE state = 'whole' ORDER BY id")
        return next(str(row[0]) for row in rows if row[0] not in touched)


def in_vault(evidence: Evidence, rec_id: str) -> Path:
    return evidence.data / "vault" / rec_id[:2] / rec_id[2:4] / f"{rec_id}.rec"


def wrap_of(evidence: Evidence, rec_id: str) -> dict[str, str]:
    lines = (evidence.outside / "wraps.jsonl").read_text().splitlines()
    return next(each for each in map(json.loads, lines) if each["rec_id"] == rec_id)


def put_back(evidence: Evidence) -> None:
    """The wrap of a destroyed recording, in a place that is free."""
    wrap = bytes.fromhex(wrap_of(evidence, destroyed(evidence))["wrap"])
    content = (len(wrap).to_bytes(2, "big") + wrap).ljust(1280, b"\0").hex()
    free = "(SELECT min(slot) FROM free_key_slots)"
    sql(evidence, f"UPDATE key_slots SET content = x'{content}' WHERE slot = {free}")  # noqa: S608


def scrap(evidence: Evidence) -> None:
    """A piece of a wrap that was forgotten in some file."""
    wrap = bytes.fromhex(wrap_of(evidence, destroyed(evidence))["wrap"])
    (evidence.data / "run" / "core").write_bytes(os.urandom(777) + wrap[500:580] + os.urandom(99))


def left(evidence: Evidence) -> None:
    rec_id = destroyed(evidence)
    in_vault(evidence, rec_id).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(evidence.outside / "stolen" / rec_id, in_vault(evidence, rec_id))


def lost(evidence: Evidence) -> None:
    in_vault(evidence, living(evidence)).unlink()


def cut(evidence: Evidence) -> None:
    with in_vault(evidence, living(evidence)).open("r+b") as file:
        file.truncate(900)


def one_receipt_more(evidence: Evidence) -> None:
    sql(evidence, f"INSERT INTO receipts SELECT '{'0' * 32}', body, at FROM receipts LIMIT 1")  # noqa: S608


def one_receipt_less(evidence: Evidence) -> None:
    sql(evidence, "DELETE FROM receipts WHERE id = (SELECT max(id) FROM receipts)")


def forged(evidence: Evidence) -> None:
    sql(evidence, "UPDATE receipts SET body = replace(body, '_unlinked', '_untouched') WHERE body LIKE '%_unlinked%'")


def altered(evidence: Evidence) -> None:
    sql(evidence, "UPDATE ledger_entries SET body = CAST(replace(CAST(body AS TEXT), 'expiry', 'restore') AS BLOB) "
                  "WHERE log = 'erasure'")  # fmt: skip


def one_record_more(evidence: Evidence) -> None:
    others = "line_id, metadata_class, purpose, legal_basis, at, expires_at, fields_sealed, numbers_sealed"
    copied = f"SELECT '{'0' * 32}', {others} FROM call_records LIMIT 1"  # noqa: S608
    sql(evidence, f"INSERT INTO call_records (id, {others}) {copied}")  # noqa: S608


def one_record_less(evidence: Evidence) -> None:
    sql(evidence, "DELETE FROM call_peers", "DELETE FROM call_records WHERE id = (SELECT max(id) FROM call_records)")


def described(evidence: Evidence) -> None:
    sql(evidence, f"UPDATE recordings SET purpose = 'REC_QUALITY' WHERE id = '{destroyed(evidence)}'")  # noqa: S608


def under_way(evidence: Evidence) -> None:
    sql(evidence, "INSERT INTO destructions (id, kind, items, begun_at) VALUES ('x', 'recording', '[]', 0)")


def in_clear(evidence: Evidence) -> None:
    (evidence.data / "run" / "log").write_text(f"call from {almanac.numbers()[3]}")


def hold_ignored(evidence: Evidence) -> None:
    """The diary says that a hold lay on what is gone."""
    entries, rec_id = diary(evidence), destroyed(evidence)
    at = next(n for n, entry in enumerate(entries) if entry["what"] == "recording" and entry["id"] == rec_id)
    rewrite(evidence, [*entries[:at], {"what": "hold", "at": entries[at]["at"], "id": "x", "recordings": [rec_id]},
                       *entries[at:]])  # fmt: skip


def objection_ignored(evidence: Evidence) -> None:
    entries = diary(evidence)
    destroying = {"REC_QUALITY", "REC_CONTRACT", "REC_HEALTH", "REC_INSURANCE_FR", "REC_WHISTLEBLOW"}
    with closing(sqlite3.connect(evidence.database)) as connection:
        whole = {row[0] for row in connection.execute("SELECT id FROM recordings WHERE state = 'whole'")}
    rec_id = next(e["id"] for e in entries if e["what"] == "recording" and e["id"] in whole and e["pack"] in destroying)
    lifted = [e for e in entries if e["what"] not in ("hold", "lift")]
    at = entries[-1]["at"]
    rewrite(evidence, [*lifted[:-1], {"what": "objection", "at": at, "recording": rec_id}, lifted[-1]])


def recorded_nevertheless(evidence: Evidence) -> None:
    entries = diary(evidence)
    said = [entry | ({"pack": "REC_NONE"} if entry.get("id") == living(evidence) else {}) for entry in entries]
    rewrite(evidence, said)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (put_back, "and opens"),
        (put_back, "is free, and holds something"),
        (scrap, "a piece of the wrap"),
        (left, "is there and must not be"),
        (lost, "must be there and is not"),
        (cut, "does not open"),
        (one_receipt_more, "0 entries in the erasure log"),
        (one_receipt_less, "which is not there"),
        (forged, "its signature is not true"),
        (altered, "the head is not that of its entries"),
        (one_record_more, "call_record 00000000000000000000000000000000 is there and must not be"),
        (one_record_less, "must be there and is not"),
        (described, "its row still describes it"),
        (under_way, "destruction under way x is there"),
        (in_clear, "in clear"),
        (hold_ignored, "must be there and is not"),
        (objection_ignored, "is there and must not be"),
        (recorded_nevertheless, "which never records"),
    ],
)
def test_the_check_finds_a_fault(year: Evidence, tmp_path: Path, fault: Callable[[Evidence], None], says: str) -> None:
    spoilt = year.copy(tmp_path / "spoilt")
    fault(spoilt)
    status, said = spoilt.check()
    assert status == 1, said
    assert says in said, said
