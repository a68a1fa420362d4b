"""Deletion of personal data has one way: the gate. Who else deletes rows or unlinks in the vault is found here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("config", "recording", "retention", "server", "sip", "sms", "storage")
# The desk clears what never became a recording, or what a crash left of one that is destroyed.
DESK = "server/recording_desk.py"
# Functions that take away what is kept of people, and who may call them: the gate's hands, and nobody else.
REMOVERS = {
    ("recordings", "destroy"): {"server/destruction.py", "server/erasables.py", "server/orphan_removal.py"},
    ("call_records", "remove"): set[str](),
    ("diagnoses", "remove"): set[str](),
    ("emergency_calls", "remove"): set[str](),
    ("usage", "remove_before"): set[str](),
    ("expiry", "remove"): {"server/erasables.py"},
    ("keys", "destroy_rec_key"): {"storage/recordings.py", "server/orphan_removal.py", DESK},
    ("keys", "destroy_kek"): {"server/erasables.py"},
    ("access", "erase"): {"server/orphan_removal.py"},
    ("reconciliation", "remove_index"): {"server/orphan_removal.py"},
    ("log_days", "prune"): {"server/erasables.py"},
    ("ledger", "prune_segment"): {"storage/log_days.py"},
    ("vault", "remove"): {"server/destruction.py", "server/erasables.py", "server/orphan_removal.py", DESK},
    ("readers", "drop_key"): {"server/services/erasure.py"},
    ("devices", "remove_of"): {"server/services/erasure.py"},
    ("mail_logins", "remove_of"): {"server/services/erasure.py", "storage/accounts.py"},
    ("accounts", "remove"): {"server/services/erasure.py"},
}


def modules() -> list[tuple[str, ast.Module]]:
    found = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            found.append((str(path.relative_to(ROOT)), ast.parse(path.read_text())))
    return found


@pytest.mark.promise("L3", "2.12")
def test_only_the_gate_takes_away_what_is_kept_of_people() -> None:
    wrong = []
    for name, tree in modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            allowed = REMOVERS.get((node.value.id, node.attr))
            if allowed is not None and name not in allowed:
                wrong.append(f"{name}:{node.lineno}: {node.value.id}.{node.attr}")
    assert wrong == []


@pytest.mark.promise("L3")
def test_the_gate_is_what_calls_its_hands() -> None:
    """`destroy_key(s)` and `remove_bytes` are called by the gate alone."""
    found = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("destroy_key", "destroy_keys", "remove_bytes")
    }
    assert found == {"retention/gate.py"}


# Who unlinks files within recording/: the vault; a writer what it has just begun itself; the rest holds no recording.
UNLINKS = {
    "vault.py", "sealed_writer.py", "room_terminal.py", "prompts.py", "hold_music.py", "prompt_audio.py", "speech.py",
}  # fmt: skip


def test_nothing_outside_the_vault_unlinks_a_recording() -> None:
    found = {
        Path(name).name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("unlink", "rmtree", "remove_tree") and name.startswith("recording/")
    }
    assert found <= UNLINKS


def test_each_function_that_is_watched_exists() -> None:
    """Else a new name would pass unseen."""
    known = {
        (path.stem, node.name)
        for room in ("storage", "recording")
        for path in (ROOT / room).glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
    }
    assert set(REMOVERS) <= known
