"""What the carrier decides without a network: bounds, times, tries."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sms.carriers import smpp_outcomes
from sms.carriers.smpp import backoff, validity
from sms.carriers.smpp_settings import Tls
from tests.sms.carriers.house import settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 0}, {"window": 0}, {"window": 1001}, {"per_s": 0.0}, {"response_s": 0.0}, {"system_id": ""},
        {"system_id": "x" * 16}, {"password": "x" * 65}, {"password": "é"}, {"password": "a\nb"}, {"host": ""},
        {"system_type": "x" * 13}, {"service_type": "x" * 6}, {"retry_s": 2.0, "retry_most_s": 1.0},
        {"inbound_at_a_time": 0}, {"inbound_most": 0}, {"short_code_ton": 7}, {"refused_retry_s": 0.0},
    ],
)  # fmt: skip
def test_settings_out_of_bounds_are_named(wrong: dict[str, Any]):
    with pytest.raises(ValueError) as caught:
        settings(**{"port": 2775, **wrong})
    assert list(wrong)[-1] in str(caught.value)


def test_passwords_longer_than_the_protocol_knows_are_taken():
    assert settings(2775, password="x" * 64).password == "x" * 64


def test_a_password_does_not_show():
    told = settings(2775, password="hunter2")
    assert "hunter2" not in repr(told)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(None, ""), (0, "000000000001000R"), (3600, "000000010000000R"), (90_061, "000001010101000R"),
     (10**9, "000030000000000R")],
)  # fmt: skip
def test_validity(seconds: int | None, written: str):
    assert validity(seconds) == written


def test_tries_to_connect_come_anywhere_up_to_a_ceiling_that_doubles_and_is_bounded():
    told = settings(2775, retry_s=1.0, retry_most_s=60.0)
    dice = random.Random(1)  # noqa: S311 - it spreads tries, and hides nothing
    for failures, ceiling in [(0, 1), (1, 2), (5, 32), (6, 60), (10_000, 60)]:
        waits = [backoff(failures, told, dice) for _ in range(500)]
        assert min(waits) >= 0.1
        assert ceiling * 0.9 < max(waits) <= ceiling
        assert min(waits) < ceiling * 0.2


def test_files_for_tls_that_are_not_there_raise_what_the_carrier_expects(tmp_path):
    with pytest.raises(OSError):
        Tls(ca=tmp_path / "none.pem").context()
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(OSError):
        Tls(ca=tmp_path / "bad.pem").context()


def test_what_we_answer_and_what_is_no_refusal_are_no_refusals_by_accident():
    assert smpp_outcomes.name(smpp_outcomes.NOT_NOW) == "ESME_RX_T_APPN"
    assert smpp_outcomes.name(smpp_outcomes.QUEUE_FULL) == "ESME_RMSGQFUL"
    assert {smpp_outcomes.name(status) for status in smpp_outcomes.THROTTLED} == {"ESME_RTHROTTLED", "ESME_RMSGQFUL"}
