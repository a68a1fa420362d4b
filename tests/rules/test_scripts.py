"""The scripts that the README tells people to type, and the README itself."""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from server.cli import parser

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(p for p in [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"] if p.is_file())
SHELL = [p for p in SCRIPTS if p.suffix == ".sh" or p.read_text().startswith("#!/bin/bash")]
TYPED = [p for p in SCRIPTS if p.suffix != ".sh"]
DOCUMENTS = [
    p for p in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "systemd" / "README.md") if p.exists()
]


@pytest.mark.parametrize("script", SHELL, ids=lambda p: p.name)
def test_shell_scripts_parse(script: Path):
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize("script", TYPED, ids=lambda p: p.name)
def test_what_people_type_can_be_run(script: Path):
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize(
    "script",
    ["run", "test", "chroot-test", "promises", "bench", "bench-retention", "bench-sms", "bench-pages", "bench-viewers"],
)
def test_help_works_from_any_directory(script: str, tmp_path: Path):
    # The interpreter of this run first: the scripts in Python need what it has.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [ROOT / "scripts" / script, "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--data"], ["surplus"]])
def test_misuse_of_run_exits_2_and_starts_nothing(arguments: list[str], tmp_path: Path):
    env = {**os.environ, "BEFFROI_DATA": str(tmp_path / "data")}
    done = subprocess.run([ROOT / "scripts" / "run", *arguments], capture_output=True, text=True, env=env)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
    assert not (tmp_path / "data").exists()


def prepare(code: str, tmp_path: Path, *, release: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Runs code after sourcing prepare.sh, with stand-ins for commands in a directory of their own."""
    text = (ROOT / "scripts" / "prepare.sh").read_text()
    if release:
        (tmp_path / "os-release").write_text(release)
        text = text.replace("/etc/os-release", str(tmp_path / "os-release"))
    copy = tmp_path / "scripts"
    copy.mkdir(exist_ok=True)
    (copy / "prepare.sh").write_text(text)
    return subprocess.run(
        ["bash", "-uc", f". {copy}/prepare.sh; {code}"], capture_output=True, text=True, env={**os.environ, **env}
    )


@pytest.mark.parametrize(
    ("release", "fits"),
    [
        ("ID=debian\nVERSION_ID=12\n", True),
        ("ID=ubuntu\nVERSION_ID=24.04\n", True),
        ("ID=debian\nVERSION_ID=13\n", False),
        ("ID=fedora\nVERSION_ID=41\n", False),
    ],
)
def test_another_platform_is_refused_in_plain_words(tmp_path: Path, release: str, fits: bool):
    done = prepare("check_platform", tmp_path, release=release)
    assert (done.returncode == 0) is fits
    assert fits or "Beffroi runs on Debian 12 and Ubuntu 24.04 on x86_64" in done.stderr


def test_missing_packages_are_named(tmp_path: Path):
    done = prepare("missing_packages bash no-such-package-here coreutils", tmp_path)
    assert done.stdout.split() == ["no-such-package-here"]


def test_without_root_and_sudo_one_is_told_what_to_type(tmp_path: Path):
    stand_ins = "id() { if [ $1 = -u ]; then echo 1000; else echo somebody; fi; }; command() { return 1; }"
    done = prepare(f"{stand_ins}; become_root kamailio", tmp_path)
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends kamailio" in done.stderr


def test_every_script_named_in_a_document_exists():
    assert DOCUMENTS
    for document in DOCUMENTS:
        for name in re.findall(r"(?<![\w/])scripts/([\w-]+)", document.read_text()):
            assert (ROOT / "scripts" / name).exists(), f"{document.name} names scripts/{name}"


def commands_in(document: Path) -> set[tuple[str, ...]]:
    """(`beffroi`, subcommand, ...) as written in code spans and blocks: words until the first that is no plain word."""
    found = set()
    for line in re.findall(
        r"(?m)(?<![\w./-])beffroi ((?:[a-z]+(?:-[a-z]+)* ?)+)", "\n".join(code_of(document.read_text()))
    ):
        found.add(tuple(line.split()[:2]))
    return found


def code_of(markdown: str) -> list[str]:
    blocks = re.findall(r"(?ms)^```.*?\n(.*?)^```", markdown)
    indented = re.findall(r"(?m)^ {4}(\S.*)$", markdown)
    return [*blocks, *indented, *re.findall(r"`([^`\n]+)`", markdown)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_every_command_named_in_a_document_exists(document: Path):
    for words in sorted(commands_in(document)):
        # `beffroi account add` is a command of two words, `beffroi serve` one: the longest that has a help counts.
        tries = [words[:n] for n in range(len(words), 0, -1)]
        assert any(has_help(some) for some in tries), f"{document.name} names beffroi {' '.join(words)}"


def has_help(words: tuple[str, ...]) -> bool:
    """By the parser itself: a process for each takes a minute for all documents."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        try:
            _parser().parse_args([*words, "--help"])
        except SystemExit as end:
            return end.code == 0 and "usage: beffroi" in said.getvalue()
    return False


@functools.cache
def _parser() -> argparse.ArgumentParser:
    return parser()
