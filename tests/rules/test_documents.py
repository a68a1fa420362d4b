"""Documents are held to their word: what they draw, name and tell people to type is there, and works."""

from __future__ import annotations

import argparse
import functools
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config import settings
from config.paths import Paths
from server.cli import main, parser
from tests.rules import diagrams

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "systemd" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
ROOMS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
PLACES = (*ROOMS, "docs", "scripts", "systemd", "tests")
by_name = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))

# Commands that only look, in the order of reading; each is run as it stands on a fresh instance.
HARMLESS = {
    "welcome", "check", "doctor", "status", "sample-config", "person list", "device list", "line list",
    "calls list", "recordings list", "recordings verify", "ledger show", "ledger verify", "vault check",
}  # fmt: skip
MADE = {"account add", "device add", "line add"}  # harmless on an instance that is thrown away


def test_the_documents_are_there():
    assert {p.name for p in DOCUMENTS} >= {"README.md", "CHANGELOG.md", "architecture.md", "threats.md", "dpo.md"}


# --- drawings and names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", diagrams.DRAWINGS)
def test_each_state_diagram_is_the_table_in_the_code(name: str):
    found = diagrams.place(name).findall(diagrams.DOCUMENT.read_text())
    assert found == [diagrams.DRAWINGS[name]()], "write it anew: python -m tests.rules.diagrams"


def test_every_drawing_of_states_has_a_table():
    text = diagrams.DOCUMENT.read_text()
    assert text.count("```mermaid") == len(diagrams.DRAWINGS)


def test_a_diagram_that_differs_is_noticed():
    text = "<!-- drawn: legs -->\n```mermaid\nstateDiagram-v2\n    up --> asked : up\n```\n"
    assert diagrams.place("legs").findall(text) != [diagrams.legs()]
    assert diagrams.place("legs").findall(diagrams.redrawn(text)) == [diagrams.legs()]


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text))


@by_name
def test_every_file_that_is_named_exists(document: Path):
    missing = []
    for span in spans(document.read_text()):
        path = re.split(r"[:#]", span)[0]
        # `tests/a.py::test_b` is a test, `recording.min_free_mb` a key, `vault/ab/cd/...` a place of an instance.
        if path.split("/")[0] in PLACES and re.fullmatch(r"[\w./-]+", path) and not (ROOT / path).exists():
            missing.append(span)
    assert missing == []


