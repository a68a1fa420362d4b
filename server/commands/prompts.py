"""prompt: what is said to people on the telephone, and own words or recordings in its place."""

from __future__ import annotations

import argparse
import base64
from pathlib import Path
from typing import Any

from server.client import ask
from server.commands.base import (
    Field,
    Subparsers,
    answer,
    asking,
    duration,
    group,
    leaf,
    minutes,
    operation,
    out,
    words,
)
from server.failure import Failure

_SOCKET_TAKES = 700_000
"""Bytes of a file that the daemon's socket takes in one piece; what is larger is made 8 kHz before it is sent."""

VERSION_FIELDS = (
    Field("number", "of the version", "NO"),
    Field("kind", "words, recording, or shipped: back to the text of the product", "KIND"),
    Field("state", "draft, in force, superseded, discarded, or altered", "STATE"),
    Field("words", "what is said; of a recording: what was typed beside it", "WORDS"),
    Field("sha256", "of the words, or of the recording as it is played"),
    Field("author", "who brought it: a login, or what the ledger calls whoever sat at the machine"),
    Field("author_is_person", "whether that is a login"),
    Field("created_at", "when", "SINCE", minutes),
    Field("in_force_at", "since when it counts, or from when it did", "IN FORCE", minutes),
    Field("approved_by", "who put it in force"),
    Field("approver_is_person", "whether that is a login"),
)
FIELDS = (
    Field("prompt", "its id: consents name it", "PROMPT"),
    Field("language", "fr or en", "LANG"),
    Field("mode", "announce, opt-out, opt-in, result, notice or failure"),
    Field("informs", "a consent or a duty to inform rests on it: another person approves its words"),
    Field("used", "some call may hear it as things are"),
    Field("source", "shipped, words, recording, or file: laid by hand in prompts/custom", "WHOSE"),
    Field("version", "as the evidence of a consent names it", "VERSION"),
    Field("words", "with {placeholders}; none of a file"),
    Field("said", "filled in as for a call", "WORDS"),
    Field("duration_ms", "how long it takes; none before it is spoken for the first time", "TAKES", duration),
    Field("file", "the file that was laid by hand"),
    Field("draft", "a version that does not count yet", "DRAFT", lambda draft: f"no. {draft['number']}"),
)
ONE_FIELDS = (
    *FIELDS,
    Field("shipped", "the text of the product"),
    Field("required", "placeholders that no wording may leave out", show=words),
    Field("allowed", "placeholders that there is something to say for", show=words),
    Field("must", "beginnings of words of which one of each group has to be said",
          show=lambda must: "; ".join(" or ".join(group) for group in must)),
    Field("recorded", "what a recording has to say in place of placeholders; none: no one recording can"),
    Field("history", "every version, newest first", show=lambda history: str(len(history))),
)  # fmt: skip
BROUGHT_FIELDS = (
    Field("version", "the draft that it has become", show=lambda version: f"no. {version['number']}"),
    Field("duration_ms", "of what was brought", show=duration),
    Field("rate_hz", "samples a second"),
    Field("channels", "one or two"),
    Field("level_dbfs", "of what is spoken in it; played at -20"),
    Field("peak_dbfs", "of its loudest sample"),
    Field("clipped_ms", "how much of it was too loud for its own recorder"),
    Field("silent_ms", "how much of it says nothing, pauses included"),
)
HEARD_FIELDS = (
    Field("prompt", "its id"),
    Field("language", "fr or en"),
    Field("version", "as the evidence of a consent names it"),
    Field("said", "the words"),
    Field("duration_ms", "how long it takes", show=duration),
    Field("sha256", "of the file: what the evidence of a consent names"),
    Field("level_dbfs", "of what is spoken"),
    Field("peak_dbfs", "of the loudest sample"),
    Field("outline", "loudest sample of each span, 0 to 100", show=lambda outline: f"{len(outline)} spans"),
    Field("audio", "the WAV file in base64", show=lambda audio: f"{len(audio)} characters"),
)


