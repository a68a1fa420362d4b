"""States of a campaign, the seal on what was approved, its figures."""

from __future__ import annotations

import pytest

from sms.campaigns import TRANSITIONS, Act, Figures, NotNowError, Seal, State, after, figures, too_many_opt_outs

PATH = (
    (Act.IMPORT, State.IMPORTING), (Act.IMPORTED, State.DRAFT), (Act.CHECK, State.CHECKED),
    (Act.SUBMIT, State.WAITING), (Act.APPROVE, State.APPROVED), (Act.START, State.RUNNING), (Act.PAUSE, State.PAUSED),
    (Act.RESUME, State.RUNNING), (Act.FINISH, State.DONE),
)  # fmt: skip


@pytest.mark.promise("P22")
def test_the_way_of_a_campaign() -> None:
    state = State.DRAFT
    for act, expected in PATH:
        state = after(state, act)
        assert state is expected


@pytest.mark.promise("P22")
def test_nothing_is_changed_after_approval_and_nothing_runs_before() -> None:
    for state in State:
        allowed = set(TRANSITIONS[state])
        if state not in (State.DRAFT, State.CHECKED, State.WAITING):
            assert not allowed & {Act.CHANGE, Act.IMPORT, Act.CHECK, Act.SUBMIT}
        assert (Act.CANCEL in allowed) is (state not in (State.DONE, State.CANCELLED))
    leads_to_running = {(s, act) for s in State for act, to in TRANSITIONS[s].items() if to is State.RUNNING}
    assert leads_to_running == {(State.APPROVED, Act.START), (State.PAUSED, Act.RESUME)}
    assert {s for s in State for to in TRANSITIONS[s].values() if to is State.APPROVED} == {State.WAITING}
    with pytest.raises(NotNowError, match="it is draft: only what is approved is started"):
        after(State.DRAFT, Act.START)


def seal(template: str = "Hello {name}", sender: str = "s1", **changed: str) -> str:
    said = {"message_class": "marketing", "sector": "telecom", "target": "ask", "language": "fr"} | changed
    made = Seal(template, transliterated=False, sender_id=sender, **said)
    made.recipient(2, "+33612345678", {"name": "Doris", "city": "Lyon"})
    return made.hexdigest()


@pytest.mark.promise("P22")
def test_the_seal_is_about_template_sender_class_and_every_recipient() -> None:
    assert seal() == seal()
    others = {seal("Hello {city}"), seal(sender="s2"), seal(message_class="transactional"), seal(sector="bank"), seal()}
    assert len(others) == 5
    one, other = (Seal("x", transliterated=False, sender_id="s", message_class="m", sector="b", target="t",
                       language="fr") for _ in range(2))  # fmt: skip
    one.recipient(2, "+33612345678", {"a": "1", "b": "2"})
    other.recipient(2, "+33612345678", {"b": "2", "a": "1"})
    assert one.hexdigest() == other.hexdigest()
    other.recipient(3, "+33612345679", {})
    assert one.hexdigest() != other.hexdigest()


@pytest.mark.promise("1.15")
def test_figures_of_a_campaign() -> None:
    said = figures(
        {"taken": 70, "waiting": 5, "later": 3, "refused": 20, "cancelled": 2},
        {"delivered": 50, "sent": 4, "undelivered": 3, "rejected": 2, "unknown": 1, "queued": 6, "cancelled": 4},
        {"no_consent": 20},
        replies=9,
        opt_outs=4,
    )
    assert said == Figures(100, 5, 3, 20, 6, 6, 58, 50, 5, 1, 9, 4, {"no_consent": 20})
    assert said.opt_out_per_mille == 80
    assert figures({}, {}, {}, 0, 0).opt_out_per_mille is None


@pytest.mark.promise("0.16")
def test_many_who_say_stop_are_seen() -> None:
    def seen(opt_outs: int, delivered: int) -> bool:
        return too_many_opt_outs(Figures(delivered=delivered, opt_outs=opt_outs), at_least=10, per_mille=20)

    assert seen(20, 1000) and seen(10, 100)
    assert not seen(19, 1000) and not seen(9, 20)
    assert seen(10, 0)  # no receipts come back: nobody can say that it is few
