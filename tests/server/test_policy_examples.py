"""What the page for the data protection officer says of a policy: its commands make it, its table is what it says."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config import packs as pack_data
from retention import policy as model
from retention.policy import Policy, Rule
from retention.policy_check import House, check
from retention.policy_rules import CallAbout, govern
from server.cli import parser

TEXT = (Path(__file__).parents[2] / "docs" / "dpo.md").read_text().split("## The policy")[1].split("\n## ")[0]
PACKS = pack_data.load()
NOW = datetime(2026, 11, 30, tzinfo=UTC)
KEYS = (
    "pack",
    "line",
    "account",
    "group",
    "direction",
    "country",
    "retention",
    "consent",
    "silence",
    "window",
    "statute",
)


def the_policy() -> Policy:
    rules, valid_from = list[Rule](), None
    for line in re.findall(r"(?m)^    beffroi (policy set .*)$", TEXT):
        typed = parser().parse_args(shlex.split(line))
        if typed.rule is None:
            valid_from = model.moment("valid_from", typed.valid_from)
            continue
        said = {key: getattr(typed, key) for key in KEYS if getattr(typed, key)}
        if typed.rate:
            said["per_mille"] = model.rate(typed.rate)
        rules.append(model.read_rule({"name": typed.rule, **said}))
    return Policy(1, "dora", NOW, tuple(rules), valid_from)


ROWS = [
    [cell.strip().replace("`", "") for cell in row.strip("|").split("|")]
    for row in re.findall(r"(?m)^\|.*\|$", TEXT.split("holds this table to its word:")[1].split("\n\n- ")[0])[2:]
]


def test_the_documented_policy_may_be_approved() -> None:
    house = House({"sales": "sales", "trading": "trading"}, {"emma": "emma", "bob": "bob"})
    assert check(the_policy(), PACKS, house, NOW) == [] and len(the_policy().rules) == 6


@pytest.mark.promise("2.1", "2.18", "2.27", "3.3")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}-{row[3]}")
def test_the_documented_table_is_what_it_says(row: list[str]) -> None:
    line, direction, who, country, recorded, share, kept, by = row
    about = CallAbout(
        None if line == "none" else line,
        frozenset({who}),
        frozenset(),
        direction,  # type: ignore[arg-type]
        frozenset({country}),
    )
    said = govern(the_policy(), about, PACKS)
    found = f"{said.recording.id} {said.recording.retention}" if said.recording is not None else "no"
    drawn = "" if said.recording is None else model.share(said.sampling.per_mille) if said.sampling else "all"
    records = f"{said.records.id} {said.records.retention}"
    assert (found, drawn, records, said.rule or "none") == (recorded, share, kept, by)


def test_the_table_is_there() -> None:
    assert len(ROWS) == 5 and all(len(row) == 8 for row in ROWS)
