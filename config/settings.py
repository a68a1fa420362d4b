"""The configuration: one TOML file, typed, checked as a whole before anything starts.

`load` and `parse` report every mistake at once. `sample` prints an annotated file. `diff` tells which changes
a reload applies and which wait for a restart. Only the server room reads this; others are given plain values.
"""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import annotated_types
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.alert_section import Alerts
from config.crosschecks import cross_problems
from config.problems import (
    HIDDEN,
    SECRET_REMEDY,
    ConfigError,
    Problem,
    did_you_mean,
    explain,
    looks_like_secret,
)
from config.sections import (
    Calls,
    Company,
    Emergency,
    Http,
    Limits,
    Log,
    Media,
    Numbering,
    Policy,
    Recording,
    Retention,
    Secrets,
    Section,
    Sip,
    Storage,
)
from config.sms_section import Mail, Sms
from config.web_section import Web

__all__ = [
    "Alerts",
    "Calls",
    "Change",
    "Company",
    "ConfigError",
    "Emergency",
    "Http",
    "Limits",
    "Log",
    "Mail",
    "Media",
    "Numbering",
    "Policy",
    "Problem",
    "Recording",
    "Retention",
    "Secrets",
    "Settings",
    "Sip",
    "Sms",
    "Storage",
    "Web",
    "diff",
    "load",
    "parse",
    "sample",
]


class Settings(Section):
    """Everything that can be configured; each section is a frozen model of `config.sections`."""

    company: Company = Company()
    sip: Sip = Sip()
    limits: Limits = Limits()
    media: Media = Media()
    calls: Calls = Calls()
    emergency: Emergency = Emergency()
    numbering: Numbering = Numbering()
    recording: Recording = Recording()
    retention: Retention = Retention()
    policy: Policy = Policy()
    sms: Sms = Sms()
    mail: Mail = Mail()
    storage: Storage = Storage()
    http: Http = Http()
    web: Web = Web()
    alerts: Alerts = Alerts()
    log: Log = Log()
    secrets: Secrets = Secrets()


def load(path: Path) -> Settings:
    """Read and check the file at `path`. Raises ConfigError with every problem, unreadable included."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        remedy = "make it with `beffroi quickstart`, or write one from the annotated sample"
        raise ConfigError([Problem(str(path), "", "there is no such file", remedy)], str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        remedy = "let the service's user read it, as UTF-8"
        raise ConfigError([Problem(str(path), "", f"cannot be read: {reason}", remedy)], str(path)) from None
    return parse(text, source=str(path))


def parse(text: str, *, source: str = "configuration") -> Settings:
    """Check the TOML `text`. Raises ConfigError holding all mistakes, those between keys included."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(text, str(error))], source) from None
    found = _field_problems(raw)
    # What is wrong by itself is put aside, so that mistakes between the other keys show in the same report.
    bad = {p.key for p in found}
    settings = Settings.model_validate(_without(raw, bad))
    found += [p for involved, p in cross_problems(settings) if not bad & involved]
    if found:
        raise ConfigError(sorted(found, key=lambda p: p.key), source)
    return settings


def _syntax_problem(text: str, error: str) -> Problem:
    at = re.search(r"\(at line (\d+), column (\d+)\)", error)
    lines = text.splitlines()
    number = int(at[1]) if at else max(len(lines), 1)
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    shown = HIDDEN if looks_like_secret(line.partition("=")[0].strip()) else line
    message = re.sub(r" \(at .*\)$", "", error)
    return Problem(
        f"line {number}",
        shown,
        f"is not TOML: {message[:1].lower()}{message[1:]}",
        "correct that line; texts stand between quotes, sections in [brackets]",
    )


