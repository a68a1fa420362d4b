"""`beffroi retention` and `beffroi hold` without a daemon: what people type, what they are told, what is logged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.services.context import open_services
from storage import call_records, ledger
from storage.call_records import CallRecord
from tests.server.conftest import Ran

pytestmark = [pytest.mark.promise("L3", "2.5", "2.19")]
NUMBER = "+33612345678"
ASKED = ("--requested-by", "court of Lille", "--approved-by", "durand", "--review", "2031-06-01")
WHY = ("--case", "A-17", "--reason", "claim of 3 November")


@pytest.fixture(autouse=True)
def _approver(beffroi: Callable[..., Ran]) -> None:
    assert beffroi("person", "add", "durand", "M. Durand", "--roles", "legal").status == 0


def fill(data: Path, *ages_days: int) -> list[str]:
    """Call records of class standard that expired so many days ago."""

    async def insert() -> list[str]:
        ids, now = [], datetime.now(UTC)
        async with open_services(data) as services, services.db.transaction() as tx:
            for n, days in enumerate(ages_days):
                ids.append(f"{n:032x}")
                gone = now - timedelta(days=days)
                record = CallRecord(ids[-1], None, "standard", "p", "GDPR 6(1)(f)", gone, gone, {}, None)
                await call_records.add(tx, record, {"caller": NUMBER})
        return ids

    return asyncio.run(insert())


def logged(data: Path) -> str:
    async def read() -> str:
        async with open_services(data) as services, services.db.read() as tx:
            entries = [entry.body for log in ("access", "erasure") for entry in await ledger.entries(tx, log)]
        return "\n".join(json.dumps(json.loads(body)) for body in entries)

    return asyncio.run(read())


def test_due_sweep_status(data: Path, beffroi: Callable[..., Ran]) -> None:
    fill(data, 1, 2, -3)
    assert beffroi("retention", "status").out.count("nothing was swept yet") == 1
    due = beffroi("retention", "due", "--json").json
    assert [(one["kind"], one["pack"], one["goes"]) for one in due] == [("call_record", "CDR_STANDARD", True)] * 2
    assert [one["call_record"] for one in beffroi("retention", "forecast", "--days", "5", "--json").json] == [2, 1]
    swept = beffroi("retention", "sweep", "--json").json
    assert swept["destroyed"] == swept["due"] == {"call_record": 2} and swept["problem"] == ""
    assert beffroi("retention", "due", "--json").json == []
    assert beffroi("retention", "status", "--json").json["destroyed"] == {"call_record": 2}
    text = logged(data)
    assert '"cause": "expiry"' in text and NUMBER[3:] not in text
    assert beffroi("ledger", "verify", "--json").json["sound"]


def test_a_hold_from_the_command_to_its_end(data: Path, beffroi: Callable[..., Ran]) -> None:
    fill(data, 1)
    laid = beffroi("hold", "add", "number", "06 12 34 56 78", *ASKED, *WHY, "--json").json
    assert (laid["scope"], laid["case"], laid["overdue"]) == ("number", "A-17", False)
    [listed] = beffroi("hold", "list", "--json").json
    assert listed["id"] == laid["id"] and "5678" not in listed["named"]
    assert beffroi("hold", "show", laid["id"][:6], "--reason", "review", "--json").json["named"] == NUMBER
    assert beffroi("retention", "sweep", "--json").json["held"] == {"call_record": 1}
    assert f"legal hold {laid['id']}" in beffroi("retention", "due", "--json").json[0]["rule"]
    assert "--reason" in beffroi("hold", "lift", laid["id"]).err
    assert beffroi("hold", "lift", laid["id"], "--reason", "judgment", "--json").json["lifted_at"]
    assert beffroi("hold", "lift", laid["id"], "--reason", "judgment").status == 1
    assert beffroi("hold", "list", "--json").json == [] and len(beffroi("hold", "list", "--all", "--json").json) == 1
    assert beffroi("retention", "sweep", "--json").json["destroyed"] == {"call_record": 1}
    text = logged(data)
    assert laid["id"] in text and "durand" not in text and "Lille" not in text and "12345678" not in text


def test_an_account_under_a_hold_is_not_removed(beffroi: Callable[..., Ran]) -> None:
    laid = beffroi("hold", "add", "account", "bob", *ASKED, *WHY, "--json").json
    refused = beffroi("account", "remove", "bob")
    assert refused.status == 1 and "legal hold" in refused.err
    assert "bob" in {one["name"] for one in beffroi("account", "list", "--json").json}
    beffroi("hold", "lift", laid["id"], "--reason", "judgment")
    assert beffroi("account", "remove", "bob").status == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("hold", "add", "number", "06 12 34 56 78", *ASKED), "--case"),
        (("hold", "add", "number", "hello", *ASKED, *WHY), "no telephone number"),
        (("hold", "add", "recording", "f" * 32, *ASKED, *WHY), "no recording"),
        (("hold", "add", "call", "f" * 32, *ASKED, *WHY), "no call"),
        (("hold", "add", "account", "nobody", *ASKED, *WHY), "no account"),
        (("hold", "add", "number", "101", *ASKED[:-1], "2020-01-01", *WHY), "does not lie ahead"),
        (("hold", "show", "abc"), "no hold"),
        (("retention", "forecast", "--days", "5000"), "at most 400"),
    ],
)
def test_what_cannot_be_done_is_said(beffroi: Callable[..., Ran], arguments: tuple[str, ...], said: str) -> None:
    ran = beffroi(*arguments)
    assert ran.status == 1 and said in ran.err and ran.out == ""


@pytest.mark.parametrize("arguments", [("hold", "add", "number", "1"), ("hold", "add", "x", "1", *ASKED),
                                       ("hold", "add", "number", "1", *ASKED[:-1], "soon")])  # fmt: skip
def test_misuse(beffroi: Callable[..., Ran], arguments: tuple[str, ...]) -> None:
    assert beffroi(*arguments).status == 2
