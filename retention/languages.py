"""Which language somebody is spoken to in."""

from __future__ import annotations

from collections.abc import Sequence

# Where French is what most callers speak, or one language among those that everybody in business speaks.
_FRENCH = frozenset(
    (  # noqa: SIM905
        "FR MC LU BE GP MQ GF RE YT PM BL MF NC PF WF BJ BF BI CD CF CG CI CM DJ DZ GA GN HT KM MA MG ML MR NE "
        "RW SN TD TG TN"
    ).split()
)
# More than one language: the country tells nothing.
_UNDECIDED = frozenset({"CH", "CA"})


def choose_language(asked: str | None, country: str | None, line: str | None, available: Sequence[str]) -> str:
    """The party's own language, else that of the country, else the line's, else the company's first.

    `available`: languages of the prompts, never empty; anything not in it is passed over.
    """
    by_country = None
    if country is not None and country not in _UNDECIDED:
        by_country = "fr" if country in _FRENCH else "en"
    for language in (asked, by_country, line):
        if language in available and language is not None:
            return language
    return available[0]
