"""From an operation's signature to the parameters, the body and the answer of its route.

What is checked here is checked once more by the operation itself; here a program is told which field is wrong.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from server.services import operations
from server.web.api import bounds
from server.web.api.problems import Refused, Wrong
from server.web.api.routes import Route

Place = Literal["path", "query", "body"]

PAGING = frozenset({"limit"})
"""Arguments of operations that the pages of the API stand for."""

_LONG = {("policy.import", "document"): bounds.MAX_DOCUMENT_CHARS, ("prompt.upload", "audio"): bounds.MAX_AUDIO_CHARS}
_WHOLE = re.compile(r"-?[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Field:
    """One argument as a program sends it. `name`: what it is called outside."""

    name: str
    argument: str
    place: Place
    required: bool
    default: object
    adapter: TypeAdapter[Any]
    schema: Mapping[str, Any]
    longest: int

    @property
    def many(self) -> bool:
        """Whether a query may hold it several times."""
        return "array" in self.types

    @property
    def types(self) -> frozenset[str]:
        """Types of JSON that it may have."""
        found = self.schema.get("anyOf", [self.schema])
        return frozenset(_type(one) for one in found)


@functools.cache
def fields(route: Route) -> tuple[Field, ...]:
    """What a program sends: not who asks, who is always the token's person, nor what pages stand for."""
    function = operations.find(route.operation)
    hints = typing.get_type_hints(function)
    place: Place = "query" if route.method in ("GET", "DELETE") else "body"
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name == route.rule.login:
            continue
        if route.reads and is_paged(route) and parameter.name in PAGING:
            continue
        in_path = parameter.name in route.parts
        adapter: TypeAdapter[Any] = TypeAdapter(hints[parameter.name])
        missing = parameter.default is parameter.empty
        found.append(
            Field(
                name=parameter.name.rstrip("_"),
                argument=parameter.name,
                place="path" if in_path else place,
                required=in_path or (missing and parameter.name != _mine(route)),
                default=None if missing else parameter.default,
                adapter=adapter,
                schema=adapter.json_schema(),
                longest=_longest(route, parameter.name),
            )
        )
    return tuple(found)


@functools.cache
def is_paged(route: Route) -> bool:
    """Whether it answers with a list, which is given page by page."""
    return route.reads and typing.get_origin(answer_type(route)) is list


@functools.cache
def takes_limit(route: Route) -> bool:
    return "limit" in inspect.signature(operations.find(route.operation)).parameters


def answer_type(route: Route) -> Any:
    return typing.get_type_hints(operations.find(route.operation))["return"]


def read_path(route: Route, given: Mapping[str, str]) -> dict[str, object]:
    """Raises Refused."""
    return _read(route, "path", {name: _from_text(_named(route, name), text) for name, text in given.items()})


def read_query(route: Route, given: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """Each name with all its values. Raises Refused."""
    known = {field.name: field for field in fields(route) if field.place == "query"}
    wrong: list[Wrong] = []
    values: dict[str, object] = {}
    for name, texts in given.items():
        field = known.get(name)
        if field is None:
            wrong.append(Wrong("query", name[:60], "is not known here"))
        elif field.many:
            values[name] = [_from_text(field, text) for text in texts]
        elif len(texts) > 1:
            wrong.append(Wrong("query", name, "stands there more than once"))
        else:
            values[name] = _from_text(field, texts[0])
    return _read(route, "query", values, wrong)


def read_body(route: Route, given: object) -> dict[str, object]:
    """Raises Refused."""
    if not isinstance(given, dict):
        raise Refused("the body is no JSON object", "Send one with the fields of the document", "malformed")
    known = {field.name for field in fields(route) if field.place == "body"}
    wrong = [Wrong("body", name[:60], "is not known here") for name in sorted(given.keys() - known)]
    return _read(route, "body", given, wrong)


def _read(route: Route, place: Place, values: Mapping[str, object], found: Sequence[Wrong] = ()) -> dict[str, object]:
    wrong, read = list(found), {}
    for field in fields(route):
        if field.place != place:
            continue
        if field.name not in values:
            if field.required:
                wrong.append(Wrong(place, field.name, "is missing"))
            continue
        try:
            bounds.check(values[field.name], longest=field.longest)
            read[field.argument] = field.adapter.validate_json(json.dumps(values[field.name]), strict=True)
        except bounds.Unbounded as error:
            wrong.append(Wrong(place, field.name, str(error)))
        except ValidationError as error:
            wrong.append(Wrong(place, field.name, error.errors(include_input=False, include_url=False)[0]["msg"]))
    if wrong:
        names = ", ".join(one.name for one in wrong)
        raise Refused(f"wrong or missing: {names}", "See /api/v1/ for what this route takes", "misuse", wrong)
    return read


def _named(route: Route, argument: str) -> Field:
    return next(field for field in fields(route) if field.argument == argument)


def _from_text(field: Field, text: str) -> object:
    """The value that a text in a path or a query stands for, where it stands for one of the field's types."""
    if field.types & {"integer"} and _WHOLE.fullmatch(text):
        return int(text)
    if "boolean" in field.types and text in ("true", "false"):
        return text == "true"
    return text


def _type(schema: Mapping[str, Any]) -> str:
    if "type" in schema:
        return str(schema["type"])
    return "string" if all(isinstance(one, str) for one in schema.get("enum", ())) else "object"


def _mine(route: Route) -> str | None:
    """An account that needs not be named by whoever has only one."""
    return route.rule.account


def _longest(route: Route, argument: str) -> int:
    return _LONG.get((route.operation, argument), bounds.MAX_TEXT_CHARS)
