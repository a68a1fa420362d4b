"""What becomes of each thing when somebody asks to be forgotten (GDPR Art. 17), by the pack that it is kept under.

Pure. What a pack says of Art. 17 is a word in its data; here stands what each word means: it goes, it stays and by
which article, or somebody has to decide. A word that is not known is left to somebody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from config.packs import Pack
from retention.due import minimum_until
from retention.gate import Hold, Item, Plan, Trigger, plan_destruction

Answer = Literal["erase", "keep", "decide", "wait"]
OVERRIDING = "erase_if_no_overriding_ground"


@dataclass(frozen=True, slots=True)
class Meaning:
    """`article`: of the GDPR."""

    answer: Answer
    article: str
    why: str


MEANINGS: Mapping[str, Meaning] = {
    "erase": Meaning("erase", "17(1)", "nothing stands against it"),
    "erase_plus_suppression_entry": Meaning("erase", "17(1), 21(3)", "it goes; an objection stays on the list"),
    OVERRIDING: Meaning("decide", "17(1)(c), 21(1)", "it goes unless an overriding ground is shown"),
    "refuse_17_3_b": Meaning("keep", "17(3)(b)", "a legal obligation wants it kept until its period ends"),
    "refuse_until_expiry": Meaning("keep", "17(3)(b)", "it is kept until its period ends"),
    "refuse_17_3_e_until_expiry": Meaning("keep", "17(3)(e)", "it is proof, kept until its period ends"),
    "keep_needed_for_objection": Meaning("keep", "21(3), 17(3)(b)", "without it the objection could not be respected"),
    "refuse_if_needed_for_claims_17_3_e": Meaning("decide", "17(3)(e)", "it stays if claims need it"),
    "refuse_17_3_c_if_care_record": Meaning("decide", "17(3)(c)", "it stays if it is part of a care record"),
    "case_by_case": Meaning("decide", "17(3)", "its pack leaves it to a decision in each case"),
}
_UNKNOWN = Meaning("decide", "17(3)", "nothing says what its pack wants")
_UNBOUND = Meaning("erase", "17(1)", "no pack keeps it")


@dataclass(frozen=True, slots=True)
class Decision:
    """`plan` says what the gate may do; it destroys where `answer` is "erase" and nowhere else. "wait": it goes as soon
    as nobody uses it (the caller knows)."""

    answer: Answer
    article: str
    rule: str
    plan: Plan


def decide(
    item: Item,
    word: str | None,
    holds: Sequence[Hold],
    packs: Mapping[str, Pack],
    now: datetime,
    *,
    no_overriding_ground: bool = False,
) -> Decision:
    """Decide at `now`. `word`: the pack's `art17`; None: nothing but a setting keeps the item. `holds`: those on it.

    `no_overriding_ground`: somebody has weighed it, and there is none (Art. 17(1)(c), 21(1)).
    """
    plan = plan_destruction(item, Trigger.ART17_REQUEST, holds, minimum_until(item, packs), now)
    meaning = _UNBOUND if word is None else MEANINGS.get(word, _UNKNOWN)
    if word == OVERRIDING and no_overriding_ground:
        meaning = Meaning("erase", "17(1)(c)", "there is no overriding ground")
    if meaning.answer != "erase":
        return Decision(meaning.answer, meaning.article, meaning.why, _refused(plan, meaning.why))
    if not plan.destroy:
        held = bool(holds)
        return Decision("keep", "17(3)(e)" if held else "17(3)(b)", plan.rule, plan)
    return Decision("erase", meaning.article, meaning.why, plan)


def _refused(plan: Plan, why: str) -> Plan:
    return plan if not plan.destroy else Plan(plan.item, plan.trigger, False, why)
