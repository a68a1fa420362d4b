"""What each prompt is called, and where it is heard."""

from __future__ import annotations

from collections.abc import Mapping

from server.web.language import N_

GROUPS: Mapping[str, str] = {
    "informs": N_("Consent and information"),
    "result": N_("What was done"),
    "notice": N_("Notices and tests"),
    "failure": N_("Why a call does not go through"),
}

PLACES: Mapping[str, tuple[str, str]] = {
    "PROMPT_ANNOUNCE": (
        N_("Announcement of a recording"),
        N_("Before the call is connected, where the law asks only that people are told."),
    ),
    "PROMPT_OPTOUT": (N_("May refuse"), N_("Before the call is connected, where people may refuse to be recorded.")),
    "PROMPT_OPTOUT_QUALITY": (
        N_("May refuse: quality and training"),
        N_("Before the call is connected, on lines that record for quality."),
    ),
    "PROMPT_OPTIN": (N_("Has to agree"), N_("Before the call is connected, where nothing is recorded without a yes.")),
    "PROMPT_OPTIN_OR_END": (
        N_("Has to agree, or the call ends"),
        N_("Before the call is connected, where there is no call without a recording."),
    ),
    "PROMPT_CONTRACT": (
        N_("A contract by telephone"),
        N_("When the part of a call begins in which a contract is made."),
    ),
    "PROMPT_MIFID": (
        N_("Duty of investment firms"),
        N_("Before the call is connected, on lines that record by MiFID."),
    ),
    "PROMPT_INSURANCE": (N_("Duty of insurers"), N_("Before the call is connected, on lines that sell insurance.")),
    "PROMPT_STAFF": (N_("To whoever answers"), N_("In one sentence, when one of the house answers a recorded call.")),
    "PROMPT_VOICEMAIL": (N_("Voice mail"), N_("Before a message is left.")),
    "PROMPT_TRANSCRIPT": (N_("Transcript by a machine"), N_("Before a call is written down by a machine.")),
    "PROMPT_LONG": (N_("To learn more"), N_("When somebody presses 0 while being asked.")),
    "PROMPT_REFUSED": (N_("Refusal noted"), N_("After somebody has refused.")),
    "PROMPT_STOPPED": (N_("Recording stopped"), N_("After an objection in the middle of a call.")),
    "PROMPT_PAUSED": (N_("Recording paused"), N_("When one of the house presses *7.")),
    "PROMPT_RESUMED": (N_("Recording goes on"), N_("When the pause ends.")),
    "PROMPT_TIMEOUT": (N_("No answer to the question"), N_("When somebody who has to agree says nothing.")),
    "PROMPT_MUST_END": (N_("The call has to end"), N_("After a refusal, where there is no call without a recording.")),
    "PROMPT_DND_ON": (N_("Do not disturb is on"), N_("After the code was dialled.")),
    "PROMPT_DND_OFF": (N_("Do not disturb is off"), N_("After the code was dialled.")),
    "PROMPT_FORWARD_ON": (N_("The forward is on"), N_("After the code was dialled.")),
    "PROMPT_FORWARD_OFF": (N_("The forward is off"), N_("After the code was dialled.")),
    "PROMPT_ECHO": (N_("Echo test"), N_("At the beginning of the echo test.")),
    "PROMPT_ECHO_GOOD": (N_("Echo test: good"), N_("At the end of the echo test.")),
    "PROMPT_ECHO_UNCONFIRMED": (N_("Echo test: good as far as is known"), N_("At the end of the echo test.")),
    "PROMPT_ECHO_SILENT": (N_("Echo test: no sound arrives"), N_("At the end of the echo test.")),
    "PROMPT_ECHO_MUTE": (N_("Echo test: only silence"), N_("At the end of the echo test.")),
    "PROMPT_ECHO_LOSS_LITTLE": (N_("Echo test: a little is lost"), N_("At the end of the echo test.")),
    "PROMPT_ECHO_LOSS": (N_("Echo test: some is lost"), N_("At the end of the echo test.")),
    "PROMPT_ECHO_LOSS_HEAVY": (N_("Echo test: much is lost"), N_("At the end of the echo test.")),
    "PROMPT_ECHO_LOSS_BACK": (N_("Echo test: lost on the way back"), N_("At the end of the echo test.")),
    "PROMPT_ECHO_UNEVEN": (N_("Echo test: late or uneven"), N_("At the end of the echo test.")),
    "PROMPT_CEILING": (N_("The limit is near"), N_("Shortly before a call is cut by a limit.")),
    "PROMPT_CEILING_END": (N_("The limit is reached in the call"), N_("When a call is cut by a limit.")),
    "PROMPT_DRILL": (N_("Emergency drill"), N_("When a drill was dialled.")),
    "PROMPT_DRILL_SWITCHED_ON": (
        N_("Emergency drill for all"),
        N_("When somebody calls for help while a drill is on."),
    ),
    "PROMPT_BUSY": (N_("Busy"), N_("When the call was answered already and nobody can be reached.")),
    "PROMPT_NO_ANSWER": (N_("No answer"), N_("When the call was answered already and nobody can be reached.")),
    "PROMPT_NOT_AVAILABLE": (N_("Not available"), N_("When the call was answered already and nobody can be reached.")),
    "PROMPT_DECLINED": (N_("Declined"), N_("When the call was answered already and nobody can be reached.")),
    "PROMPT_UNKNOWN": (N_("No such number"), N_("To phones of the house, before the call is refused.")),
    "PROMPT_CONTACT_REFUSED": (N_("Canvassing: not allowed"), N_("To whoever calls for a line that canvasses.")),
    "PROMPT_CONTACT_HOURS": (N_("Canvassing: not at this hour"), N_("To whoever calls for a line that canvasses.")),
    "PROMPT_CONTACT_CONSENT": (N_("Canvassing: no consent"), N_("To whoever calls for a line that canvasses.")),
    "PROMPT_CONTACT_SUPPRESSED": (
        N_("Canvassing: asked not to be called"),
        N_("To whoever calls for a line that canvasses."),
    ),
    "PROMPT_CONTACT_ATTEMPTS": (N_("Canvassing: called too often"), N_("To whoever calls for a line that canvasses.")),
    "PROMPT_LINES_BUSY": (N_("All lines are busy"), N_("To phones of the house, before the call is refused.")),
    "PROMPT_ERROR": (N_("Something went wrong"), N_("When the call was answered already and cannot go on.")),
    "PROMPT_LIMIT": (N_("The limit is reached"), N_("To phones of the house, before the call is refused.")),
    "PROMPT_NOT_PERMITTED": (
        N_("Not allowed from this phone"),
        N_("To phones of the house, before the call is refused."),
    ),
    "PROMPT_LOOP": (N_("Forwards go round"), N_("To phones of the house, before the call is refused.")),
    "PROMPT_TRUNK_FAILED": (N_("No way out"), N_("To phones of the house, before the call is refused.")),
    "PROMPT_TRANSFER_FAILED": (N_("The transfer failed"), N_("To who is left alone by a transfer, or asked for it.")),
    "PROMPT_PICKUP_FAILED": (N_("Nothing to pick up"), N_("After the code was dialled.")),
    "PROMPT_FORWARD_REFUSED": (N_("The forward is not possible"), N_("After the code was dialled.")),
}
"""Prompt: its name, and where it is heard."""
