"""What tests of transfers share: two calls of one phone, Replaces, NOTIFY, and who hears whom."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sip.calls.plan import Stage, Target
from tests.peers.tones import tone, tones_in
from tests.sip.calls.stage import BOB, CAROL, House, plan_for
from tests.sip.worker.phones import Dialog


async def notified(dialog: Dialog) -> list[tuple[str, str]]:
    """(sipfrag, state) of each NOTIFY up to the last."""
    said: list[tuple[str, str]] = []
    while True:
        message = await dialog.request("NOTIFY")
        said.append((message.body.decode().strip(), message["Subscription-State"]))
        if said[-1][1].startswith("terminated"):
            return said


async def hear_each_other(one: Dialog, other: Dialog) -> None:
    """What one says arrives at the other, both ways."""
    for speaks, listens, hz in ((one, other, 440), (other, one, 1000)):
        async with asyncio.timeout(8):
            while True:
                listens.rtp.heard.clear()
                speaks.rtp.say(tone(hz, 0.5))
                await asyncio.sleep(0.6)
                if hz in tones_in(listens.rtp.samples(), (440, 1000)):
                    break


async def two_calls(stage: House, second: str) -> tuple[Dialog, Dialog, Dialog, Dialog]:
    """Bob talks with Alice, and in a second call (``out``, ``in``) with Carol: (alice, bob1, bob2, carol)."""
    alice, bob1 = await stage.talk()
    carol = replace(plan_for(account="carol"), caller=CAROL)
    outward = replace(plan_for(account="bob"), caller=BOB, callee=CAROL)
    outward = replace(outward, stages=(Stage((Target("b0", ("carol-1",), False),), 20.0, CAROL),))
    stage.planner.plan_ = outward if second == "out" else carol
    first, other = await stage.talk()
    bob2, there = (first, other) if second == "out" else (other, first)
    return alice, bob1, bob2, there


def replaces(stage: House, dialog: Dialog, *, wrong: bool = False) -> str:
    stage.cleaning.tags[dialog.call_id] = (dialog.tag, dialog.remote_tag)
    to_tag = "wrong" if wrong else dialog.remote_tag or "none"
    return f"<sip:103@test.lan?Replaces={dialog.call_id}%3Bto-tag%3D{to_tag}%3Bfrom-tag%3D{dialog.tag}>"
