"""Words of stop, rules for replies, names of senders: the shipped data is read, a mistake in it is found."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from config import sms_replies, sms_senders, sms_words
from config.shipped import DataError, read


@pytest.mark.parametrize("name", ["sms_words", "sms_replies", "sms_senders"])
def test_the_data_is_dated_and_says_how_sure_it_is(name: str):
    data = read(f"{name}.toml")
    assert str(data["checked"]) in data["version"]
    parts = [data] if "basis" in data else list(data["names"].values())
    assert all(part["basis"] and part["confidence"] for part in parts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("matters"), "missing matters"),
        (lambda d: d.update(colour="red"), "unknown colour"),
        (lambda d: d["patterns"][0].update(scope="letters"), "not one of"),
        (lambda d: d["patterns"][0].update(pattern="<nothing>"), "no class nothing"),
        (lambda d: d["patterns"][0].update(pattern="("), "unterminated"),
        (lambda d: d["patterns"][0].update(id=d["patterns"][1]["id"]), "twice"),
        (lambda d: d["patterns"][0].pop("id"), "missing id"),
        (lambda d: d["elsewhere"]["patterns"].append("["), "unterminated"),
        (lambda d: d["alone"]["near"].append("strange"), "not one of the words"),
        (lambda d: d.update(confidence="sure"), "not one of"),
    ],
)
def test_a_mistake_in_the_words_is_found(change: Any, message: str):
    data = copy.deepcopy(read("sms_words.toml"))
    change(data)
    with pytest.raises(DataError, match=message):
        sms_words.build(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["rule"][0].update(category="rude"), "not one of"),
        (lambda d: d["rule"][0].update(request="access"), "nothing else does"),
        (lambda d: d["rule"][-1].update(category="rights"), "name a request"),
        (lambda d: d["rule"][-1].update(request="money"), "not one of"),
        (lambda d: d["rule"][0].update(pattern="("), "unterminated"),
        (lambda d: d["rule"][0].update(unless="["), "unterminated"),
        (lambda d: d["rule"][0].update(id=d["rule"][1]["id"]), "twice"),
        (lambda d: d.update(rule=[r for r in d["rule"] if r["category"] != "machine"]), "machine"),
        (lambda d: d.pop("basis"), "missing basis"),
    ],
)
def test_a_mistake_in_the_rules_is_found(change: Any, message: str):
    data = copy.deepcopy(read("sms_replies.toml"))
    change(data)
    with pytest.raises(DataError, match=message):
        sms_replies.build(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["names"].pop("other"), "missing"),
        (lambda d: d["names"]["FR"].update(most=12), "no range"),
        (lambda d: d["names"]["FR"].update(shape="any"), "not one of"),
        (lambda d: d["names"]["FR"]["generic"].append("Alert"), "small letters"),
        (lambda d: d["names"]["FR"]["also"].append("ZZ"), "no country"),
        (lambda d: d["names"]["FR"]["also"].append("FR"), "twice"),
        (lambda d: d["names"]["FR"].pop("basis"), "missing basis"),
        (lambda d: d["names"]["FR"].update(confidence="sure"), "not one of"),
    ],
)
def test_a_mistake_in_the_senders_is_found(change: Any, message: str):
    data = copy.deepcopy(read("sms_senders.toml"))
    change(data)
    with pytest.raises(DataError, match=message):
        sms_senders.build(data)
