"""House rules that no linter of the shelf knows."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
LINES_MAX = 700


def committed() -> list[Path]:
    """Files that git knows or would add; those of a tarball without git: none, and the tests say so."""
    command = ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def texts() -> Iterator[tuple[Path, str]]:
    for path in committed():
        try:
            yield path, path.read_text()
        except UnicodeDecodeError:  # audio, test vectors
            continue


def sources() -> list[Path]:
    return [path for path in committed() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in ROOMS]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_check():
    assert len(committed()) > 20
    assert len(sources()) > 20


def test_no_file_hides_a_second_idea():
    long = {shown(path): n for path in sources() if (n := len(path.read_text().splitlines())) > LINES_MAX}
    assert long == {}


def broad_handlers(tree: ast.AST) -> Iterator[ast.ExceptHandler]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(k is None or (isinstance(k, ast.Name) and k.id in ("Exception", "BaseException")) for k in kinds):
                yield node


def test_every_broad_except_says_why():
    silent = []
    for path in sources():
        lines = path.read_text().splitlines()
        for handler in broad_handlers(ast.parse("\n".join(lines))):
            around = lines[max(0, handler.lineno - 2) : handler.body[0].lineno]
            # A handler that only cleans up and raises again hides nothing.
            raises = isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None
            if not raises and not any("#" in line for line in around):
                silent.append(f"{shown(path)}:{handler.lineno}")
    assert silent == []


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """(call, what it is called on, name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node, ast.unparse(node.func.value), node.func.attr
            elif isinstance(node.func, ast.Name):
                yield node, "", node.func.id


def test_every_task_has_an_owner():
    """`TaskGroup.create_task` is the way; asyncio's and the loop's own make orphans."""
    orphans = []
    for path in sources():
        for call, owner, name in calls(ast.parse(path.read_text())):
            if name == "ensure_future" or (
                name == "create_task" and re.search(r"(^|\.)(asyncio|_?loop|get_\w+_loop\(\))$|^$", owner)
            ):
                orphans.append(f"{shown(path)}:{call.lineno}")
    assert orphans == []


@pytest.mark.parametrize(
    ("code", "orphan"),
    [("asyncio.create_task(x())", True), ("loop.create_task(x())", True), ("group.create_task(x())", False)],
)
def test_the_rule_on_tasks_sees_orphans(code: str, orphan: bool):
    found = [owner for _, owner, name in calls(ast.parse(code)) if name == "create_task"]
    assert bool(re.search(r"(^|\.)(asyncio|_?loop|get_\w+_loop\(\))$|^$", found[0])) is orphan


def test_pjsua2_is_imported_by_the_engine_alone():
    importers = [shown(p) for p in sources() if re.search(r"(?m)^\s*(import|from) pjsua2", p.read_text())]
    assert sorted(importers) == ["sip/worker/engine.py", "sip/worker/engine_audio.py", "sip/worker/engine_calls.py"]


def test_every_module_says_what_it_is_for():
    silent = [shown(p) for p in sources() if p.read_text().strip() and not ast.get_docstring(ast.parse(p.read_text()))]
    generated = [name for name in silent if "/migrations/versions/" in name]
    assert sorted(set(silent) - set(generated)) == []


MEASURED = re.compile(r"len\([^\n]*reason[^\n]*\)\s*<|MIN_REASON_CHARS\s*=")


def test_how_short_a_reason_may_be_is_said_once():
    """`server.services.actor`: for whoever asks why, page or service."""
    rooms = [path for path in sources() if path.relative_to(ROOT).parts[0] == "server"]
    found = {shown(path) for path in rooms if MEASURED.search(path.read_text())}
    assert found == {"server/services/actor.py"}


# --- what must never be committed -------------------------------------------------------------------------------------

SECRETS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{64,}"),
    "an index address": re.compile(r"(?m)^\s*(--(extra-)?index-url|--find-links|--trusted-host)\b"),
    "a registry's host": re.compile(
        r"https?://[\w.-]*(?:pypi|pythonhosted|npmjs|deb\.debian|archive\.ubuntu)[\w.-]*", re.I
    ),
    "a token": re.compile(r"\b(?:ghp_|gho_|glpat-|AKIA|xox[bp]-)[A-Za-z0-9_-]{16,}"),
}


@pytest.mark.parametrize("what", SECRETS)
def test_nothing_is_committed_that_must_not_be(what: str):
    mine = Path(__file__)
    found = [shown(path) for path, text in texts() if path != mine and SECRETS[what].search(text)]
    assert found == []


def test_what_must_not_be_committed_would_be_found():
    assert SECRETS["a private key"].search("-----BEGIN PRIVATE KEY-----\n" + "A" * 64)
    assert SECRETS["an index address"].search("\n--index-url https://somewhere/simple\n")
    assert SECRETS["a registry's host"].search("see https://files.python" + "hosted.org/x")


def test_no_state_of_an_instance_is_committed():
    state = {".sqlite3", ".rec", ".part", ".key"}
    vectors = ROOT / "tests" / "vectors"
    assert [shown(p) for p in committed() if p.suffix in state and not p.is_relative_to(vectors)] == []