def register(subparsers: Subparsers) -> None:
    prompt = group(subparsers, "prompt", "what is said to people on the telephone")
    listed = leaf(prompt, "list", "list all prompts", operation("prompt.list", "language"), fields=FIELDS, many=True)
    listed.add_argument("--language", metavar="LANG", help="in this language (default: all of the company's)")
    _named(leaf(prompt, "show", "show a prompt, and what its words have to hold",
                operation("prompt.show", "prompt", "language"), fields=ONE_FIELDS))  # fmt: skip
    hear = _named(leaf(prompt, "hear", "write a prompt to a file, as a call hears it", _hear, fields=HEARD_FIELDS))
    hear.add_argument("--out", type=Path, metavar="FILE", help="a new WAV file")
    which = hear.add_mutually_exclusive_group()
    which.add_argument("--draft", dest="of", action="store_const", const="draft", help="the draft")
    which.add_argument("--shipped", dest="of", action="store_const", const="shipped", help="the text of the product")
    which.add_argument("--version", type=int, metavar="NO", help="a version that there was")
    write = _named(leaf(prompt, "write", "bring own words, as a draft",
                        operation("prompt.write", "prompt", "language", "text"), fields=VERSION_FIELDS,
                        details="A part in [square brackets] is left out where it names what is empty."))  # fmt: skip
    write.add_argument("text", metavar="TEXT", help="with {placeholders}")
    upload = _named(leaf(prompt, "upload", "bring a recording, as a draft", _upload, fields=BROUGHT_FIELDS,
                         details="WAV, PCM, 16 bit, 40 s at most. It is played as loud as all others."))  # fmt: skip
    upload.add_argument("file", type=Path, metavar="FILE")
    upload.add_argument("--text", required=True, metavar="TEXT", help="what is said in it")
    use = _named(leaf(prompt, "use", "let the draft count from the next call on",
                      operation("prompt.use", "prompt", "language", "number"), fields=VERSION_FIELDS))  # fmt: skip
    use.add_argument("number", type=int, nargs="?", metavar="NO", help="of the draft that was heard (default: of any)")
    approve = _named(leaf(prompt, "approve", "approve a draft on which a consent will rest",
                          operation("prompt.approve", "prompt", "language", "number", "login"),
                          fields=VERSION_FIELDS, details="It counts from the next call on."))  # fmt: skip
    approve.add_argument("number", type=int, metavar="NO", help="of the draft that was heard")
    approve.add_argument("--as", dest="login", required=True, metavar="LOGIN",
                         help="a person who may approve policies, and did not bring it")  # fmt: skip
    _named(leaf(prompt, "discard", "give a draft up", operation("prompt.discard", "prompt", "language"),
                fields=VERSION_FIELDS))  # fmt: skip
    _named(leaf(prompt, "reset", "go back to the shipped text, from the next call on",
                operation("prompt.reset", "prompt", "language"), fields=VERSION_FIELDS))  # fmt: skip


def _named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("prompt", metavar="PROMPT", help="as prompt list shows it, such as PROMPT_OPTIN")
    parser.add_argument("language", metavar="LANG", help="fr or en")
    return parser


def _hear(args: argparse.Namespace) -> int:
    given: dict[str, Any] = {"prompt": args.prompt, "language": args.language}
    given |= {name: getattr(args, name) for name in ("of", "version") if getattr(args, name) is not None}
    said = ask(asking(args), "prompt.hear", **given)
    if args.out is not None:
        try:
            with args.out.open("xb") as file:
                file.write(base64.b64decode(said["audio"]))
        except FileExistsError:
            raise Failure(f"{args.out} is already there", "Name a new file with --out", "conflict") from None
        except OSError as error:
            raise Failure(f"{args.out}: {error.strerror}", "Name another file with --out", "failed") from None
    answer(args, said)
    return 0


def _upload(args: argparse.Namespace) -> int:
    from recording import prompt_upload  # with numpy, which other commands do not load
    from recording.prompt_wav import BROUGHT_MAX_BYTES, AudioError

    measured: dict[str, Any] = {}
    try:
        if args.file.stat().st_size > BROUGHT_MAX_BYTES:
            raise AudioError(f"is larger than {BROUGHT_MAX_BYTES // 1_000_000} MB")
        content = args.file.read_bytes()
        if len(content) > _SOCKET_TAKES:
            brought = prompt_upload.read(content)
            measured = {field.name: getattr(brought, field.name) for field in BROUGHT_FIELDS[1:]}
            content = prompt_upload.small(brought)
    except AudioError as error:
        raise Failure(f"{args.file} {error}", "Bring another file", "invalid") from None
    except OSError as error:
        raise Failure(f"{args.file}: {error.strerror}", "Name a file that is there", "not_found") from None
    audio = base64.b64encode(content).decode()
    given = {"prompt": args.prompt, "language": args.language, "audio": audio, "text": args.text}
    # What is clipped is not seen any more in what was made small.
    said = ask(asking(args), "prompt.upload", **given) | measured
    answer(args, said)
    if not args.json and said["clipped_ms"]:
        out(f"! {said['clipped_ms']} ms are clipped: record it less loud")
    return 0
