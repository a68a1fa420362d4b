"""Conversations that go on in one another, after attended transfers: who is where.

Each relay feeds one other conversation, so from any phone the way leads to the one that feeds none. That one holds
policy, consent and recording of the parties at both ends, and there every transfer of them is carried out.
There are no loops: only a conversation that feeds none becomes a relay, for another one that feeds none, and call
control lets neither be part of a second transfer meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sip.calls.conversation import Conversation
from sip.calls.plan import Party


@dataclass(frozen=True, slots=True)
class Place:
    """A leg of a conversation."""

    conversation: Conversation
    leg: str

    @property
    def opposite(self) -> Place | None:
        """Whoever is in conversation with it; None if nobody is."""
        other = self.conversation.script.other(self.leg)
        return None if other is None else Place(self.conversation, other)

    @property
    def party(self) -> Party:
        """Who is there."""
        return self.conversation.party(self.leg)


def held_at(place: Place) -> Place:
    """The leg that stands for this phone where its conversation is held; itself, if it is not behind a relay."""
    while (link := place.conversation.link) is not None and place.opposite == Place(place.conversation, link.own):
        place = Place(link.first, link.joint)
    return place


def depth(place: Place, conversations: Iterable[Conversation]) -> int:
    """How many relays lie between this leg and the phone that it stands for."""
    relays = {Place(link.first, link.joint): each for each in conversations if (link := each.link) is not None}
    deep, there = 0, place
    while (relay := relays.get(there)) is not None:
        deep += 1
        assert relay.link is not None
        behind = Place(relay, relay.link.own).opposite
        if behind is None:
            break
        there = behind
    return deep
