"""What is said about a call is there in both languages, for just the verdicts that can be reached."""

import copy
from typing import Any

import pytest

from config import verdicts
from config.shipped import DataError, read
from sip.calls.diagnosis import ORDER


@pytest.mark.promise("P15")
def test_each_verdict_has_its_words_and_no_words_are_left_over() -> None:
    assert set(verdicts.load().verdicts) == set(ORDER) and len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_text_can_be_filled_in(language: str) -> None:
    texts = verdicts.load()
    for name in ORDER:
        values = {"percent": 3, "seconds": 4, "ms": 5, "code": 503}
        said = texts.says(name, language, values, "b0")
        assert "{" not in said and "?" not in said and said[0] == said[0].upper(), name
        assert texts.remedy(name, language).endswith(".")


def test_legs_are_named_by_their_part_in_the_call() -> None:
    texts = verdicts.load()
    assert texts.leg("a", "en") == "the caller's telephone"
    assert texts.leg("b1", "fr") == "le téléphone de l'appelé"
    assert texts.leg("b1", "en", trunk=True) == "the provider"
    assert texts.leg("z9", "en") == "the called telephone"
    assert texts.says("no-packets", "en", {}, "a").startswith("No audio packet arrived: the caller's telephone sends")


def broken(**keys: Any) -> dict[str, Any]:
    data = copy.deepcopy(read("verdicts.toml"))
    data["verdict"]["good"].update(keys)
    return data


@pytest.mark.parametrize(
    "keys",
    [{"kind": "nice"}, {"fr": ""}, {"en": "{name}"}, {"fr": "{leg}"}, {"de": "gut"}],
    ids=lambda k: next(iter(k)),
)
def test_a_mistake_in_the_texts_is_found(keys: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"verdicts\.good"):
        verdicts.build(broken(**keys))
