"""The echo test tells its result: event in, prompt out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sip.calls import echo
from sip.calls.plan import LineKind, PromptFile
from sip.worker import protocol as p
from tests.sip.calls.drive import Call, plan

pytestmark = pytest.mark.promise("P15")


def echoing() -> Call:
    """An echo test that has got as far as the echo."""
    prompts = {
        (name, "fr"): PromptFile(name, "1", "fr", "ab" * 32, Path(f"/p/{name}.wav"), 2000) for name in echo.PROMPTS
    }
    call = Call(replace(plan("REC_NONE", None, kind=LineKind.ECHO), prompts=prompts))
    call.feed(p.Incoming("a", "x"), p.LegUp("a"), p.LegMedia("a", True, "PCMA"))
    assert call.playing() == "PROMPT_ECHO" and call.script.state == "beginning"
    assert p.Echo("a", True) in call.hears()
    assert call.script.state == "talking"
    return call


def figures(rx: int = 400, **more: Any) -> p.LegQuality:
    return p.LegQuality("a", rx, more.pop("rx_lost", 0), 900, 400, 9000, codec="PCMA", final=False, **more)


def spoken(did: list[Any]) -> list[str]:
    return [Path(act.path).stem for act in did if isinstance(act, p.Play)]


def test_the_result_on_the_hash_key() -> None:
    call = echoing()
    assert call.feed(p.Digit("a", "#", 3000)) == [p.Measure("a")]
    did = call.feed(figures(rx_lost=50))
    assert did[0] == p.Echo("a", False) and spoken(did) == ["PROMPT_ECHO_LOSS"]
    assert call.hears() == [p.Echo("a", True)]
    assert spoken([*call.feed(p.Digit("a", "#", 9000)), *call.feed(figures())]) == ["PROMPT_ECHO_GOOD"]


def test_the_result_unasked_after_a_while_and_only_once() -> None:
    call = echoing()
    began_s = call.now_s
    assert call.time_passes() == [p.Measure("a")]
    assert call.feed(figures()) == []
    assert call.time_passes() == [p.Measure("a")]
    assert call.now_s - began_s == pytest.approx(echo.RESULT_S, abs=1)
    assert spoken(call.feed(figures(1500))) == ["PROMPT_ECHO_GOOD"]
    call.hears()
    assert call.wait.seconds is not None and call.wait.seconds > 200
    call.time_passes()
    assert call.script.outcome.cause == "time-limit"


def test_somebody_who_is_not_heard_is_told_at_once() -> None:
    call = echoing()
    began_s = call.now_s
    for _ in range(echo.TELLINGS):
        assert call.time_passes() == [p.Measure("a")]
        assert spoken(call.feed(figures(0))) == ["PROMPT_ECHO_SILENT"]
        if _ == 0:
            assert call.now_s - began_s == pytest.approx(echo.HEARD_S, abs=0.5)
        call.hears()
    call.time_passes()
    assert spoken(call.feed(figures(0))) == ["PROMPT_ECHO_SILENT"]  # the result itself
    call.hears()
    assert call.wait.seconds is not None and call.wait.seconds > 200


def test_no_figures_no_result() -> None:
    call = echoing()
    call.feed(p.Digit("a", "#", 3000))
    assert call.time_passes() == []
    call.feed(p.LegDown("a", 200))
    assert call.script.outcome.cause == "caller-hung-up"


def test_hanging_up_in_the_middle_of_the_result() -> None:
    call = echoing()
    call.feed(p.Digit("a", "#", 3000), figures(), p.LegDown("a", 200))
    assert call.script.outcome.cause == "caller-hung-up"


def test_every_result_has_its_words_in_both_languages() -> None:
    from config import prompt_texts

    for name in echo.PROMPTS:
        assert set(prompt_texts.load()[name].texts) == {"fr", "en"}
