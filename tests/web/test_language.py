"""Every text of the portal has its French, and both say the same things with the same values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po

from server.web.language import CATALOGUES, chosen, translations
from server.web.times import Times, home_zone

WEB = CATALOGUES.parent
FRENCH = CATALOGUES / "fr"
KEYWORDS = {"_": None, "N_": None, "plural": (1, 2), "ngettext": (1, 2), "gettext": None}
PLACE = re.compile(r"%\((\w+)\)s")

Id = str | tuple[str, ...]


def used() -> Iterator[tuple[str, Id]]:
    """(file, msgid) of every text in templates and handlers."""
    for path in sorted(WEB.rglob("*")):
        method = {".py": "python", ".html": "jinja2.ext:babel_extract"}.get(path.suffix)
        if method is None:
            continue
        with path.open("rb") as file:
            options = {"trimmed": "true", "silent": "false", "extensions": "jinja2.ext.do"}
            for _, msgid, _, _ in extract(method, file, KEYWORDS, (), options):
                yield path.name, msgid


def messages() -> Iterator[tuple[Path, Message]]:
    for path in sorted(FRENCH.glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale="fr"):
                if message.id:
                    yield path, message


def test_every_text_has_its_french() -> None:
    known = {message.id for _, message in messages() if message.string and not message.fuzzy}
    singular = {one[0] if isinstance(one, tuple) else one for one in known}
    missing = {
        (file, msgid)
        for file, msgid in used()
        if msgid not in known and not (isinstance(msgid, str) and msgid in singular)
    }
    assert missing == set()


def test_what_is_counted_has_its_plural() -> None:
    counted = [message for _, message in messages() if isinstance(message.id, tuple)]
    assert counted
    for message in counted:
        one, many = message.id
        said = [translations("fr").ngettext(one, many, number) for number in (0, 1, 2, 5, 1_000_000)]
        assert said == [message.string[0], message.string[0], *[message.string[1]] * 3]


def test_a_translation_uses_the_values_of_its_text() -> None:
    for path, message in messages():
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(set(PLACE.findall(one)) <= set(PLACE.findall(" ".join(ids))) for one in strings), (path, ids)


def test_no_text_stands_in_two_catalogues_with_two_translations() -> None:
    seen: dict[Id, tuple[Path, object]] = {}
    for path, message in messages():
        if message.id in seen and seen[message.id][1] != message.string:
            pytest.fail(f"{message.id!r}: {path.name} and {seen[message.id][0].name} differ")
        seen[message.id] = (path, message.string)


@pytest.mark.parametrize(
    ("said", "language"),
    [
        ("fr", "fr"),
        ("en-GB,en;q=0.9,fr;q=0.8", "en"),
        ("de, fr-CA;q=0.5", "fr"),
        ("de", "fr"),
        ("", "fr"),
        ("en;q=0, fr;q=0.1", "fr"),
        ("en;q=x", "fr"),
    ],
)
def test_the_language_is_the_browsers(said: str, language: str) -> None:
    assert chosen(said, ("fr", "en")) == language


def test_french_is_read_from_all_catalogues() -> None:
    assert translations("fr").gettext("Sign out") == "Se déconnecter"
    assert translations("en").gettext("Sign out") == "Sign out"


@pytest.mark.parametrize(("num", "said"), [(0, "0 an"), (1, "1 an"), (2, "2 ans"), (1_000_000, "1000000 ans")])
def test_french_has_two_forms_for_one_and_many(num: int, said: str) -> None:
    assert translations("fr").ngettext("%(num)s year", "%(num)s years", num) % {"num": num} == said


def test_moments_stand_in_the_zone_of_the_person() -> None:
    french, english = Times("fr", "Europe/Paris"), Times("en", "UTC")
    at = "2026-06-30T22:30:00+00:00"
    assert french.moment(at) == "1 juil. 2026, 00:30"
    assert english.moment(at) == "30 Jun 2026, 22:30"
    assert french.machine(at) == english.machine(at) == "2026-06-30T22:30:00Z"
    assert english.day("2026-06-30") == "30 Jun 2026"
    assert home_zone("FR") == "Europe/Paris"


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "–"), (0, "0:00"), (67.9, "1:07"), (3753, "1:02:33"), (90000, "25:00:00")]
)
def test_how_long_a_call_was(seconds: float | None, said: str) -> None:
    assert Times("en", "UTC").lasted(seconds) == said


@pytest.mark.parametrize(
    ("octets", "english", "french"),
    [(0, "0 B", "0 o"), (999, "999 B", "999 o"), (1500, "1.5 kB", "1,5 ko"), (2.5e14, "250 TB", "250 To")],
)
def test_sizes(octets: float, english: str, french: str) -> None:
    assert Times("en", "UTC").size(octets) == english
    assert Times("fr", "UTC").size(octets) == french
