"""The command line: status, errors in one line, tables of 80 columns, documented fields, a quick start."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.commands import accounts, ledger, lines, mail, people, recordings, system
from server.commands.base import Field
from server.manual import markdown
from tests.peers.product import BEFFROI, run_cli
from tests.server.conftest import Ran

ROOT = Path(__file__).resolve().parents[2]


def test_help_comes_at_once_and_loads_nothing_heavy(tmp_path: Path):
    code = (
        "import sys, server.cli as c\n"
        "c.parser().format_help()\n"
        "heavy = {'pydantic', 'sqlalchemy', 'cryptography', 'av', 'numpy', 'aiohttp', 'asyncio'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr
    began = time.monotonic()
    subprocess.run([BEFFROI, "--help"], check=True, capture_output=True)
    assert time.monotonic() - began < 1.0, "0.15 s on a machine that does nothing else"


_PORTAL = (
    "from server.services import operations\n"
    "from server.web import listener, site\n"
    "assert site.load().routes\n"
    "for name in operations.OPERATIONS: operations.find(name)\n"
)


@pytest.mark.parametrize("then", ["", _PORTAL], ids=["calls alone", "every page and operation"])
def test_a_start_loads_nothing_that_only_some_need(then: str):
    """Of a second start, loading is the greater part."""
    code = (
        f"import sys, server.daemon, server.edge_process\n{then}"
        "print(sorted({'numpy', 'av', 'holidays', 'alembic', 'pjsua2', 'argon2'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    "words",
    [(), ("frobnicate",), ("account",), ("account", "add", "x"), ("line", "add", "x", "1", "--consent", "perhaps"),
     ("recordings", "open", "abc"), ("quickstart", "--rtp", "many"), ("ledger", "verify", "--anchor", "nonsense")],
)  # fmt: skip
def test_misuse_ends_with_2_on_standard_error(beffroi: Callable[..., Ran], words: tuple[str, ...]):
    ran = beffroi(*words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err


@pytest.mark.parametrize(
    "words",
    [("account", "show", "nobody"), ("account", "add", "alice", "555"), ("account", "add", "carol", "101"),
     ("account", "add", "Not A Name", "555"), ("device", "add", "nobody"), ("device", "revoke", "nobody-aaaa"),
     ("line", "set", "nowhere", "--name", "x"), ("line", "add", "x", "555", "--pack", "REC_NOTHING"),
     ("line", "add", "x", "555", "--pack", "REC_MIFID"), ("line", "set", "200", "--consent", "announce"),
     ("person", "grant", "reader", "REC_NONE"), ("person", "role", "nobody", "admin"),
     ("person", "role", "reader", "king"), ("calls", "show", "0" * 32), ("calls", "list", "--number", "101"),
     ("recordings", "show", "0" * 32), ("recordings", "list", "--states", "lost"), ("ban", "list"), ("reload",),
     ("reader", "enrol", "reader")],
)  # fmt: skip
def test_a_failure_is_one_line_that_says_what_to_do(beffroi: Callable[..., Ran], words: tuple[str, ...]):
    ran = beffroi(*words)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("beffroi: ") and ran.err.count("\n") == 1
    assert ran.err.count(". ") >= 1, "what, then the remedy"


def test_a_directory_that_is_not_set_up(tmp_path: Path):
    done = run_cli(tmp_path, "account", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert "quickstart" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_data_directory_can_be_named_before_and_after_the_command(data: Path, tmp_path: Path):
    for words in (["--data", data, "welcome"], ["welcome", "--data", data]):
        done = subprocess.run([BEFFROI, *words], capture_output=True, text=True, env={"BEFFROI_DATA": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        assert "*43" in done.stdout


def test_all_mistakes_of_a_configuration_at_once(beffroi: Callable[..., Ran], data: Path):
    assert beffroi("check").out == "the configuration is sound\n"
    config = data / "beffroi.toml"
    text = config.read_text().replace("max_concurrent = 20", 'max_concurrent = "many"')
    config.write_text(text.replace("[company]", '[company]\ncolour = "red"'))
    wrong = beffroi("check")
    assert wrong.status == 1
    assert "calls.max_concurrent" in wrong.err and "company.colour" in wrong.err
    said = beffroi("check", "--json")
    assert said.status == 1
    assert {problem["key"] for problem in json.loads(said.out)["problems"]} == {
        "calls.max_concurrent",
        "company.colour",
    }
    assert beffroi("serve").status == 78, "EX_CONFIG: no use in starting it again"


def test_the_sample_is_a_configuration(beffroi: Callable[..., Ran]):
    from config.settings import parse

    assert parse(beffroi("sample-config").out)


DOCUMENTED: list[tuple[tuple[str, ...], tuple[Field, ...]]] = [
    (("account", "list"), accounts.FIELDS),
    (("device", "list"), accounts.DEVICE_FIELDS),
    (("account", "show", "alice"), accounts.DETAIL_FIELDS),
    (("device", "add", "alice"), accounts.NEW_DEVICE_FIELDS),
    (("mail", "login", "add", "alice", "--from", "alice@example.org"), mail.NEW_FIELDS),
    (("line", "list"), lines.FIELDS),
    (("person", "list"), people.FIELDS),
    (("ledger", "show"), ledger.ENTRY_FIELDS),
    (("ledger", "verify"), ledger.VERIFY_FIELDS),
    (("vault", "check"), ledger.VAULT_FIELDS),
    (("status",), system.STATUS_FIELDS),
    (("check",), system.CHECK_FIELDS),
    (("doctor",), system.DOCTOR_FIELDS),
]


@pytest.mark.parametrize(("words", "fields"), DOCUMENTED, ids=[" ".join(words) for words, _ in DOCUMENTED])
def test_json_holds_just_the_documented_fields(
    beffroi: Callable[..., Ran], words: tuple[str, ...], fields: tuple[Field, ...]
):
    said = json.loads(beffroi(*words, "--json").out)
    rows: list[dict[str, Any]] = said if isinstance(said, list) else [said]
    assert rows
    for row in rows:
        assert list(row) == [field.name for field in fields]


def test_fields_of_what_quickstart_leaves_empty():
    """Calls and recordings: their records have just these fields (the rows come in test_listening)."""
    from dataclasses import fields

    from server.commands import calls
    from server.services.calls import CallView
    from server.services.recordings import RecordingView, Verdict

    assert [field.name for field in calls.FIELDS] == [field.name for field in fields(CallView)]
    assert [field.name for field in recordings.FIELDS] == [field.name for field in fields(RecordingView)]
    assert [field.name for field in recordings.VERDICT_FIELDS] == [field.name for field in fields(Verdict)]


def test_the_page_is_what_the_program_says():
    assert (ROOT / "docs" / "cli.md").read_text() == markdown(), "python -m server.manual > docs/cli.md"


@pytest.mark.parametrize("words", [("account", "list"), ("account", "show", "alice"), ("doctor",), ("welcome",)])
def test_answers_fit_into_80_columns(beffroi: Callable[..., Ran], words: tuple[str, ...]):
    beffroi(
        "account", "add", "a-very-long-name-of-an-account-indeed", "1234567890123456789", "--display-name", "X" * 60
    )
    out = beffroi(*words).out
    heads = [line for line in out.splitlines() if ".pem" not in line]  # a path is for copying: never cut
    assert max(len(line) for line in heads) <= 80
