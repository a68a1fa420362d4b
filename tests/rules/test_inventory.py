"""The data map is whole: a table, a column or a kind of file that nobody has declared is found here."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.kept import Kept
from config.paths import Paths
from config.places import PLACES, place_of
from server.operation_rules import RIGHTS
from server.services.erasure import KINDS as ORDERED
from server.services.register import SEEN_BY, SEEN_BY_NOBODY
from server.sweeper import KINDS as SWEPT
from storage import kept_about
from storage.inventory import SORTS, TABLES
from storage.tables import metadata

pytestmark = pytest.mark.promise("L10", "3.11")
ERASABLE = {*SWEPT, *ORDERED}


def test_every_table_and_every_column_is_declared() -> None:
    declared = {name: set(one.columns) for name, one in TABLES.items()}
    there = {name: set(table.columns.keys()) for name, table in metadata.tables.items()}
    assert declared == there


def test_of_every_table_about_people_it_is_told_who_sees_it_or_why_nobody_does() -> None:
    """None is told to be seen by nobody because it was forgotten."""
    about_people = {name for name, one in TABLES.items() if one.kept.personal}
    assert set(SEEN_BY) | set(SEEN_BY_NOBODY) == about_people | {"vault"}
    assert not set(SEEN_BY) & set(SEEN_BY_NOBODY)
    assert set(SEEN_BY.values()) <= RIGHTS and all(SEEN_BY_NOBODY.values())


def test_every_column_is_of_a_known_sort_and_what_is_called_sealed_is_named_so() -> None:
    for name, one in TABLES.items():
        assert set(one.columns.values()) <= set(SORTS), name
        assert {c for c in one.columns if c.endswith("_sealed")} <= {
            c for c, sort in one.columns.items() if sort == "sealed"
        }, name


def test_what_holds_a_name_a_seal_or_a_digest_is_about_somebody_or_says_what_it_is() -> None:
    """Tables of the company itself: keys, providers, facts about the database."""
    company = {"meta", "trunks", "contact_keys"}
    nobody = {
        name
        for name, one in TABLES.items()
        if not one.kept.personal and {"name", "sealed", "digest"} & set(one.columns.values())
    }
    assert nobody == company


@pytest.mark.parametrize("kept", [*(one.kept for one in TABLES.values()), *(place.kept for place in PLACES)],
                         ids=lambda kept: kept.where)  # fmt: skip
def test_what_is_personal_has_purpose_expiry_and_a_way_to_go(kept: Kept) -> None:
    assert kept.flaw() == ""
    assert set(kept.erased_by) <= ERASABLE
    for word in kept.expiry.replace(";", " ").replace(",", " ").split():
        table, dot, column = word.partition(".")
        if dot and table in metadata.tables:
            assert column in metadata.tables[table].columns, word


def test_what_is_missing_is_noticed() -> None:
    assert Kept("x", "").flaw() and Kept("x", "y", "staff").flaw()
    assert "nothing erases" in Kept("x", "y", "staff", "p", "b", "e").flaw()
    assert Kept("x", "y", "staff", "p", "b", "e", unless="because").flaw() == "" == Kept("x", "y").flaw()


def test_every_place_that_the_product_names_is_known() -> None:
    paths = Paths(Path("/data"))
    files = [
        getattr(paths, name)
        for name, member in vars(Paths).items()
        if isinstance(member, property) and name not in ("keys", "tls", "vault", "prompts", "custom_prompts", "run")
    ]
    assert len(files) > 12
    assert [str(path) for path in files if place_of(str(path.relative_to("/data"))) is None] == []
    assert place_of(str(paths.recording("ab" * 16).relative_to("/data"))) is not None


@pytest.mark.parametrize(
    "path", ["vault/Mr Dubois.rec", "vault/ab/cd/call.wav", "export.ogg", "keys/backup/field.key", "prompts/x.wav",
             "beffroi.sqlite3.bak", "vault/ab/cd/" + "g" * 32 + ".rec", "run/core"],
)  # fmt: skip
def test_what_nobody_makes_is_unknown(path: str) -> None:
    assert place_of(path) is None


@pytest.mark.parametrize("path", ["prompts/.x3y.part", "keys/.field.key.0a1b", "run/.control.secret.ab12",
                                  "run/" + "a" * 32 + ".wav", "prompts/.hold-music-1.wav.77"])  # fmt: skip
def test_what_is_only_passing_through_is_known_as_that(path: str) -> None:
    place = place_of(path)
    assert place is not None and place.passing


# Columns with the id of a person, of an account or of a login, by their names.
LEADS = {"person_id", "account_id", "author_id", "actor_id", "reader_id", "login_id", "owner", "assigned_to"}
LEADS |= {"granted_by", "decided_by", "judged_by", "entered_by", "withdrawn_by", "approved_by", "created_by"}
LEADS |= {"handled_by", "closed_by"}


@pytest.mark.promise("2.14", "L5")
def test_a_person_is_told_of_every_table_or_it_is_said_why_not() -> None:
    """The page "What is kept about me" (`storage.kept_about`) forgets none that the data map knows."""
    personal = {name for name, one in TABLES.items() if one.kept.personal}
    told = [*kept_about.FOUND, *kept_about.COUNTED, *kept_about.LEFT_OUT]
    assert sorted(told) == sorted(set(told)) and set(told) == personal
    assert all(len(why.split()) > 2 for why in (*kept_about.COUNTED.values(), *kept_about.LEFT_OUT.values()))


@pytest.mark.promise("2.14", "L5")
@pytest.mark.parametrize("name", sorted(kept_about.FOUND))
def test_every_column_that_leads_to_a_person_is_followed(name: str) -> None:
    by, columns = kept_about.FOUND[name], metadata.tables[name].columns
    followed = {*by.person.split(), *by.account.split(), *by.owner.split(), *by.login.split()}
    assert followed and {*followed, *filter(None, (by.at, by.once))} <= set(columns.keys())
    assert LEADS & set(columns.keys()) <= followed
