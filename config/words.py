"""Numbers and periods in words, so that a voice says them as people do."""

from __future__ import annotations

from config.periods import Period

_FR = (  # noqa: SIM905
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
    "dix-huit dix-neuf"
).split()
_FR_TENS = {2: "vingt", 3: "trente", 4: "quarante", 5: "cinquante", 6: "soixante", 8: "quatre-vingt"}
_EN = (  # noqa: SIM905
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_EN_TENS = {2: "twenty", 3: "thirty", 4: "forty", 5: "fifty", 6: "sixty", 7: "seventy", 8: "eighty", 9: "ninety"}
_UNITS = {
    "fr": {"Y": ("an", "ans"), "M": ("mois", "mois"), "D": ("jour", "jours"), "h": ("heure", "heures"),
           "m": ("minute", "minutes"), "s": ("seconde", "secondes")},
    "en": {"Y": ("year", "years"), "M": ("month", "months"), "D": ("day", "days"), "h": ("hour", "hours"),
           "m": ("minute", "minutes"), "s": ("second", "seconds")},
}  # fmt: skip
_FEMININE = {"h", "m", "s"}
_AND = {"fr": " et ", "en": " and "}


def number(value: int, language: str) -> str:
    """A number from 0 to 999 in words; larger ones stay digits. Raises KeyError for the language."""
    return {"fr": _french, "en": _english}[language](value) if 0 <= value <= 999 else str(value)


def _french(value: int) -> str:
    if value < 20:
        return _FR[value]
    if value >= 100:
        hundreds, rest = divmod(value, 100)
        head = "cent" if hundreds == 1 else f"{_FR[hundreds]} cent" + ("" if rest else "s")
        return f"{head} {_french(rest)}" if rest else head
    tens, unit = divmod(value, 10)
    if tens in (7, 9):
        tens, unit = tens - 1, unit + 10
    head = _FR_TENS[tens]
    if unit == 0:
        return head + ("s" if tens == 8 else "")
    if unit in (1, 11) and tens != 8:
        return f"{head} et {_FR[unit]}"
    return f"{head}-{_FR[unit]}"


def _english(value: int) -> str:
    if value < 20:
        return _EN[value]
    if value >= 100:
        hundreds, rest = divmod(value, 100)
        return f"{_EN[hundreds]} hundred" + (f" and {_english(rest)}" if rest else "")
    tens, unit = divmod(value, 10)
    return _EN_TENS[tens] + (f"-{_EN[unit]}" if unit else "")


def period(value: Period, language: str) -> str:
    """`six mois`, `two years`, `thirty days`; an empty period is said as nought days."""
    years, months = divmod(value.months, 12)
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    counts = {"Y": years, "M": months, "D": value.days, "h": hours, "m": minutes, "s": seconds}
    said = [_counted(count, unit, language) for unit, count in counts.items() if count]
    if not said:
        said = [_counted(0, "D", language)]
    return said[0] if len(said) == 1 else ", ".join(said[:-1]) + _AND[language] + said[-1]


def _counted(count: int, unit: str, language: str) -> str:
    singular, plural = _UNITS[language][unit]
    words = number(count, language)
    if language == "fr" and unit in _FEMININE and words.endswith("un"):
        words += "e"
    one = count in (0, 1) if language == "fr" else count == 1
    return f"{words} {singular if one else plural}"
