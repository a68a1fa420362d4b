"""What is told as it happens: to streams of the API and to webhooks."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["call.started", "call.answered", "call.ended", "text.in", "text.out"]
KINDS: tuple[Kind, ...] = get_args(Kind)
