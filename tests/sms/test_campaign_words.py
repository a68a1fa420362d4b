"""Templates of campaigns, the way to stop, and what it costs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sms.addresses import Number, SenderName, ShortCode
from sms.campaign_words import (
    TemplateError,
    UnstoppableError,
    missing,
    parts_of,
    stop_mention,
    template,
    with_mention,
)
from sms.text.segments import PARTS_MAX, plan


@pytest.mark.promise("P22")
def test_fields_are_filled_in_and_values_are_data() -> None:
    made = template("Bonjour { Prénom }, {{ok}} {MONTANT} €", ("prénom", "Montant", "Autre"))
    assert made.fields == {"prénom", "montant"}
    assert made.filled({"Prénom": "{Montant}", "montant": "12,50"}) == "Bonjour {Montant}, {ok} 12,50 €"
    assert missing(made.fields, {"Prénom": "", "Montant": "1"}) == ["prénom"]
    assert template("no fields at all", ()).filled({}) == "no fields at all"


@pytest.mark.parametrize(
    ("text", "said", "place"),
    [("Hello {nom}", "does not have", 7), ("a } b", "stands alone", 3), ("a {b", "stands alone", 3),
     ("  ", "nothing", 1), ("x" * 2001, "more than", 2001), ("{}", "does not have", 1)],
)  # fmt: skip
def test_a_template_that_is_wrong_says_where(text: str, said: str, place: int) -> None:
    with pytest.raises(TemplateError, match=said) as refused:
        template(text, ("name",))
    assert refused.value.place == place


@pytest.mark.promise("1.4")
def test_every_advertisement_says_how_to_stop_it_once() -> None:
    assert stop_mention(SenderName("Beffroi"), "36180", "fr") == "STOP au 36180"
    assert stop_mention(ShortCode("36105", "FR"), None, "en-GB") == "STOP to 36105"
    assert "STOP" in stop_mention(Number("+33162000000"), None, "fr")
    with pytest.raises(UnstoppableError):
        stop_mention(SenderName("Beffroi"), None, "fr")
    assert with_mention("Soldes ! ", "STOP au 36180") == "Soldes ! STOP au 36180"
    assert with_mention("Soldes ! stop  au 36180", "STOP au 36180") == "Soldes ! stop  au 36180"
    assert with_mention("Code ok", "") == "Code ok"


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from("abc é€{}[]~^|\\ç😀\n'ê"), max_size=400).filter(lambda text: text.strip()))
def test_parts_are_those_of_the_plan(words: str) -> None:
    made = plan(words, limit=PARTS_MAX)
    assert parts_of(words) == (len(made.parts), made.coding)
