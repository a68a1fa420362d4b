"""Does a text hold a one-time code? Then its body is never stored: whoever reads it later could sign in as somebody.

In doubt, yes: what is lost is a body in the history. A template may also say so of a field (sms.text.templates).
"""

from __future__ import annotations

import re

from sms.words import folding

_ABOUT = re.compile(
    r"\b(?:codes?|codigo|codice|otp|totp|tan|pin|2fa|mfa|mot de passe|mdp|password|passcode|passwort|contrasena|"
    r"wachtwoord|token|jeton|verif\w+|validation|authentif\w+|authenticat\w+|bestatigung\w*|sicherheits\w*|"
    r"bevestigings\w*|(?:\w+)?code|one time|usage unique|security|securite|identification|"
    r"(?:sign|log) ?in|connexion|login|valable \d+ ?(?:min|mn|h)|valid for \d+|expir\w+ (?:dans|in) \d+|"
    r"ne (?:le |la )?(?:partag|communiqu|divulgu|transmett)\w+|(?:do not|don t|never) share)\b"
)
# Codes that open nothing of anybody's.
_OTHER_CODES = re.compile(
    r"\bcodes? (?:promo\w*|postal|postale|reduc\w*|de reduction|avantage|cadeau|barres?|ape|naf|client|offre|article|"
    r"produit|parrain\w*|privilege|color\w*|qr|de la route|civil|du travail)\b|"
    r"\b(?:promo\w*|discount|coupon|voucher|zip|area|dress|bar|qr|gift|referral|source|country) ?codes?\b|"
    r"\b(?:validation|verification) (?:de|of) (?:la |the |votre |your )?(?:commande|order|panier)\b"
)
_CANDIDATE = re.compile(
    r"(?<![\w+./,€$£-])(?:"
    r"[A-Z]{1,3}-\d{4,8}|\d{3}[ \u00a0-]\d{3}(?:[ \u00a0-]\d{2,3})?|\d{2}(?:[ \u00a0-]\d{2}){1,3}|\d{4,10}|"
    r"(?=[A-Z0-9]*\d)(?=[A-Z0-9]*[A-Z])[A-Z0-9]{4,10}|(?:[A-Z0-9]{3,5}-){1,3}[A-Z0-9]{3,5}|"
    r"(?=[A-Za-z0-9!?#@$%*]*\d)(?=[A-Za-z0-9!?#@$%*]*[A-Za-z])[A-Za-z0-9!?#@$%*]{6,24})(?![\w€$£%]|[.,/-]\w)"
)
_ALONE = re.compile(r"\s*(?:[A-Z]-)?\d{4,8}\s*")
_BOUND = re.compile(r"(?m)^@[\w.-]+\.\w+ #\S{4,}\s*$")  # origin-bound codes, as browsers read them
_SIGN_IN_LINK = re.compile(
    r"https?://\S*(?:token|otp|magic|reset|verif|confirm|login|signin|auth|connexion|activat|invit)\w*[/=?&:-]?\S*?[\w-]{12,}",
    re.IGNORECASE,
)


def holds(text: str) -> bool:
    """Whether it may hold a code or a link that signs somebody in."""
    if _ALONE.fullmatch(text) or _BOUND.search(text) or _SIGN_IN_LINK.search(text):
        return True
    flat = folding.words(folding.folded(text))
    about = _ABOUT.search(_OTHER_CODES.sub(" ", flat))
    return about is not None and _CANDIDATE.search(text) is not None
