"""The API's description, OpenAPI 3.1, made of the table of routes and the signatures of the operations."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from server.web.api import bounds, cursors, problems
from server.web.api.asking import CASE, MAX_CASE_CHARS, MAX_REASON_CHARS, REASON
from server.web.api.own import OWN, Own
from server.web.api.repeats import KEY, PATTERN
from server.web.api.routes import GROUPS, Route, routes
from server.web.api.signatures import Field, answer_type, fields, is_paged

BASE = "/api/v1"

BEYOND = "Beyond operations"

_REF = "#/components/schemas/"
_INTRODUCTION = """\
Everything that Beffroi does, for scripts and CRMs: the same operations and the same rights as the command line and the
portal. What is beyond a token's reach is answered as if it were not there (404).

Numbers and names are masked unless `X-Reason` says why they are wanted in clear; every look is written down.
"""

_TEXT = {"type": "string", "maxLength": bounds.MAX_TEXT_CHARS, "pattern": bounds.PATTERN}

_ANSWERS = {
    "400": "The request is malformed, or names what this route does not know.",
    "401": "No token, or none that holds.",
    "403": "Not permitted.",
    "404": "Not there, or beyond the token's reach.",
    "409": "Not possible in its present state.",
    "413": "The body is too large.",
    "415": "The body is no JSON.",
    "422": "A value is not right.",
    "423": "Locked.",
    "429": "Too many requests; Retry-After says how long to wait.",
    "503": "A part of the server does not run, or could not do it.",
}


@functools.cache
def document() -> dict[str, Any]:
    """The whole of it, as plain values."""
    answers, definitions = _answer_schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes():
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, answers[route.operation])
    for own in OWN:
        paths.setdefault(own.path, {})[own.method.lower()] = _own(own)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Beffroi", "version": "1", "description": _INTRODUCTION},
        "servers": [{"url": BASE}],
        "security": [{"token": []}],
        "tags": [{"name": group} for group in (*GROUPS, BEYOND)],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": dict(problems.SCHEMA), "Text": _TEXT, **definitions},
            "parameters": _parameters(),
            "responses": {code: _problem(words) for code, words in _ANSWERS.items()},
        },
    }


def _operation(route: Route, answer: Mapping[str, Any]) -> dict[str, Any]:
    """One route."""
    rule = route.rule
    found = _common(route.method, once=not route.looks)
    found |= {
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [route.group],
        "x-right": rule.right,
        "description": f"Right: `{rule.right}`." + (" Tokens need it granted by name." if rule.fresh else ""),
    }
    parameters = [_parameter(field) for field in fields(route) if field.place != "body"]
    if is_paged(route):
        parameters += [{"$ref": "#/components/parameters/limit"}, {"$ref": "#/components/parameters/cursor"}]
    found["parameters"] = parameters + found["parameters"]
    body = [field for field in fields(route) if field.place == "body"]
    if body:
        found["requestBody"] = _body(body)
    schema = _page(answer) if is_paged(route) else dict(answer)
    found["responses"] = {"200": _answer(schema), **found["responses"]}
    return found


def _own(own: Own) -> dict[str, Any]:
    """A route that is no operation."""
    found = _common(own.method, once=False)
    content, schema = own.answer
    found |= {
        "operationId": own.name,
        "summary": own.summary,
        "tags": [BEYOND],
        "x-right": own.right,
        "description": " ".join(filter(None, (own.words, f"Right: `{own.right}`." if own.right else "Any token."))),
    }
    found["parameters"] = [*own.takes, *found["parameters"]]
    found["responses"] = {"200": _answer(schema, content), **found["responses"]}
    return found


def _common(method: str, *, once: bool) -> dict[str, Any]:
    """What all routes of a method share. `once`: whether a key keeps it from being done twice."""
    shared = ["reason", "case"]
    if once:
        shared.append("key")
    if method == "GET":
        shared.append("known")
    responses: dict[str, Any] = {code: {"$ref": f"#/components/responses/{code}"} for code in _ANSWERS}
    if method == "GET":
        responses["304"] = {"description": "As If-None-Match has it."}
    return {
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in shared],
        "responses": responses,
    }


def _parameter(field: Field) -> dict[str, Any]:
    found = {"name": field.name, "in": field.place, "required": field.required, "schema": _field_schema(field)}
    if field.many:
        found |= {"style": "form", "explode": True}
    return found


def _body(found: list[Field]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {field.name: _field_schema(field) for field in found},
        "additionalProperties": False,
    }
    required = [field.name for field in found if field.required]
    if required:
        schema["required"] = required
    return {"required": bool(required), "content": {"application/json": {"schema": schema}}}


def _field_schema(field: Field) -> dict[str, Any]:
    schema = bounded(field.schema, field.longest)
    if field.place != "body" and "anyOf" in schema:  # there is no null in an address
        left = [one for one in schema["anyOf"] if one.get("type") != "null"]
        schema = left[0] if len(left) == 1 else {"anyOf": left}
    if field.place == "path":
        schema |= {"minLength": 1} if "string" in field.types else {}
    if field.default not in (None, ()):
        schema["default"] = field.default
    return schema


def bounded(schema: Mapping[str, Any], longest: int = bounds.MAX_TEXT_CHARS) -> dict[str, Any]:
    """A schema with the bounds that hold for all, and without the titles that its maker adds."""
    found = {key: value for key, value in schema.items() if key not in ("title", "default")}
    for key in ("anyOf", "prefixItems"):
        if key in found:
            found[key] = [bounded(one, longest) for one in found[key]]
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = bounded(found[key], longest)
    match found.get("type"):
        case "string" if "enum" not in found and "format" not in found and "const" not in found:
            if longest == bounds.MAX_TEXT_CHARS:
                return {"$ref": f"{_REF}Text"}
            found |= {"maxLength": longest, "pattern": bounds.PATTERN}
        case "integer":
            found = {"minimum": -bounds.MAX_INT, "maximum": bounds.MAX_INT, **found}
        case "array":
            found = {"maxItems": bounds.MAX_ITEMS, **found}
    return found


def _page(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": dict(answer),
            "next": {
                "type": ["string", "null"],
                "description": "The cursor of the next page; null where this is the last.",
            },
        },
    }


def _answer(schema: Mapping[str, Any], content: str = "application/json") -> dict[str, Any]:
    return {"description": "Done.", "content": {content: {"schema": dict(schema)}}}


def _problem(words: str) -> dict[str, Any]:
    return {"description": words, "content": {problems.CONTENT_TYPE: {"schema": {"$ref": f"{_REF}Problem"}}}}


def _parameters() -> dict[str, Any]:
    words = {"type": "string", "pattern": "^[ -~]*$"}
    return {
        "reason": {
            "name": REASON,
            "in": "header",
            "description": "Why numbers and names are wanted in clear; written down. Percent-encoded UTF-8.",
            "schema": words | {"maxLength": MAX_REASON_CHARS},
        },
        "case": {
            "name": CASE,
            "in": "header",
            "description": "The case that it belongs to; written down with the reason.",
            "schema": words | {"maxLength": MAX_CASE_CHARS},
        },
        "key": {
            "name": KEY,
            "in": "header",
            "description": "For 24 hours the same request with the same key is done once, and answered alike.",
            "schema": {"type": "string", "pattern": PATTERN},
        },
        "known": {
            "name": "If-None-Match",
            "in": "header",
            "description": "The ETag of an answer that is already held.",
            "schema": {"type": "string", "maxLength": 1000},
        },
        "limit": {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": cursors.MAX_SIZE, "default": cursors.DEFAULT},
        },
        "cursor": {
            "name": "cursor",
            "in": "query",
            "description": "`next` of the page before.",
            "schema": {"type": "string", "maxLength": 300, "pattern": "^[A-Za-z0-9_-]+$"},
        },
    }


def _answer_schemas() -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Operation -> schema of its answer, and what these refer to."""
    inputs = [(route.operation, "serialization", TypeAdapter(answer_type(route))) for route in routes()]
    made, whole = TypeAdapter.json_schemas(inputs, ref_template=f"{_REF}{{model}}")  # type: ignore[arg-type]
    schemas = {key: _plain(schema) for (key, _mode), schema in made.items()}
    return schemas, {_short(name): _plain(schema) for name, schema in whole.get("$defs", {}).items()}


def _short(name: str) -> str:
    """Where two rooms have a view of the same name its maker puts the whole module before it."""
    return ".".join(name.split("__")[-2:])


def _plain(schema: Any, *, names: bool = False) -> Any:
    """Without titles and remarks for readers of the code. `names`: its keys are names, not words of a schema."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str) and not names:
        schema = {**schema, "$ref": _REF + _short(schema["$ref"].removeprefix(_REF))}
    return {
        key: _plain(value, names=key == "properties" and not names)
        for key, value in schema.items()
        if names or key not in ("title", "description", "default")
    }
