"""Templates: strict fields, values that stay data, and what marketing has to say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.addresses import Number, ShortCode
from sms.text import templates
from sms.text.segments import plan
from sms.text.templates import Field, TemplateError, for_marketing, mention, parse
from sms.words import stop

FIRST = Field("prénom")
PLACE = Field("magasin", default="votre magasin")
CODE = Field("code", one_time=True, most=8)
CODE_36 = ShortCode("36180", "FR")


def test_fields_are_filled_in_and_braces_written_twice_are_braces():
    template = parse("Bonjour { Prénom }, {{-20 %}} chez {magasin}.", [FIRST, PLACE])
    assert template.render({"prénom": " Zoé\n"}) == "Bonjour Zoé, {-20 %} chez votre magasin."
    assert template.fields == (FIRST, PLACE) and not template.holds_one_time_code


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("Bonjour {nom}", 8, "no field {nom}"), ("Bonjour {prenom}", 8, "did you mean {prénom}"),
        ("Bonjour {prénom", 8, "not closed"), ("Bonjour prénom}", 14, "not opened"), ("a{}b", 1, "no field {}"),
        ("a{prénom{prénom}}", 1, "not closed"), ("  ", 0, "empty"), ("a\x00b", 1, "control"),
        ("a" * 2001, 2000, "more"),
        ("{prénom.__class__}", 0, "no field"), ("{0}", 0, "no field"), ("{prénom!r}", 0, "no field"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(text: str, place: int, message: str):
    with pytest.raises(TemplateError, match=message.replace("{", r"\{").replace("}", r"\}")) as caught:
        parse(text, [FIRST])
    assert caught.value.place == place


@given(st.text(max_size=50))
def test_a_value_is_never_read_as_a_template(value: str):
    text = parse("[{prénom}]", [Field("prénom", most=160, default="?")]).render({"prénom": value + "{magasin}{prénom}"})
    assert text.endswith("{magasin}{prénom}]") and "\n" not in text


def test_a_value_that_is_missing_or_too_long_is_named_and_not_repeated():
    template = parse("{prénom}", [FIRST])
    with pytest.raises(TemplateError, match="no value") as missing:
        template.render({"prénom": " \t"})
    assert missing.value.name == "prénom"
    with pytest.raises(TemplateError, match="longer than 60") as long:
        template.render({"prénom": "Secret" * 20})
    assert "Secret" not in str(long.value)


def test_a_field_may_declare_a_one_time_code():
    assert parse("Code : {code}", [CODE]).holds_one_time_code
    assert not parse("Bonjour", [CODE]).holds_one_time_code


@pytest.mark.parametrize(("name", "most"), [("", 60), ("1a", 60), ("a{", 60), ("a" * 41, 60), ("a", 0), ("a", 161)])
def test_a_field_that_is_none(name: str, most: int):
    with pytest.raises(ValueError):
        Field(name, most)


# --- marketing --------------------------------------------------------------------------------------------------------


@pytest.mark.promise("1.4", "1.5")
@pytest.mark.parametrize(
    ("text", "language", "composed"),
    [
        ("-20 % samedi", "fr", "Exemple: -20 % samedi. STOP au 36180"),
        ("-20 % samedi chez EXEMPLE !", "fr", "-20 % samedi chez EXEMPLE ! STOP au 36180"),
        ("20% off at Example Ltd", "en", "Exemple: 20% off at Example Ltd. STOP to 36180"),
        ("Exemple : -20 %. STOP au 36180", "fr", "Exemple : -20 %. STOP au 36180"),
        ("Exemple : -20 %. Stop SMS : 36180", "fr", "Exemple : -20 %. Stop SMS : 36180"),
        ("Exemple non-stop samedi", "fr", "Exemple non-stop samedi. STOP au 36180"),
    ],
)  # fmt: skip
def test_identity_and_mention_are_added_once(text: str, language: str, composed: str):
    found = for_marketing(text, identity="Exemple", language=language, stop_to=CODE_36)
    assert found.text == composed
    again = for_marketing(found.text, identity="Exemple", language=language, stop_to=CODE_36)
    assert again.text == composed and not again.added_identity and not again.added_mention


@pytest.mark.promise("1.4")
@pytest.mark.parametrize("language", templates.LANGUAGES)
@pytest.mark.parametrize("to", [CODE_36, Number("+33700000000"), None])
def test_the_mention_is_understood_when_it_comes_back_and_fits_the_alphabet(
    language: str, to: ShortCode | Number | None
):
    said = mention(language, to)
    assert "STOP" in said and plan(said).units == len(said) <= 32
    once = for_marketing("Soldes", identity="Exemple", language=language, stop_to=to)
    assert not for_marketing(once.text, identity="Exemple", language=language, stop_to=to).added_mention
    if to == CODE_36:
        assert stop.read(said).kind is stop.Kind.STOP


@pytest.mark.promise("1.4")
def test_the_mention_counts():
    body = "Exemple " + "a" * 140
    assert len(plan(body).parts) == 1
    assert len(plan(for_marketing(body, identity="Exemple", language="fr", stop_to=CODE_36).text).parts) == 2


def test_a_stop_to_a_number_where_nobody_reads_it_is_refused():
    with pytest.raises(TemplateError, match="nobody reads") as caught:
        for_marketing("Exemple. STOP au 36111", identity="Exemple", language="fr", stop_to=CODE_36)
    assert caught.value.place == 9
    with pytest.raises(TemplateError, match="identity"):
        for_marketing("a", identity=" ", language="fr", stop_to=CODE_36)
