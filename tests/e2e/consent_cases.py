"""Every way of asking with every answer, as data: what the people do, what each must hear, what must remain.

Prompts are tones (tests.e2e.scene), so what a phone heard reads like the call: ["optin", "callee"]. How long it rang is
left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.e2e import scene
from tests.e2e.scene import PROMPT_S
from tests.peers.baresip import Phone

TALK_S = 1.5


@dataclass
class Call:
    """One call between the two phones of a lane; an answer to the question is a function of it."""

    caller: Phone
    callee: Phone
    caller_from: int = 0
    callee_from: int = 0

    def begin(self, number: str) -> None:
        self.caller_from, self.callee_from = len(self.caller.events), len(self.callee.events)
        self.caller.dial(number)

    def asked(self) -> None:
        """The caller's leg is answered and the prompt plays, about half of it."""
        self.caller.wait("CALL_ESTABLISHED", since=self.caller_from)
        time.sleep(PROMPT_S / 2)

    def callee_asked(self) -> None:
        self.callee.wait("CALL_ESTABLISHED", since=self.callee_from, timeout=20)
        time.sleep(PROMPT_S / 2)

    def talk(self) -> None:
        """Wait until both have talked for a while, whatever they heard before."""
        self.callee.wait("CALL_ESTABLISHED", since=self.callee_from, timeout=20)
        self.caller.wait("CALL_ESTABLISHED", since=self.caller_from)
        time.sleep(PROMPT_S + TALK_S)

    def hang_up(self) -> None:
        self.caller.hang_up()
        self.over()

    def over(self) -> None:
        """Both phones say that it is over, as far as they were in it."""
        self.caller.wait("CALL_CLOSED", since=self.caller_from)
        if self.rang():
            self.callee.wait("CALL_CLOSED", since=self.callee_from)

    def digits(self, phone: Phone) -> list[str]:
        since = self.caller_from if phone is self.caller else self.callee_from
        return [e["param"] for e in phone.events[since:] if e["type"] == "CALL_DTMF_START"]

    def rang(self) -> bool:
        return any(e["type"] in ("CALL_INCOMING", "CALL_ESTABLISHED") for e in self.callee.events[self.callee_from :])


# --- answers ----------------------------------------------------------------------------------------------------------


def silent(call: Call) -> None:
    call.talk()
    call.hang_up()


def press(key: str) -> Callable[[Call], None]:
    def answer(call: Call) -> None:
        call.asked()
        call.caller.press(key)
        call.talk()
        call.hang_up()

    return answer


def refuse_to_the_end(call: Call) -> None:
    """A refusal that ends the call."""
    call.asked()
    call.caller.press("2")
    call.over()


def silent_to_the_end(call: Call) -> None:
    call.caller.wait("CALL_CLOSED", since=call.caller_from, timeout=25)


def hang_up_during_the_prompt(call: Call) -> None:
    call.asked()
    call.hang_up()


def hold_during_the_prompt(call: Call) -> None:
    """Who has put the call on hold hears nothing: what was said meanwhile was not heard."""
    call.asked()
    call.caller.command("hold")
    time.sleep(PROMPT_S / 2)
    call.caller.command("resume")
    call.talk()
    call.hang_up()


def more_then_accept(call: Call) -> None:
    call.asked()
    call.caller.press("0")
    time.sleep(PROMPT_S)
    call.asked()
    call.caller.press("1")
    call.talk()
    call.hang_up()


def accept_then(later: Callable[[Call], None], key: str = "1") -> Callable[[Call], None]:
    def answer(call: Call) -> None:
        if key:
            call.asked()
            call.caller.press(key)
        call.talk()
        later(call)

    return answer


def caller_objects(call: Call) -> None:
    call.caller.press("2")
    time.sleep(PROMPT_S + 1)
    call.hang_up()


def staff_objects(call: Call) -> None:
    call.callee.press("*2")
    time.sleep(PROMPT_S + 1)
    call.hang_up()


def caller_objects_to_the_end(call: Call) -> None:
    call.caller.press("2")
    call.over()


def keys_for_the_other_side(call: Call) -> None:
    """Nothing to object to: the keys belong to the conversation."""
    call.talk()
    call.caller.press("2")
    call.callee.press("*2")
    scene.until(lambda: len(call.digits(call.caller)) == 2 and call.digits(call.callee), "digits on the other side")
    call.hang_up()


def both_asked(key: str) -> Callable[[Call], None]:
    """The caller accepts, the staff member answers with this key."""

    def answer(call: Call) -> None:
        call.asked()
        call.caller.press("1")
        call.callee_asked()
        call.callee.press(key)
        call.talk()
        call.hang_up()

    return answer


def staff_hangs_up_during_its_announcement(call: Call) -> None:
    call.asked()
    call.caller.press("1")
    call.callee_asked()
    call.callee.hang_up()
    call.over()


# --- what is expected -------------------------------------------------------------------------------------------------

Act = tuple[str, str]
"""Act of the consent log and the prompt that it answers ("" for none)."""


