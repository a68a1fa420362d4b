"""Segments: against two programs that are not ours, and nothing that a reader sees is cut without need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import smsutil
from hypothesis import given
from hypothesis import strategies as st

from sms.carriers.carrier import Coding
from sms.text import alphabet, graphemes, segments
from sms.text.segments import NotTextError, Plan, TooLongError, plan
from tests.peers.node_segments import Segmenter

GSM = "".join(alphabet._SEPTETS)
EMOJI = ["👍", "👍🏽", "👨‍👩‍👧‍👦", "🇫🇷", "🇩🇪", "❤️", "☎️", "1️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "x\u0323\u0302", "각", "\r\n"]
long_gsm = st.text(GSM, min_size=100, max_size=700)
long_wide = st.lists(st.sampled_from([*"abé€ç’你ж", "🙂", "𝔸"]), min_size=50, max_size=400).map("".join)
seen_as_one = st.lists(st.sampled_from([*"ab ", *EMOJI]), min_size=20, max_size=150).map("".join)


@pytest.fixture(scope="module")
def node() -> Iterator[Segmenter]:
    with Segmenter() as segmenter:
        yield segmenter


@pytest.mark.promise("P21")
@given(st.one_of(long_gsm, long_wide))
def test_smsutil_cuts_at_the_same_places(text: str):
    found, theirs = plan(text, limit=255), smsutil.split(text)
    assert found.parts == tuple(part.content for part in theirs.parts)
    wide = theirs.encoding == "utf_16_be"
    assert found.coding is (Coding.UCS2 if wide else Coding.GSM7)
    assert found.units == theirs.total_bytes // (2 if wide else 1)
    assert smsutil.split(text, multi_part_bytes=132 if wide else 152).total_length == len(text)


@pytest.mark.promise("P21")
@given(text=st.one_of(long_gsm.filter(lambda text: "\r\n" not in text), long_wide, st.text(max_size=200)))
def test_the_calculator_of_npm_counts_the_same(node: Segmenter, text: str):
    found = plan(text, limit=255)
    theirs = node.cut(found.text)
    if found.text and len(theirs.graphemes) == len(found.text):
        assert found.parts == theirs.parts
        assert found.units == theirs.bits // (7 if found.coding is Coding.GSM7 else 16)
    assert len(found.parts) <= len(theirs.parts)


@given(text=seen_as_one)
def test_what_a_reader_sees_as_one_is_what_the_platform_says(node: Segmenter, text: str):
    places = [0, *graphemes.boundaries(text)]
    ours = [text[start:end] for start, end in zip(places, places[1:], strict=False)]
    assert ours == list(node.cut(text).graphemes)


@given(text=st.text(st.sampled_from("".join(EMOJI) + "ab"), max_size=40))
def test_however_odd_the_sequence_what_is_one_is_not_cut(node: Segmenter, text: str):
    theirs, at = set(), 0
    for grapheme in node.cut(text).graphemes:
        at += len(grapheme)
        theirs.add(at)
    assert set(graphemes.boundaries(text)) <= theirs


@given(text=seen_as_one)
def test_nothing_is_cut_that_a_reader_sees_as_one_unless_it_costs_a_part(text: str):
    found = plan(text, limit=255)
    good = set(graphemes.boundaries(found.text))
    whole = _parts_of_whole(found, good)
    if whole == len(found.parts):
        at = 0
        for part in found.parts:
            at += len(part)
            assert at in good
    assert len(found.parts) <= whole


def _parts_of_whole(found: Plan, good: set[int]) -> int:
    """How many parts it takes if nothing is ever cut: one after the other, as full as can be."""
    if len(found.parts) == 1:
        return 1
    room = 153 if found.coding is Coding.GSM7 else 67
    places = [0, *sorted(good)]
    parts, held = 1, 0
    for start, end in zip(places, places[1:], strict=False):
        cost = segments.units_of(found.text[start:end], found.coding)
        parts, held = (parts, held + cost) if held + cost <= room else (parts + 1, cost)
    return parts


@given(st.text(max_size=600), st.booleans(), st.booleans())
def test_every_part_fits_and_together_they_are_the_text(text: str, wide: bool, transliterated: bool):
    found = plan(text, transliterated=transliterated, wide_reference=wide, limit=255)
    room = {Coding.GSM7: 152 if wide else 153, Coding.UCS2: 66 if wide else 67}[found.coding]
    alone = {Coding.GSM7: 160, Coding.UCS2: 70}[found.coding]
    for part in found.parts:
        assert segments.units_of(part, found.coding) <= (alone if len(found.parts) == 1 else room)
        if found.coding is Coding.GSM7:
            alphabet.encode(part)
    assert sum(segments.units_of(part, found.coding) for part in found.parts) == found.units
    assert bool(found.forced) is (found.coding is Coding.UCS2)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [0]), ("a" * 160, [160]), ("a" * 161, [153, 8]), ("a" * 306, [153, 153]), ("a" * 307, [153, 153, 1]),
        ("ç" * 70, [70]), ("ç" * 71, [67, 4]), ("ç" + "🙂" * 34, [35]), ("ç" + "🙂" * 35, [34, 2]),
        ("a" * 152 + "€" * 5, [152, 5]), ("€" * 80, [80]), ("€" * 81, [76, 5]),
    ],
)  # fmt: skip
def test_the_borders(text: str, parts: list[int]):
    assert [len(part) for part in plan(text).parts] == parts


@pytest.mark.parametrize(("text", "parts"), [("a" * 305, [152, 152, 1]), ("ç" * 133, [66, 66, 1])])
def test_a_reference_of_sixteen_bits_costs_room(text: str, parts: list[int]):
    assert [len(part) for part in plan(text, wide_reference=True).parts] == parts


def test_a_family_that_does_not_fit_goes_to_the_next_part():
    found = plan("ç" + "a" * 65 + "👨‍👩‍👧‍👦")
    assert found.parts == ("ç" + "a" * 65, "👨‍👩‍👧‍👦")


def test_what_forces_the_other_alphabet_is_named_and_can_be_replaced():
    text = "L’été, ça commence " * 8
    assert plan(text).forced == ("’", "ç") and len(plan(text).parts) == 3
    found = plan(text, transliterated=True)
    assert (found.coding, len(found.parts), found.forced) == (Coding.GSM7, 1, ())
    assert {(c.before, c.after) for c in found.changed} == {("’", "'"), ("ç", "c")}


def test_where_replacing_does_not_help_the_text_stays_as_it_was_written():
    found = plan("Ça dépend… 🙂", transliterated=True)
    assert (found.text, found.changed, found.forced) == ("Ça dépend… 🙂", (), ("…", "🙂"))


def test_accents_written_apart_are_put_together():
    assert plan("e\u0301te\u0301").coding is Coding.GSM7


def test_too_long_is_refused_with_the_count():
    with pytest.raises(TooLongError, match="takes 11 parts, 10 are") as caught:
        plan("a" * 1531)
    assert (caught.value.parts, caught.value.limit) == (11, 10)
    assert len(plan("a" * 153 * 255, limit=255).parts) == 255
    with pytest.raises(TooLongError):
        plan("a" * (153 * 255 + 1), limit=255)


@pytest.mark.parametrize("limit", [0, -1, 256])
def test_a_limit_that_is_none(limit: int):
    with pytest.raises(ValueError, match="255"):
        plan("a", limit=limit)


def test_half_a_character_is_refused():
    with pytest.raises(NotTextError) as caught:
        plan("ab\ud83d")
    assert caught.value.place == 2
