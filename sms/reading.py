"""What a text that came in says, as far as it concerns us before anybody reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stop = Literal["stop", "start", "help", "ambiguous", "none"]
Request = Literal["rectification", "erasure", "access", "objection"]


@dataclass(frozen=True, slots=True)
class Reading:
    """`calls_too`: they want no calls either. `aside`: why it is set aside, or "". `machine`: no person wrote it."""

    stop: Stop = "none"
    calls_too: bool = False
    aside: str = ""
    requests: tuple[Request, ...] = ()
    machine: bool = False
    rule: str = ""


Read = Callable[[str], Reading]
