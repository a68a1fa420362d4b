"""The languages of the portal. English is what the sources say; the others are catalogues, read when first needed."""

from __future__ import annotations

import functools
import gettext
import io
from collections.abc import Collection
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = ("en", "fr")
NAMES = {"en": "English", "fr": "Français"}
CATALOGUES = Path(__file__).with_name("catalogues")


def N_(text: str) -> str:
    """Marks a text that is translated where it is shown."""
    return text


@functools.cache
def translations(language: str) -> gettext.NullTranslations:
    """Of all catalogues of a language, one for each room: catalogues/<language>/*.po."""
    if language == "en":
        return gettext.NullTranslations()
    everything = Catalog(locale=language)
    for path in sorted((CATALOGUES / language).glob("*.po")):
        with path.open("rb") as file:
            catalogue = read_po(file, locale=language)
        everything.mime_headers = catalogue.mime_headers  # the forms of the plural, which Babel thinks to be others
        for message in catalogue:
            if message.id:
                everything[message.id] = message
    compiled = io.BytesIO()
    write_mo(compiled, everything)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def chosen(said: str, fallback: Collection[str] = LANGUAGES) -> str:
    """The best of Accept-Language (RFC 9110 section 12.5.4); without one that we speak, the first of `fallback`."""
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(said[:500].split(",")):
        tag, _, weight = part.strip().partition(";")
        language = tag.strip().lower().split("-")[0]
        if language in LANGUAGES:
            wanted.append((-_weight(weight), place, language))
    best = min(wanted, default=(0.0, 0, ""))
    if best[0] < 0:
        return best[2]
    return next((one for one in fallback if one in LANGUAGES), LANGUAGES[0])


def _weight(text: str) -> float:
    name, _, value = text.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
