"""How a leg sounded, as one figure: ITU-T G.107 (the E-model) as far as a server can fill it in.

    R    = 93.2 - Id - Ie,eff                              with the defaults of G.107 (06/2015) table 2 for the rest
    Id   = 0.024 d + 0.11 (d - 177.3) H(d - 177.3)         d: delay mouth to ear in ms, H: 0 below 0, else 1
    Ie,eff = Ie + (95 - Ie) Ppl / (Ppl + Bpl)              G.107 equation 7-29 for random loss (BurstR = 1), Ppl in %
    MOS  = 1 + 0.035 R + R (R - 60) (100 - R) 7e-6         G.107 annex B, 1 below R = 0, 4.5 above R = 100

The short form of Id is that of R. G. Cole and J. H. Rosenbluth, "Voice over IP performance monitoring", ACM SIGCOMM CCR
31(2), 2001. Ie and Bpl stand in ITU-T G.113 (11/2007) appendix I. G.722 is put on the same narrow-band scale as G.711:
the figure says what the network has cost, not how wide the band is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

BEST_R: Final = 93.2
FRAME_MS: Final = 20.0  # one packet has to be spoken before it can be sent
_KNEE_MS: Final = 177.3

# Codec -> (Ie, Bpl). Both ends conceal what is lost (G.711 appendix I and its like).
IMPAIRMENT: Final[Mapping[str, tuple[float, float]]] = {
    "PCMA": (0.0, 25.1),
    "PCMU": (0.0, 25.1),
    "G722": (0.0, 25.1),
    "G729": (11.0, 19.0),
}
_OTHER: Final = (0.0, 25.1)


def one_way_ms(rtt_ms: float, jitter_ms: float) -> float:
    """Delay of one direction: half the round trip, one packet, and a jitter buffer of twice the mean jitter."""
    return rtt_ms / 2 + FRAME_MS + 2 * jitter_ms


def rating(loss: float, delay_ms: float, codec: str = "PCMA") -> float:
    """R. ``loss``: part of the packets that did not arrive, 0 to 1."""
    impairment, robustness = IMPAIRMENT.get(codec.upper(), _OTHER)
    percent = 100 * min(max(loss, 0.0), 1.0)
    beyond_ms = max(0.0, delay_ms - _KNEE_MS)
    delayed = 0.024 * delay_ms + 0.11 * beyond_ms
    return BEST_R - delayed - (impairment + (95 - impairment) * percent / (percent + robustness))


def mos(r: float) -> float:
    """Mean opinion score: 1 bad, 2 poor, 3 fair, 4 good, 4.5 the most that there is."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)
