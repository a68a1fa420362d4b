"""Guessers are turned away for a while, offices are not."""

from __future__ import annotations

import pytest

from sms.mail.bans import BanRule, Bans

RULE = BanRule(3, 100.0, 50.0)


def test_so_many_in_so_long_and_no_more():
    bans = Bans(RULE)
    assert [bans.wrong("192.0.2.1", at) for at in (0.0, 50.0)] == [False, False]
    assert not bans.is_banned("192.0.2.1", 50.0)
    assert bans.wrong("192.0.2.1", 99.0)
    assert bans.is_banned("192.0.2.1", 148.9) and not bans.is_banned("192.0.2.1", 149.0)
    assert not bans.is_banned("192.0.2.2", 99.0)
    assert not bans.wrong("192.0.2.1", 150.0), "and it begins anew"


def test_slow_mistakes_never_add_up_and_a_good_login_wipes_them_out():
    bans = Bans(RULE)
    assert not any(bans.wrong("192.0.2.1", at * 60.0) for at in range(100))
    bans = Bans(RULE)
    for at in range(30):
        assert not bans.wrong("192.0.2.1", float(at))
        bans.right("192.0.2.1")


def test_one_network_of_ipv6_is_one_place():
    bans = Bans(RULE)
    assert [bans.wrong(f"2001:db8::{i}", 0.0) for i in range(3)] == [False, False, True]
    assert bans.is_banned("2001:db8::ffff", 1.0) and not bans.is_banned("2001:db8:0:1::1", 1.0)


def test_what_is_over_is_forgotten():
    bans = Bans(BanRule(1, 10.0, 10.0))
    for i in range(3000):
        bans.wrong(f"10.0.{i // 250}.{i % 250}", float(i))
    assert len(bans._until) <= 1001
    bans = Bans(BanRule(2, 10.0, 10.0))
    for i in range(3000):
        bans.wrong(f"10.0.{i // 250}.{i % 250}", float(i))
    assert len(bans._wrong) <= 1001


@pytest.mark.parametrize("rule", [(0, 1, 1), (1, 0, 1), (1, 1, 1e9)])
def test_a_rule_out_of_bounds(rule: tuple[int, float, float]):
    with pytest.raises(ValueError, match="a ban is for"):
        BanRule(*rule)
