"""Our directories are import packages as they stand: nobody else may own their names, nor we other names."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OURS = set(PYPROJECT["tool"]["importlinter"]["root_packages"])


def test_our_top_level_names_are_ours_alone():
    owners = importlib.metadata.packages_distributions()
    assert {name: set(owners[name]) for name in OURS} == {name: {"beffroi"} for name in OURS}


def test_we_install_no_other_top_level_name():
    owners = importlib.metadata.packages_distributions()
    installed = {name for name, dists in owners.items() if "beffroi" in dists and not name.startswith("__editable__")}
    assert installed == OURS


def test_no_room_shadows_the_standard_library():
    modules = {path.stem for name in OURS for path in (ROOT / name).glob("*.py")} | OURS
    # Inside a package a module's name is its own; on top level it would hide the standard one.
    assert not OURS & sys.stdlib_module_names
    assert "utils" not in modules


def test_every_dependency_is_pinned_with_hashes():
    wanted = {re.split(r"[\[<>=!~ ]", name, maxsplit=1)[0].lower() for name in PYPROJECT["project"]["dependencies"]}
    pinned = re.split(r"(?m)^(?=[a-z0-9])", (ROOT / "requirements" / "runtime.txt").read_text())[1:]
    names = {entry.split("==")[0] for entry in pinned}
    assert wanted - names == set(), "scripts/lock was not run after a change of pyproject.toml"
    assert [entry.splitlines()[0] for entry in pinned if "--hash=sha256:" not in entry] == []


def test_the_installed_packages_are_consistent():
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_version_is_written_once():
    assert importlib.metadata.version("beffroi") == PYPROJECT["project"]["version"]
