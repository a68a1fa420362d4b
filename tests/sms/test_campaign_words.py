"""The words of a campaign: fields of the list, who sends it, how to stop it, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sms.addresses import Number, SenderName, ShortCode
from sms.campaign_words import UnstoppableError, Words, parts_of, words_of
from sms.text.segments import PARTS_MAX, plan
from sms.text.templates import TemplateError, for_marketing

NAME = SenderName("Beffroi")


def words(text: str = "Bonjour {prénom}, soldes !", **more: Any) -> Words:
    said = {"message_class": "marketing", "identity": "Beffroi", "language": "fr", "sender": NAME,
            "stop_code": "36180", "country": "FR"}  # fmt: skip
    return words_of(text, ("Prénom", "N° 1"), **(said | more))


@pytest.mark.promise("1.4", "1.5")
def test_every_advertisement_says_who_sends_it_and_how_to_stop_it() -> None:
    assert words().text({"Prénom": "Zoé"}) == "Beffroi: Bonjour Zoé, soldes ! STOP au 36180"
    answered = words(sender=Number("+33162000000"), stop_code=None, language="en")
    assert answered.text({"prénom": "Zoé"}).endswith("Reply STOP to end")
    assert words(sender=ShortCode("36105", "FR"), stop_code=None).text({"prénom": "Zoé"}).endswith("refuser")
    with pytest.raises(UnstoppableError):
        words(stop_code=None)
    service = words(message_class="transactional", stop_code=None)
    assert service.text({"prénom": "{prénom}"}) == "Bonjour {prénom}, soldes !"


@pytest.mark.promise("1.4")
@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["Beffroi ", "soldes", " stop au 36180", "{prénom}", " {prénom}", "!", "\n"]), min_size=1),
    st.sampled_from(["Zoé", "STOP", "36180", "au stop 36180", "é"]),
)
def test_what_is_added_is_what_advertising_needs(pieces: list[str], value: str) -> None:
    text = "".join(pieces)
    if not text.strip():
        return
    try:
        expected = for_marketing(
            text.replace("{prénom}", value), identity="Beffroi", language="fr", stop_to=ShortCode("36180", "FR")
        )
    except TemplateError:  # STOP would go where nobody reads it
        with pytest.raises(TemplateError):
            words(text).text({"prénom": value})
        return
    said = words(text).text({"prénom": value})
    assert said == expected.text and "stop" in said.casefold() and "beffroi" in said.casefold()


def test_a_field_that_the_list_does_not_have_or_leaves_empty() -> None:
    with pytest.raises(TemplateError, match="no field"):
        words("Bonjour {nom}")
    with pytest.raises(TemplateError, match="has no value") as refused:
        words().text({"Prénom": " "})
    assert refused.value.name == "Prénom"


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.sampled_from("abc é€{}[]~^|\\ç😀\n'ê"), max_size=400).filter(lambda text: text.strip()), st.booleans()
)
def test_parts_are_those_of_the_plan(said: str, transliterated: bool) -> None:
    made = plan(said, transliterated=transliterated, limit=PARTS_MAX)
    assert parts_of(said, transliterated=transliterated) == (len(made.parts), made.coding)
