"""The API's description for people: one page made of the same data as the OpenAPI document, English as that is."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from server.web.api import problems
from server.web.api.document import BASE, BEYOND, document

_HERE = Path(__file__).parent
_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Row:
    """A parameter, or a field of a body or an answer."""

    name: str
    place: str
    kind: str
    required: bool
    words: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One route. `takes` from path, query and body; `gives`: fields of its answer, those of each item of a list."""

    id: str
    method: str
    path: str
    summary: str
    right: str
    takes: tuple[Row, ...]
    gives: tuple[Row, ...]
    many: bool
    example: str


@functools.cache
def page() -> bytes:
    """HTML, without script."""
    found = document()
    grouped: dict[str, list[Entry]] = {tag["name"]: [] for tag in found["tags"]}
    for path, methods in found["paths"].items():
        for method in _METHODS:
            if method in methods:
                grouped[methods[method]["tags"][0]].append(_entry(found, path, method, methods[method]))
    codes = [(code, status, problems.TITLES[code]) for code, status in problems.STATUS.items()]
    shared = [_row(found, one) for one in found["components"]["parameters"].values() if one["in"] == "header"]
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("reference.html")
    return template.render(base=BASE, groups=grouped, codes=codes, shared=shared, beyond=BEYOND).encode()


@functools.cache
def style() -> bytes:
    return (_HERE / "reference.css").read_bytes()


def _entry(whole: Mapping[str, Any], path: str, method: str, said: Mapping[str, Any]) -> Entry:
    takes = [_row(whole, _resolved(whole, one)) for one in said["parameters"]]
    schema = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = list(_fields(whole, schema, "body"))
    answer = _answer(whole, said)
    items = answer.get("properties", {}).get("items", {}) if "next" in answer.get("properties", {}) else None
    return Entry(
        id=said["operationId"],
        method=method.upper(),
        path=path,
        summary=said["summary"],
        right=said["x-right"] or "any token",
        takes=tuple(row for row in [*takes, *body] if row.place != "header"),
        gives=tuple(_fields(whole, _resolved(whole, items.get("items", {})) if items else answer, "answer")),
        many=items is not None,
        example=_example(path, method, [row for row in takes if row.required], body),
    )


def _answer(whole: Mapping[str, Any], said: Mapping[str, Any]) -> Mapping[str, Any]:
    content: Mapping[str, Any] = said["responses"]["200"]["content"]
    return _resolved(whole, next(iter(content.values()))["schema"])


def _fields(whole: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> Iterator[Row]:
    required = schema.get("required", ())
    for name, one in schema.get("properties", {}).items():
        yield Row(name, place, _kind(one), name in required, one.get("description", ""))


def _row(whole: Mapping[str, Any], one: Mapping[str, Any]) -> Row:
    return Row(one["name"], one["in"], _kind(one["schema"]), one.get("required", False), one.get("description", ""))


def _resolved(whole: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        _, room, kind, name = schema["$ref"].split("/", 3)
        schema = whole[room][kind][name]
    return schema


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "text" if name == "Text" else str(name)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "string":
        return str(schema.get("format", "text"))
    return "whole number" if kind == "integer" else str(kind)


def _example(path: str, method: str, takes: list[Row], body: list[Row]) -> str:
    """As it is typed, with what has to be there."""
    for row in takes:
        if row.place == "path":
            path = path.replace(f"{{{row.name}}}", row.name.upper())
    query = "&".join(f"{row.name}={row.name.upper()}" for row in takes if row.place == "query")
    words = ["curl", '-H "Authorization: Bearer $TOKEN"']
    if method != "get":
        words.append(f"-X {method.upper()}")
    needed = {row.name: "…" for row in body if row.required}
    if needed:
        words.append(f"--json '{json.dumps(needed, ensure_ascii=False)}'")
    return " ".join([*words, f'"$BEFFROI{BASE}{path}{"?" + query if query else ""}"'])