def _field_problems(raw: Mapping[str, Any]) -> list[Problem]:
    try:
        Settings.model_validate(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A list whose entries are wrong is said to be too short as well, which it is not.
        wrong_within = {e["loc"][:-1] for e in errors if isinstance(e["loc"][-1], int)}
        return [_translate(e) for e in errors if not (e["type"] == "too_short" and e["loc"] in wrong_within)]
    return []


def _translate(error: ErrorDetails) -> Problem:
    path = [str(part) for part in error["loc"] if isinstance(part, str)]
    key = ".".join(path)
    value = _shown(error["input"])
    if error["type"] == "extra_forbidden":
        if looks_like_secret(key):
            return Problem(key, HIDDEN, "would be a secret in a file that many may read", SECRET_REMEDY)
        return Problem(key, value, "is not a known key", did_you_mean(path[-1], _known(path[:-1])))
    ctx = error.get("ctx", {})
    if error["type"] == "beffroi":
        return Problem(key, value, str(ctx["message"]), str(ctx["remedy"]))
    return Problem(key, value, *explain(error["type"], ctx, error["msg"]))


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "{...}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = re.sub(r"(//[^/@\s]*?:)[^/@\s]*@", r"\1***@", text)
    return text if len(text) <= 80 else text[:77] + "..."


def _known(path: list[str]) -> list[str]:
    if not path:
        return list(Settings.model_fields)
    field = Settings.model_fields.get(path[0])
    section = field.annotation if field else None
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, Section) else []


def _without(raw: Mapping[str, Any], bad: set[str], prefix: str = "") -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in raw.items():
        key = prefix + name
        if key not in bad:
            kept[name] = _without(value, bad, key + ".") if isinstance(value, Mapping) else value
    return kept


def _fields() -> Iterator[tuple[str, type[Section], str, FieldInfo]]:
    for name, info in Settings.model_fields.items():
        section = info.annotation
        assert isinstance(section, type) and issubclass(section, Section)  # noqa: S101 - our own model
        for key, field in section.model_fields.items():
            yield name, section, key, field


@dataclass(frozen=True, slots=True)
class Change:
    """One key that differs. `restart`: it takes effect at the next start, a reload leaves it as it was."""

    key: str
    old: object
    new: object
    restart: bool


def diff(old: Settings, new: Settings) -> tuple[Change, ...]:
    """Every key whose value differs, in the order of the file."""
    changes = []
    for name, _, key, field in _fields():
        before, after = getattr(getattr(old, name), key), getattr(getattr(new, name), key)
        if before != after:
            changes.append(Change(f"{name}.{key}", before, after, _needs_restart(field)))
    return tuple(changes)


def _needs_restart(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("restart") is True


def sample(**overrides: Mapping[str, Any]) -> str:
    """An annotated configuration file. `overrides` by section: `sample(sip={"domain": "sip.example.org"})`.

    Without overrides it parses back to the defaults. Raises ConfigError where an override is a mistake.
    """
    chosen = Settings.model_validate({})
    lines = [
        "# Beffroi: configuration. Every key is shown with its default or the value chosen at set-up.",
        "# A key marked (restart) takes effect at the next start; the others follow a reload.",
        "# No secret stands here, see [secrets].",
    ]
    current = ""
    for name, section, key, field in _fields():
        if name != current:
            current = name
            lines += ["", *_comment(section.__doc__ or ""), f"[{name}]"]
        value = overrides.get(name, {}).get(key, getattr(getattr(chosen, name), key))
        lines += _comment(_note(field))
        lines += _table(f"{name}.{key}.NAME", field) if not value and _is_tables(field) else [f"{key} = {_toml(value)}"]
    text = "\n".join(lines) + "\n"
    strange = [
        Problem(f"{name}.{key}", HIDDEN, "is not a known key", did_you_mean(key, _known([name])))
        for name, values in overrides.items()
        for key in values
        if key not in _known([name])
    ]
    if strange:
        raise ConfigError(strange, "sample")
    parse(text, source="sample")
    return text


def _table(name: str, field: FieldInfo) -> list[str]:
    """What may stand in such a table, each key with its default; all of it a comment."""
    lines = [f"# [{name}]"]
    for key, inner in get_args(field.annotation)[1].model_fields.items():
        lines += [*_comment(_note(inner)), f"# {key} = {_toml(inner.default)}"]
    return lines


def _is_tables(field: FieldInfo) -> bool:
    """Whether the key holds sections of its own: TOML knows `[a.b.NAME]` or `b = {}`, and not both."""
    inner = get_args(field.annotation)
    return get_origin(field.annotation) is dict and isinstance(inner[1], type) and issubclass(inner[1], Section)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), 100)]


def _note(field: FieldInfo) -> str:
    bounds = {type(m): m for m in field.metadata}
    low, high = bounds.get(annotated_types.Ge), bounds.get(annotated_types.Le)
    note = field.description or ""
    if isinstance(low, annotated_types.Ge) and isinstance(high, annotated_types.Le):
        note += f" From {low.ge} to {high.le}."
    return note + (" (restart)" if _needs_restart(field) else "")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{_key(name)} = {_toml(entry)}" for name, entry in value.items()) + " }"
            if value
            else "{}"
        )
    # A JSON string is a TOML basic string, save for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
