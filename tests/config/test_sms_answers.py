import copy

import pytest

from config import sms_answers
from config.shipped import DataError, read
from sms.text import segments


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("kind", sms_answers.KINDS)
def test_each_answer_names_who_sends_it_and_fits_one_part(kind: str, language: str) -> None:
    said = sms_answers.words(kind, language, org="Example company", contact="dpo@example.org")
    assert "Example company" in said and "{" not in said
    assert len(segments.plan(said, transliterated=True).parts) == 1


def test_another_language_is_answered_in_english() -> None:
    assert sms_answers.words("stop_ack", "de", org="X", contact="") == sms_answers.words(
        "stop_ack", "en", org="X", contact=""
    )


def test_what_nobody_fills_in_is_refused() -> None:
    data = copy.deepcopy(dict(read("sms_answers.toml")))
    data["help"] = {"fr": "{nom}", "en": "x"}
    with pytest.raises(DataError, match="only {org}"):
        sms_answers.build(data)
