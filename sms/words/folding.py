"""Texts as they are compared: without accents, capitals, signs and the disguises of letters."""

from __future__ import annotations

import re
import unicodedata

MOST = 2000  # characters that are read: longer than thirteen messages nobody writes by hand
# Letters of other alphabets and signs that pass for Latin ones.
_LOOKS_LIKE = str.maketrans("ѕтоарсеіхуκορα", "stoapceixykopa")
_SIGNS = str.maketrans("0135$@4", "oiessaa")
_SPELT_OUT = re.compile(r"\b(\w)(?:[ ._*-]+(\w)\b){2,11}(?!\w)")
_BREAKS = re.compile(r"[.!?;:,\n()\[\]|…]+|(?<!\w)[-–—]+(?!\w)")
_LINK = re.compile(r"(?:https?://|www\.)\S+|\b[\w-]+\.(?:fr|com|net|org|io|be|ch|eu|co|uk|de|es|it|nl)(?:/\S*)?\b")
_DRAWN_OUT = re.compile(r"([a-z])\1{2,}")
_NO_WORD = re.compile(r"[^\w$@]+|_")


def folded(text: str) -> str:
    """Small letters without accents; signs stand as they stood, links are left out. At most MOST characters."""
    text = unicodedata.normalize("NFKD", text[:MOST]).casefold()
    text = "".join(c for c in text if not unicodedata.combining(c) and c not in "\u200b\u200c\u200d\ufeff\u00ad")
    text = (
        _LINK.sub(" ", text)
        .replace("🛑", " stop ")
        .replace("œ", "oe")
        .replace("æ", "ae")
        .replace("’", "'")
        .replace("đ", "d")
    )
    return _SPELT_OUT.sub(_joined, text.translate(_LOOKS_LIKE))


def words(text: str) -> str:
    """The words of a folded text with one space between them; letters that are drawn out stand once."""
    read = map(_letters, _NO_WORD.sub(" ", _DRAWN_OUT.sub(r"\1", text)).split())
    return " ".join(" ".join(read).replace("$", " ").replace("@", " ").split())


def clauses(text: str) -> list[str]:
    """The words of each clause of a folded text; empty ones are left out."""
    return [found for part in _BREAKS.split(text) if (found := words(part))]


def near(word: str, other: str) -> bool:
    """Whether one slip of the finger lies between them: a letter too many, too few, another one, or two swapped."""
    if abs(len(word) - len(other)) > 1 or word == other:
        return word == other
    if len(word) == len(other):
        differ = [place for place, (a, b) in enumerate(zip(word, other, strict=True)) if a != b]
        if len(differ) == 1:
            return True
        first, last = differ[0], differ[-1]
        return len(differ) == 2 and last == first + 1 and word[first] == other[last] and word[last] == other[first]
    short, long = sorted((word, other), key=len)
    return any(long[:place] + long[place + 1 :] == short for place in range(len(long)))


def _joined(match: re.Match[str]) -> str:
    """S.T.O.P. is one word; so are the letters of `s v p`."""
    return re.sub(r"\W|_", "", match.group())


def _letters(word: str) -> str:
    """st0p and $top are stop; 2e, 18h and 4G stay what they are."""
    if word.isalpha() or word.isdigit():
        return word
    letters = sum(c.isalpha() for c in word)
    return word.translate(_SIGNS) if letters > len(word) // 2 else word
