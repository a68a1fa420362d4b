"""The words of a campaign while they are written: what is added to them, and how many parts they take."""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.campaign_desk import terms
from server.failure import Failure
from server.services.actor import Actor
from server.services.campaigns import Class
from server.services.context import Services
from server.services.inbox_rights import sender_of, to_send
from sms import addresses
from sms.campaign_words import UnstoppableError, words_of
from sms.text import segments
from sms.text.segments import PARTS_MAX, NotTextError, TooLongError
from sms.text.templates import TemplateError

_FIELD = re.compile(r"(?<!\{)\{([^{}]{1,40})\}")
_VALUE = "x" * 10  # a value of a usual length: the list tells the rest


@dataclass(frozen=True, slots=True)
class MeasureView:
    """Fields: see `server.commands.campaigns.MEASURE`."""

    words: str
    before: str
    after: str
    fields: tuple[str, ...]
    parts: int
    coding: str
    units: int
    forced: tuple[str, ...]
    sender: str


async def measure(
    services: Services,
    actor: Actor,
    *,
    login: str,
    inbox: str,
    template: str,
    message_class: Class = "marketing",
    sender: str | None = None,
    language: str | None = None,
    transliterated: bool | None = None,
) -> MeasureView:
    """Nothing is kept of it. A field counts as ten letters. Raises Failure."""
    async with services.db.read() as tx:
        _, box = await to_send(tx, login, inbox)
        chosen = await sender_of(tx, box, message_class, sender)
    company, settings = terms(services.settings), services.settings.sms
    named = tuple(dict.fromkeys(_FIELD.findall(template)))
    try:
        words = words_of(
            template, named, message_class=message_class, identity=company.identity, language=language or box.language,
            sender=addresses.of_text(chosen.address), stop_code=chosen.stop_code, country=company.country,
        )  # fmt: skip
        shown = words.text({name: f"{{{name}}}" for name in named})
        filled = words.text(dict.fromkeys(named, _VALUE))
        kept = settings.transliterate if transliterated is None else transliterated
        plan = segments.plan(filled, transliterated=kept, limit=PARTS_MAX)
    except TemplateError as error:
        raise Failure(f"its words: {error}", "Correct them", "invalid") from None
    except UnstoppableError as error:
        raise Failure(f"its sender: {error}", "Choose another sender, or have its code entered", "invalid") from None
    except NotTextError as error:
        raise Failure(f"its words: {error}", "Take it out", "invalid") from None
    except TooLongError:
        raise Failure(f"its words take more than {PARTS_MAX} parts", "Shorten them", "invalid") from None
    own = template.strip().replace("{{", "{").replace("}}", "}")
    at = shown.find(own)
    return MeasureView(
        words=shown,
        before=shown[:at] if at > 0 else "",
        after=shown[at + len(own) :] if at >= 0 else "",
        fields=named,
        parts=len(plan.parts),
        coding=str(plan.coding),
        units=plan.units,
        forced=plan.forced,
        sender=chosen.address.lstrip("'"),
    )
