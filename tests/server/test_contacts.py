"""Permission to contact by hand: lines that canvass, the check, consents, contracts, the list of objections."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from server.commands import contact_fields as shown
from server.commands import lines as line_commands
from server.services.consents import ConsentView
from server.services.contact_check import CheckView
from server.services.contracts import ContractView
from server.services.lines import LineView
from server.services.suppressions import ImportView, SuppressionView
from tests.server.conftest import Ran

DORIS, OTHER = "+33142123456", "+33142123457"
LINE = "+33162000000"
CONSENT = ("--act", "checkbox", "--collector", "Shop of Lyon", "--source", "form 12", "--text-id", "offers",
           "--text-version", "2", "--text-sha256", "ab" * 32, "--given-at", "2026-09-01T10:00")  # fmt: skip
Beffroi = Callable[..., Ran]


@pytest.fixture
def sales(beffroi: Beffroi) -> Beffroi:
    """A line that canvasses, with a number of its own."""
    assert beffroi("line", "add", "sales", "300", "--members", "alice").status == 0
    assert beffroi("line", "set", "sales", "--canvassing", "telecom", "--target", "consumer").status == 0
    assert beffroi("number", "add", LINE, "--line", "sales").status == 0
    return beffroi


def check(beffroi: Beffroi, at: str, number: str = DORIS, *more: str) -> Any:
    return beffroi("contact", "check", number, "--line", "sales", "--at", at, "--json", *more).json


def entries(beffroi: Beffroi) -> str:
    return json.dumps(beffroi("ledger", "show", "consent", "--json", "--reason", "a look").json)


@pytest.mark.parametrize(
    ("documented", "record"),
    [
        (shown.CHECK_FIELDS, CheckView),
        (shown.CONSENT_FIELDS, ConsentView),
        (shown.CONTRACT_FIELDS, ContractView),
        (shown.SUPPRESSION_FIELDS, SuppressionView),
        (shown.IMPORT_FIELDS, ImportView),
        (line_commands.FIELDS, LineView),
    ],
)
def test_records_hold_just_the_documented_fields(documented: Any, record: Any) -> None:
    assert {field.name for field in documented} == {field.name for field in fields(record)}


def test_a_line_is_made_one_that_canvasses(beffroi: Beffroi) -> None:
    beffroi("line", "add", "sales", "300", "--members", "alice")
    wrong = beffroi("line", "set", "sales", "--canvassing", "energy")
    assert wrong.status == 1 and "energy_renovation" in wrong.err, "a mistyped sector would slip past its ban"
    line = beffroi("line", "set", "sales", "--canvassing", "telecom", "--json").json
    assert (line["canvassing"], line["canvassing_target"]) == ("telecom", "ask")
    assert "no number leads to this line" in line["warning"]
    refused = beffroi("line", "set", "sales", "--pack", "REC_CONTRACT")
    assert refused.status == 1 and "does not record canvassing calls" in refused.err
    line = beffroi("line", "set", "sales", "--canvassing", "off", "--json").json
    assert (line["canvassing"], line["canvassing_target"], line["warning"]) == (None, None, None)
    assert beffroi("line", "set", "sales", "--target", "consumer").status == 2
    ordinary = beffroi("contact", "check", DORIS, "--line", "sales")
    assert ordinary.status == 1 and "canvasses nobody" in ordinary.err


@pytest.mark.promise("L4", "2.16")
def test_the_check_says_yes_or_no_by_which_rule_and_when_again(sales: Beffroi) -> None:
    no = check(sales, "2026-11-24T11:00")
    assert (no["allowed"], no["ground"], no["rule"], no["again_at"]) == (False, "no_consent", "FR.consumers", None)
    assert "L223-1" in no["basis"] and no["zones"] == ["Europe/Paris"] and no["holidays"] == ["FR"]
    assert no["number"] == "+33•••••••56"
    made = sales("contact", "consent", "add", DORIS, "--line", "sales", *CONSENT, "--json").json
    yes = check(sales, "2026-11-24T11:00")
    assert (yes["allowed"], yes["evidence"]) == (True, made["id"]) and yes["at"] == "2026-11-24T10:00:00Z"
    night = check(sales, "2026-11-24T21:00")
    assert (night["ground"], night["rule"], night["again_at"]) == ("hours", "FR.hours", "2026-11-25T09:00:00Z")
    assert check(sales, "2027-07-14T11:00")["again_at"] == "2027-07-15T08:00:00Z"
    assert check(sales, "2026-11-24T21:00+01:00")["ground"] == "hours"
    assert check(sales, "2026-11-24T11:00", DORIS, "--reason", "a complaint")["number"] == DORIS
    for wrong in (("contact", "check", "123", "--line", "sales"), ("contact", "check", DORIS, "--line", "nobody"),
                  ("contact", "check", DORIS, "--line", "sales", "--at", "noon")):  # fmt: skip
        assert sales(*wrong).status == 1


@pytest.mark.promise("1.2", "2.15", "1.3")
def test_consent_is_given_with_its_proof_and_taken_back_in_one_step(sales: Beffroi, tmp_path: Path) -> None:
    words = tmp_path / "offers.txt"
    words.write_text("J'accepte d'être appelé.")
    asked = [part for part in CONSENT if part not in ("--text-sha256", "ab" * 32)]
    made = sales("contact", "consent", "add", DORIS, "--purpose", "telecom", *asked, "--text-file", str(words),
                 "--language", "fr", "--json").json  # fmt: skip
    assert made["text_sha256"] == hashlib.sha256(words.read_bytes()).hexdigest()
    assert (made["state"], made["purpose"], made["channel"]) == ("given", "telecom", "voice")
    assert made["expires_at"] == "2029-09-01T08:00:00Z" and made["kept_until"] == "2034-09-01T08:00:00Z"
    assert made["number"] == "+33•••••••56" and made["source"] is None
    clear = sales("contact", "consent", "show", made["id"][:12], "--json", "--reason", "a complaint").json
    assert (clear["number"], clear["collector"], clear["source"]) == (DORIS, "Shop of Lyon", "form 12")
    assert [one["id"] for one in sales("contact", "consent", "list", "--number", DORIS, "--json").json] == [made["id"]]
    assert check(sales, "2026-11-24T11:00")["allowed"]

    [back] = sales("contact", "consent", "withdraw", DORIS, "--by", "letter", "--json").json
    assert (back["state"], back["withdrawn_by"]) == ("withdrawn", "letter")
    assert check(sales, "2030-11-25T11:00")["ground"] == "no_consent"
    again = sales("contact", "consent", "withdraw", DORIS)
    assert again.status == 1 and "suppress add" in again.err
    log = entries(sales)
    assert '"act": "given"' in log and '"act": "withdrawn"' in log and DORIS[1:] not in log and "Lyon" not in log
    for wrong in (
        ("--purpose", "telecom", *CONSENT, "--given-at", "2999-01-01"),
        ("--purpose", "soap", *CONSENT),
        ("--purpose", "telecom", *CONSENT, "--expires-at", "2020-01-01"),
        CONSENT,
        ("--purpose", "telecom", "--line", "sales", *CONSENT),
    ):
        assert sales("contact", "consent", "add", DORIS, *wrong).status in (1, 2)
    assert len(sales("contact", "consent", "list", "--json").json) == 1


def test_a_contract_is_entered_and_ended(sales: Beffroi) -> None:
    made = sales("contact", "contract", "add", DORIS, "--line", "sales", "--ref", "C-4711", "--since", "2026-09-01",
                 "--json").json  # fmt: skip
    assert (made["kind"], made["running"], made["reference"], made["until"]) == (
        "contract", True, None, "2031-09-01T00:00:00Z",
    )  # fmt: skip
    assert check(sales, "2026-11-24T11:00")["evidence"] == made["id"]
    assert sales("contact", "contract", "list", "--json", "--reason", "a look").json[0]["reference"] == "C-4711"
    ended = sales("contact", "contract", "end", made["id"], "--json").json
    assert not ended["running"]
    assert check(sales, "2030-11-25T11:00")["ground"] == "no_consent"
    sales("line", "set", "sales", "--target", "ask")
    firm = sales("contact", "contract", "add", DORIS, "--professional", "--ref", "SIREN 732829320", "--json").json
    assert firm["purpose"] is None
    assert check(sales, "2030-11-25T11:00")["evidence"] == firm["id"]
    assert sales("contact", "contract", "add", DORIS, "--professional", "--line", "sales", "--ref", "x").status == 2
    assert sales("contact", "contract", "add", DORIS, "--professional", "--customer", "--ref", "x").status == 2
    long = ("--until", "2050-01-01")
    assert sales("contact", "contract", "add", DORIS, "--line", "sales", "--ref", "x", *long).status == 1


@pytest.mark.promise("1.1")
def test_a_customer_may_be_texted_and_not_called(sales: Beffroi) -> None:
    sales("line", "set", "sales", "--target", "consumer")
    made = sales("contact", "contract", "add", DORIS, "--customer", "--line", "sales", "--ref", "order 12",
                 "--since", "2026-09-01", "--json").json  # fmt: skip
    assert (made["kind"], made["until"], made["purpose"]) == ("customer", "2029-09-01T00:00:00Z", "telecom")
    assert check(sales, "2026-11-24T11:00")["ground"] == "no_consent"
    assert check(sales, "2026-11-24T11:00", DORIS, "--channel", "sms")["evidence"] == made["id"]
    long = ("--since", "2026-09-01", "--until", "2029-09-02")
    assert sales("contact", "contract", "add", DORIS, "--customer", "--line", "sales", "--ref", "x", *long).status == 1


@pytest.mark.promise("2.7", "2.15", "L4")
def test_an_objection_holds_at_once_and_is_lifted_for_a_reason_only(sales: Beffroi) -> None:
    sales("contact", "consent", "add", DORIS, "--line", "sales", *CONSENT)
    made = sales("contact", "suppress", "add", DORIS, "--source", "letter", "--json").json
    assert (made["channel"], made["reason"], made["source"], made["until"]) == ("all", "objection", "letter", None)
    no = check(sales, "2030-11-25T11:00")
    assert (no["ground"], no["again_at"]) == ("suppressed", None)
    warned = sales("contact", "consent", "add", DORIS, "--line", "sales", *CONSENT, "--json").json["warning"]
    assert "suppression list" in warned
    assert sales("contact", "suppress", "remove", DORIS).status == 1
    assert sales("contact", "suppress", "remove", OTHER, "--reason", "he asked").status == 1
    assert len(sales("contact", "suppress", "remove", DORIS, "--reason", "she asked", "--json").json) == 1
    assert sales("contact", "suppress", "list", "--json").json == []
    refused = sales("contact", "suppress", "add", DORIS, "--because", "refusal", "--channel", "voice", "--json").json
    assert sales("contact", "suppress", "list", "--number", DORIS, "--json").json == [refused]
    assert check(sales, "2028-11-24T11:00")["ground"] == "refused"
    assert len(sales("contact", "suppress", "remove", refused["id"], "--reason", "a mistake", "--json").json) == 1


@pytest.mark.promise("2.7")
def test_a_list_is_imported_whole_or_not_at_all(sales: Beffroi, tmp_path: Path) -> None:
    file = tmp_path / "bloctel.csv"
    file.write_text(
        f"téléphone;nom\n{DORIS};Doris\n\n# a remark\n01 42 12 34 57;Otto\nnot a number;Nemo\n{DORIS};Doris\n"
    )
    refused = sales("contact", "suppress", "import", str(file))
    assert refused.status == 1 and "6" in refused.err and "international" not in refused.out
    assert "--partial" in refused.err and "Nemo" not in refused.err and "not a number" not in refused.err
    assert sales("contact", "suppress", "list", "--json").json == []
    done = sales("contact", "suppress", "import", str(file), "--partial", "--json")
    assert (done.json["added"], done.json["known"], done.json["wrong"]) == (2, 1, 1)
    assert done.json["errors"][0]["line"] == 6 and done.json["errors"][0]["remedy"]
    again = sales("contact", "suppress", "import", str(file), "--partial", "--json").json
    assert (again["added"], again["known"]) == (0, 3)
    assert check(sales, "2026-11-24T11:00", OTHER)["ground"] == "no_consent", "the list begins when it was imported"
    assert check(sales, "2030-11-25T11:00", OTHER)["ground"] == "suppressed"
    column = tmp_path / "second.csv"
    column.write_text("Anna,+33142123460\nBen,+33142123461\n")
    two = sales("contact", "suppress", "import", str(column), "--column", "2", "--channel", "sms", "--json").json
    assert two == {"added": 2, "known": 0, "wrong": 0, "errors": []}
    assert sales("contact", "suppress", "import", str(tmp_path / "nothing")).status == 1
    for body, said in ((b"", "no lines"), (b"PK\x03\x04", "spreadsheet"), (b"1\n2," + b"x" * 200_000, "no CSV")):
        column.write_bytes(body)
        none = sales("contact", "suppress", "import", str(column))
        assert none.status == 1 and said in none.err, none.err


@pytest.mark.promise("0.1")
def test_no_number_or_name_of_a_list_is_written_in_clear(sales: Beffroi, data: Path, tmp_path: Path) -> None:
    sales("contact", "consent", "add", DORIS, "--line", "sales", *CONSENT)
    sales("contact", "suppress", "add", OTHER)
    sales("contact", "check", DORIS, "--line", "sales", "--reason", "a look")
    for path in data.rglob("*"):
        if path.is_file() and path.stat().st_size < 50_000_000:
            content = path.read_bytes()
            assert DORIS[1:].encode() not in content and OTHER[1:].encode() not in content, path
            assert b"Shop of Lyon" not in content, path