@by_name
def test_every_link_leads_somewhere(document: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        assert not anchor or anchor in headings(file), target


def headings(document: Path) -> set[str]:
    """As GitHub makes anchors of them."""
    titles = re.findall(r"(?m)^#+ (.*)$", document.read_text())
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@by_name
def test_every_test_that_is_named_exists(document: Path):
    for file, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", document.read_text()):
        assert re.search(rf"(?m)^(?:    )?(?:async )?def {name}\(", (ROOT / file).read_text()), f"{file}::{name}"


def test_every_guarantee_names_a_test_and_has_a_number_of_its_own():
    text = (ROOT / "docs" / "threats.md").read_text()
    parts = re.split(r"(?m)^\*\*G(\d+)\. ", text.split("## What it costs")[0])[1:]
    numbers, bodies = parts[::2], parts[1::2]
    assert [int(n) for n in numbers] == list(range(1, len(numbers) + 1))
    assert [n for n, body in zip(numbers, bodies, strict=True) if "::test_" not in body] == []


@by_name
def test_every_key_of_the_configuration_that_is_named_exists(document: Path):
    sections = tomllib.loads(settings.sample())
    for section, key in re.findall(r"`([a-z]+)\.([a-z_0-9]+)(?: = [^`]*)?`", document.read_text()):
        if section in sections and not (ROOT / section / f"{key}.py").exists():
            assert key in sections[section], f"{section}.{key}"


def test_every_metric_that_is_named_exists():
    from server.daemon import Daemon
    from sip.calls import control, observatory

    statistics = (*control.STATISTICS, *observatory.STATISTICS)
    daemon = Path(__import__("inspect").getsourcefile(Daemon) or "")
    source = "".join(path.read_text() for path in daemon.parent.rglob("*.py"))
    known = {*re.findall(r'"([a-z_]+)": (?:float|\("severity")', source), *(f"calls_{name}" for name in statistics)}
    for document in DOCUMENTS:
        for name in re.findall(r"`beffroi_([a-z_]+)`", document.read_text()):
            assert name.removesuffix("_total") in known, name


def test_the_data_directory_is_as_it_is_drawn(tmp_path: Path):
    text = (ROOT / "docs" / "architecture.md").read_text().split("## 12. ")[1].split("## 13. ")[0]
    paths, named = Paths(Path()), re.findall(r"(?m)^\| `([^`]+)` \|", text)
    ours = {
        str(getattr(paths, name))
        for name in (
            "config",
            "field_key",
            "ledger_key",
            "proof_key",
            "tls",
            "database",
            "vault",
            "rates",
            "prompts",
            "run",
        )
    }
    assert {name.split("/ab/")[0].rstrip("/") for name in named} == ours | {"keys/ca.key"}


def test_the_page_of_alerts_is_what_the_data_says():
    from server.alerting.manual import markdown

    assert (ROOT / "docs" / "alerts.md").read_text() == markdown()


# --- what people are told to type -------------------------------------------------------------------------------------


def commands(document: Path) -> Iterator[list[str]]:
    """`beffroi ...` as written in indented blocks and in code spans that are whole commands; without what precedes."""
    text = document.read_text()
    indented = re.findall(r"(?m)^ {4,}(\S.*)$", re.sub(r"(?ms)^```.*?^```", "", text))
    for line in [*indented, *spans(text)]:
        found = re.search(r"(?:^|[ /])beffroi ((?:[a-z-]|\[|--).*)$", line.strip())
        if found and not line.startswith("runuser"):
            yield shlex.split(found[1].split(" #")[0])


@functools.cache
def typed() -> argparse.ArgumentParser:
    """Everything that can be typed, put together once."""
    return parser()


def leaf_of(words: list[str]) -> str:
    """The command without its arguments: of `account add carol 103` the first two words."""
    for action in typed()._actions:
        if isinstance(action, argparse._SubParsersAction):
            below = action.choices.get(words[0])
            nested = below and any(isinstance(a, argparse._SubParsersAction) for a in below._actions)
            return " ".join(words[: 2 if nested else 1])
    raise AssertionError(words)


def is_whole(words: list[str]) -> bool:
    """Prose names commands by their first words; what has arguments, or needs none, is meant to be typed."""
    return len(words) > len(leaf_of(words).split()) or leaf_of(words) in HARMLESS


@by_name
def test_every_command_can_be_typed_as_it_stands(document: Path, capsys: pytest.CaptureFixture[str]):
    for words in commands(document):
        if words[0].startswith("-") or not is_whole(words):
            continue
        try:
            typed().parse_args(words)
        except SystemExit as end:
            assert end.code == 0, f"beffroi {shlex.join(words)}: {capsys.readouterr().err}"


def test_a_command_that_cannot_be_typed_would_be_found(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        typed().parse_args(["recordings", "open", "ID", "--reason", "no reader"])
    capsys.readouterr()


def test_what_only_looks_is_run(
    product_seed: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Once each, as the documents write it, on an instance fresh from quickstart and without a daemon."""
    data = Path(shutil.copytree(product_seed[0], tmp_path / "data"))
    written = {shlex.join(words): words for document in DOCUMENTS for words in commands(document) if words}
    ran = set()
    for words in sorted(written.values(), key=lambda words: leaf_of(words) not in MADE):
        leaf = leaf_of(words)
        placeholders = any(re.fullmatch(PLACEHOLDER, word) for word in words)
        if leaf not in HARMLESS | MADE or placeholders or not is_whole(words):
            continue
        status = main(["--data", str(data), *words])
        said = capsys.readouterr()
        # doctor looks at the machine that the test runs on: what it finds wrong there is not the document's fault.
        assert status == 0 or leaf == "doctor", f"beffroi {shlex.join(words)}: {said.err}"
        ran.add(leaf)
    assert ran >= {"line list", "ledger verify", "vault check", "account add", "line add", "welcome", "doctor"}


PLACEHOLDER = r"[A-Z]{2,}(=.*)?|\w+=ENTRIES:HEAD"
BEFOREHAND = {
    "README.md": (),
    "portal.md": (),
    "dpo.md": (
        "account add emma 104",
        "person add durand Durand --roles legal",
        "line add sales 300",
        "line add trading 301",
    ),
}
ASKS = {"recordings open", "recordings export", "reader enrol"}  # for a passphrase
NEEDS_MORE = {"campaign", "ledger verify --anchor"}  # an inbox and its people (tests/e2e/test_campaign.py); a head


@pytest.mark.parametrize("name", BEFOREHAND)
def test_what_the_three_readers_are_told_to_type_does_what_it_says(
    name: str,
    product_seed: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Whoever types the indented lines of a page, from the first to the last, meets no refusal."""
    data = Path(shutil.copytree(product_seed[0], tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    document = next(one for one in DOCUMENTS if one.name == name)
    lines = [line.split(" #")[0] for line in re.findall(r"(?m)^ {4}\S*beffroi (\S.*)$", document.read_text())]
    ran = 0
    for line in (*BEFOREHAND[name], *lines):
        words = shlex.split(line)
        placeholders = any(re.fullmatch(PLACEHOLDER, word) for word in words)
        if placeholders or leaf_of(words) in ASKS or any(line.startswith(one) for one in NEEDS_MORE):
            continue
        if leaf_of(words) == "policy approve":
            enter_the_rest(data, capsys)
        status = main(["--data", str(data), *words])
        assert status == 0 or leaf_of(words) == "doctor", f"beffroi {line}: {capsys.readouterr().err}"
        ran += 1
    assert ran >= 4


def enter_the_rest(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page enters one of what its packs ask for, as an example."""
    for pack in ("REC_QUALITY", "REC_MIFID"):
        capsys.readouterr()
        assert main(["--data", str(data), "policy", "needs", "--pack", pack, "--json"]) == 0
        for need in json.loads(capsys.readouterr().out):
            entered = ["policy", "enter", need["kind"], "--pack", pack, "--evidence", "a paper", "--by", "Dora"]
            if need["id"] is None:
                assert main(["--data", str(data), *entered, "--on", "2026-11-20"]) == 0


def test_main_is_what_the_documents_call_beffroi():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"beffroi": f"{main.__module__}:{main.__name__}"}
