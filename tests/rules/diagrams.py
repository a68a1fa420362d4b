"""The state diagrams of docs/architecture.md, drawn from the tables in the code.

`python -m tests.rules.diagrams` writes them anew into the document, each after its line `<!-- drawn: NAME -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from retention import consent_dialogue as dialogue
from retention.consent import ConsentMode
from retention.recording_decision import LegConsent
from sip.calls.legs import TRANSITIONS, LegState
from sms import messages
from storage import recordings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"

_WORDS = {
    dialogue.Input.ENDED: "prompt ended",
    dialogue.Input.FAILED: "prompt failed",
    dialogue.Input.TIMEOUT: "time over",
    dialogue.Input.GONE: "leg gone",
    dialogue.Input.KEY_1: "key 1",
    dialogue.Input.KEY_2: "key 2",
    dialogue.Input.KEY_0: "key 0",
    dialogue.Input.KEY_OTHER: "other key",
}
_NEVER_REACHED = {(ConsentMode.ANNOUNCE, dialogue.State.WAITING), (ConsentMode.ANNOUNCE, dialogue.State.MORE)}


def _mermaid(start: str, arrows: Iterable[tuple[str, str, str]], ends: Iterable[str]) -> str:
    """Arrows are (from, to, label); arrows between the same two states share one line."""
    labels: dict[tuple[str, str], list[str]] = {}
    for source, target, label in arrows:
        labels.setdefault((source, target), []).append(label)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {start}"]
    lines += [f"    {source} --> {target} : {', '.join(words)}" for (source, target), words in labels.items()]
    lines += [f"    {end} --> [*]" for end in ends]
    return "\n".join([*lines, "```"])


def legs() -> str:
    arrows = [(state.value, to.value, name) for state, row in TRANSITIONS.items() for name, to in row.items()]
    return _mermaid(LegState.ASKED.value, arrows, [LegState.DOWN.value])


def consent(mode: ConsentMode) -> str:
    """Drawn by running the machine: for each state and input, where it goes and what the answer then is.

    Silence means what the strictest country has not forbidden (record), and a refusal lets the call go on.
    """
    terms = LegConsent("a", mode, "PROMPT", "fr", "record", "continue")
    arrows = []
    for state in (dialogue.State.ASKING, dialogue.State.WAITING, dialogue.State.MORE, dialogue.State.CLOSING):
        if (mode, state) in _NEVER_REACHED:
            continue
        for given in dialogue.Input:
            # By the time it waits or tells more, the question may have been heard; only then does silence accept.
            heard = state is dialogue.State.WAITING
            before = dialogue.Dialogue(terms, state, turn=1, heard_to_end=heard)
            after, _ = dialogue.step(before, _event(given))
            if after == before:
                continue
            outcome = f" ({after.result.outcome.value})" if after.result is not None else ""
            arrows.append((state.name.lower(), after.state.name.lower(), f"{_WORDS[given]}{outcome}"))
    return _mermaid("asking", arrows, ["done"])


def _event(given: dialogue.Input) -> dialogue.Event:
    """An event of turn 1 that the machine sorts under this input."""
    events: Mapping[dialogue.Input, dialogue.Event] = {
        dialogue.Input.ENDED: dialogue.PromptEnded(1),
        dialogue.Input.FAILED: dialogue.PromptFailed(1),
        dialogue.Input.TIMEOUT: dialogue.TimedOut(1),
        dialogue.Input.GONE: dialogue.LegGone(),
        dialogue.Input.KEY_1: dialogue.Key("1"),
        dialogue.Input.KEY_2: dialogue.Key("2"),
        dialogue.Input.KEY_0: dialogue.Key("0"),
        dialogue.Input.KEY_OTHER: dialogue.Key("5"),
    }
    return events[given]


def recording_states() -> str:
    """`storage.recordings`: `mark` and `finish` follow the table, `destroy` takes all but the destroyed."""
    table = recordings._NEXT  # noqa: SLF001 - the table is the room's own, the drawing is ours
    arrows = [(state, to, "") for state, row in table.items() for to in sorted(row)]
    arrows += [(state, "destroyed", "deletion gate") for state in table if state != "destroyed"]
    text = _mermaid("recording", arrows, ["destroyed"])
    return re.sub(r"(?m) : $", "", text)


def parts_of_texts() -> str:
    arrows = [
        (state.value, to.value, word.value) for state, row in messages.TRANSITIONS.items() for word, to in row.items()
    ]
    going_on = {state.value for state in messages.TRANSITIONS} | {messages.State.HELD.value}
    ends = [state.value for state in messages.State if state.value not in going_on]
    return _mermaid(messages.State.QUEUED.value, [one for one in arrows if one[0] != one[1]], ends)


DRAWINGS: Mapping[str, Callable[[], str]] = {
    "legs": legs,
    "consent opt-in": lambda: consent(ConsentMode.OPT_IN),
    "consent opt-out": lambda: consent(ConsentMode.OPT_OUT),
    "consent announce": lambda: consent(ConsentMode.ANNOUNCE),
    "recording": recording_states,
    "parts of a text": parts_of_texts,
}


def place(name: str) -> re.Pattern[str]:
    """The drawing of that name in the document: the fence after its mark."""
    return re.compile(rf"(?sm)(?<=<!-- drawn: {re.escape(name)} -->\n)```mermaid\n.*?^```$")


def redrawn(text: str) -> str:
    """The document with every drawing made anew."""
    for name, draw in DRAWINGS.items():
        text = place(name).sub(lambda _, new=draw: new(), text)
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(redrawn(DOCUMENT.read_text()))