@dataclass(frozen=True)
class Expected:
    answer: Callable[[Call], None]
    recorded: str | None
    """State of the recording afterwards; None where there never was one."""
    caller: list[str] | None
    """None where it does not matter."""
    callee: list[str]
    acts: list[Act]
    outcome: str
    """Field `recording` of the call record."""
    cause: str = "caller-hung-up"
    digits: tuple[list[str], list[str]] = ((), ())  # type: ignore[assignment]
    """What the caller's and the callee's phone were sent."""
    line: dict[str, str] = field(default_factory=dict)
    caller_is: str = ""
    """Another caller than the lane's: "swiss", or "english", whose prompts are broken files."""


OPT_IN = {"pack": "REC_QUALITY", "consent": "opt-in"}
OPT_OUT = {"pack": "REC_QUALITY"}
ANNOUNCE = {"pack": "REC_MIFID", "statute": "L533-10 CMF"}
ASKED_OR_END = {**ANNOUNCE, "consent": "opt-in"}
STATUTE = {"pack": "REC_EMERGENCY", "statute": "CSP R6311-2"}

STAFF = ("heard", "PROMPT_STAFF")

CASES: dict[str, Expected] = {
    # none: a statute that delays nobody
    "none, nobody is asked": Expected(
        silent, "whole", ["callee"], ["caller"], [("statute", ""), ("statute", "")], "recorded", line=STATUTE
    ),
    "none, keys are no objection": Expected(
        keys_for_the_other_side, "whole", ["callee"], ["caller"], [("statute", ""), ("statute", "")], "recorded",
        digits=(["*", "2"], ["2"]), line=STATUTE,
    ),
    # announce: a statute that ends what may not be recorded
    "announce, silence": Expected(
        silent, "whole", ["mifid", "callee"], ["staff", "caller"], [("heard", "PROMPT_MIFID"), STAFF],
        "recorded", line=ANNOUNCE,
    ),
    "announce, key 1 changes nothing": Expected(
        press("1"), "whole", ["mifid", "callee"], ["staff", "caller"], [("heard", "PROMPT_MIFID"), STAFF],
        "recorded", line=ANNOUNCE,
    ),
    "announce, refuse": Expected(
        refuse_to_the_end, None, ["mifid", "must_end"], [], [("key2", "PROMPT_MIFID")], "refused",
        "recording-refused", line=ANNOUNCE,
    ),
    "announce, hang-up": Expected(
        hang_up_during_the_prompt, None, ["mifid"], [], [("hangup", "PROMPT_MIFID")], "hung-up", "cancelled",
        line=ANNOUNCE,
    ),
    "announce, objection later": Expected(
        accept_then(caller_objects_to_the_end, ""), "whole", ["mifid", "callee", "must_end"],
        ["staff", "caller"], [("heard", "PROMPT_MIFID"), STAFF, ("objection", "PROMPT_MIFID")], "objected",
        "recording-refused", line=ANNOUNCE,
    ),
    "announce, prompt missing": Expected(
        silent_to_the_end, None, [], [], [("prompt_failed", "PROMPT_MIFID")], "failed", "recording-refused",
        line=ANNOUNCE, caller_is="english",
    ),
    # opt-out
    "opt-out, silence": Expected(
        silent, "whole", ["optout_quality", "callee"], ["staff", "caller"],
        [("heard", "PROMPT_OPTOUT_QUALITY"), STAFF], "recorded", line=OPT_OUT,
    ),
    "opt-out, silence where the law takes it for no": Expected(
        silent, None, ["optout_quality", "timeout", "callee"], ["caller"],
        [("timeout", "PROMPT_OPTOUT_QUALITY")], "silent", line=OPT_OUT, caller_is="swiss",
    ),
    "opt-out, accept": Expected(
        press("1"), "whole", ["optout_quality", "callee"], ["staff", "caller"],
        [("key1", "PROMPT_OPTOUT_QUALITY"), STAFF], "recorded", line=OPT_OUT,
    ),
    "opt-out, refuse": Expected(
        press("2"), None, ["optout_quality", "refused", "callee"], ["caller"],
        [("key2", "PROMPT_OPTOUT_QUALITY")], "refused", line=OPT_OUT,
    ),
    "opt-out, hang-up": Expected(
        hang_up_during_the_prompt, None, ["optout_quality"], [], [("hangup", "PROMPT_OPTOUT_QUALITY")], "hung-up",
        "cancelled", line=OPT_OUT,
    ),
    "opt-out, on hold during the prompt": Expected(
        hold_during_the_prompt, None, None, ["caller"], [("prompt_failed", "PROMPT_OPTOUT_QUALITY")], "failed",
        line=OPT_OUT,
    ),
    "opt-out, objection later": Expected(
        accept_then(caller_objects), "destroyed",
        ["optout_quality", "callee", "stopped", "callee"], ["staff", "caller", "stopped", "caller"],
        [("key1", "PROMPT_OPTOUT_QUALITY"), STAFF, ("objection", "PROMPT_OPTOUT_QUALITY")], "objected", line=OPT_OUT,
    ),
    "opt-out, staff objects later": Expected(
        accept_then(staff_objects), "destroyed",
        ["optout_quality", "callee", "stopped", "callee"], ["staff", "caller", "stopped", "caller"],
        [("key1", "PROMPT_OPTOUT_QUALITY"), STAFF, ("objection", "PROMPT_STAFF")], "objected", line=OPT_OUT,
    ),
    "opt-out, more then accept": Expected(
        more_then_accept, "whole", ["optout_quality", "long", "optout_quality", "callee"],
        ["staff", "caller"], [("key1", "PROMPT_OPTOUT_QUALITY"), STAFF], "recorded", line=OPT_OUT,
    ),
    # opt-in
    "opt-in, accept": Expected(
        press("1"), "whole", ["optin", "callee"], ["staff", "caller"], [("key1", "PROMPT_OPTIN"), STAFF],
        "recorded", line=OPT_IN,
    ),
    "opt-in, refuse": Expected(
        press("2"), None, ["optin", "refused", "callee"], ["caller"], [("key2", "PROMPT_OPTIN")],
        "refused", line=OPT_IN,
    ),
    "opt-in, silence": Expected(
        silent, None, ["optin", "timeout", "callee"], ["caller"], [("timeout", "PROMPT_OPTIN")], "silent",
        line=OPT_IN,
    ),
    "opt-in, another key is no answer": Expected(
        press("5"), None, ["optin", "timeout", "callee"], ["caller"], [("timeout", "PROMPT_OPTIN")],
        "silent", line=OPT_IN,
    ),
    "opt-in, hang-up": Expected(
        hang_up_during_the_prompt, None, ["optin"], [], [("hangup", "PROMPT_OPTIN")], "hung-up", "cancelled",
        line=OPT_IN,
    ),
    "opt-in, objection later": Expected(
        accept_then(caller_objects), "destroyed", ["optin", "callee", "stopped", "callee"],
        ["staff", "caller", "stopped", "caller"],
        [("key1", "PROMPT_OPTIN"), STAFF, ("objection", "PROMPT_OPTIN")], "objected", line=OPT_IN,
    ),
    "opt-in, staff objects later": Expected(
        accept_then(staff_objects), "destroyed", ["optin", "callee", "stopped", "callee"],
        ["staff", "caller", "stopped", "caller"],
        [("key1", "PROMPT_OPTIN"), STAFF, ("objection", "PROMPT_STAFF")], "objected", line=OPT_IN,
    ),
    "opt-in, more then accept": Expected(
        more_then_accept, "whole", ["optin", "long", "optin", "callee"], ["staff", "caller"],
        [("key1", "PROMPT_OPTIN"), STAFF], "recorded", line=OPT_IN,
    ),
    "opt-in, prompt missing": Expected(
        silent, None, ["callee"], ["caller"], [("prompt_failed", "PROMPT_OPTIN")], "failed", line=OPT_IN,
        caller_is="english",
    ),
    "opt-in, staff accepts too": Expected(
        both_asked("1"), "whole", ["optin", "callee"], ["optin", "caller"],
        [("key1", "PROMPT_OPTIN"), ("key1", "PROMPT_OPTIN")], "recorded", line={**OPT_IN, "ask_staff": "yes"},
    ),
    "opt-in, staff refuses": Expected(
        both_asked("2"), None, ["optin", "callee"], ["optin", "refused", "caller"],
        [("key1", "PROMPT_OPTIN"), ("key2", "PROMPT_OPTIN")], "refused", line={**OPT_IN, "ask_staff": "yes"},
    ),
    "opt-in, staff hangs up": Expected(
        staff_hangs_up_during_its_announcement, None, ["optin"], ["staff"],
        [("key1", "PROMPT_OPTIN"), ("hangup", "PROMPT_STAFF")], "hung-up", "callee-hung-up", line=OPT_IN,
    ),
    # opt-in where the law lets nobody talk unrecorded
    "opt-in or end, accept": Expected(
        press("1"), "whole", ["optin_or_end", "callee"], ["staff", "caller"],
        [("key1", "PROMPT_OPTIN_OR_END"), STAFF], "recorded", line=ASKED_OR_END,
    ),
    "opt-in or end, silence": Expected(
        silent_to_the_end, None, ["optin_or_end", "must_end"], [], [("timeout", "PROMPT_OPTIN_OR_END")], "silent",
        "recording-refused", line=ASKED_OR_END,
    ),
    # forbidden
    "forbidden, by the pack": Expected(
        keys_for_the_other_side, None, ["callee"], ["caller"], [], "not-asked", digits=(["*", "2"], ["2"]),
        line={"pack": "REC_NONE"},
    ),
    "forbidden, by the line": Expected(
        keys_for_the_other_side, None, ["callee"], ["caller"], [], "not-asked", digits=(["*", "2"], ["2"]),
        line={"pack": "REC_QUALITY", "consent": "forbidden"},
    ),
}  # fmt: skip
