"""The OpenAPI document as what a page shows: operations with their parameters, bodies and answers.

Schemas are laid out as lists of fields with dotted names (`predictions[].bbox`), so that a nested answer is one table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tenants.api.document import document

Schema = Mapping[str, Any]
DEEPEST = 4
CREDENTIALS = {"subToken": "sub-token", "managementKey": "management key"}


@dataclass(frozen=True)
class Field:
    """A member of a body, or a parameter; `place` is where a parameter stands (path, query, header)."""

    name: str
    kind: str
    text: str
    required: bool = False
    choices: tuple[str, ...] = ()
    place: str = ""


@dataclass(frozen=True)
class Body:
    """What is sent, or answered, in one of the content types. `example` is None where none is known."""

    content_types: tuple[str, ...]
    fields: tuple[Field, ...]
    example: Any = None


@dataclass(frozen=True)
class Answer:
    status: str
    text: str
    bodies: tuple[Body, ...]


@dataclass(frozen=True)
class Operation:
    """One method of one path. `credentials` are the kinds that open it, `errors` its answers from 400 on."""

    id: str
    method: str
    path: str
    tag: str
    summary: str
    text: str
    credentials: tuple[str, ...]
    parameters: tuple[Field, ...]
    bodies: tuple[Body, ...]
    answers: tuple[Answer, ...]
    errors: tuple[Answer, ...]

    @property
    def takes_key(self) -> bool:
        """Return whether the operation can be done once only, however often it is sent."""
        return any(field.name == "Idempotency-Key" for field in self.parameters)


@lru_cache(maxsize=1)
def operations() -> tuple[Operation, ...]:
    """Return all operations of the document, in its order."""
    whole = document()
    reader = Reader(whole["components"]["schemas"])
    return tuple(
        reader.operation(method, path, found)
        for path, methods in whole["paths"].items()
        for method, found in methods.items()
    )


class Reader:
    """Lays out the parts of one document, whose named schemas it was given."""

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self._schemas = schemas

    def operation(self, method: str, path: str, found: Mapping[str, Any]) -> Operation:
        """Return an operation as it is shown."""
        answers = tuple(
            Answer(status, answer.get("description", ""), tuple(self._bodies(answer.get("content", {}))))
            for status, answer in sorted(found["responses"].items())
        )
        needed = [name for need in found.get("security", []) for name in need]
        return Operation(
            id=found["operationId"],
            method=method.upper(),
            path=path,
            tag=found["tags"][0],
            summary=found.get("summary", ""),
            text=found.get("description", ""),
            credentials=tuple(name for name in CREDENTIALS if name in needed),
            parameters=tuple(self._parameter(one) for one in found.get("parameters", [])),
            bodies=tuple(self._bodies(found.get("requestBody", {}).get("content", {}))),
            answers=tuple(answer for answer in answers if answer.status < "400"),
            errors=tuple(answer for answer in answers if answer.status >= "400"),
        )

    def _parameter(self, found: Mapping[str, Any]) -> Field:
        schema = self._whole(found.get("schema", {}))
        return Field(
            found["name"],
            self._kind(schema),
            found.get("description", ""),
            found.get("required", False),
            _choices(schema),
            found["in"],
        )

    def _bodies(self, content: Mapping[str, Any]) -> Iterator[Body]:
        """Return the bodies, those that are no more than bytes of some type together."""
        plain = []
        for content_type, found in content.items():
            schema = self._whole(found.get("schema", {}))
            fields = tuple(self._fields(schema))
            example = next((one["value"] for one in found.get("examples", {}).values()), None)
            if not fields and example is None:
                plain.append(content_type)
            else:
                yield Body((content_type,), fields, example)
        if plain:
            yield Body(tuple(plain), ())

    def _fields(self, schema: Schema, prefix: str = "", depth: int = 0) -> Iterator[Field]:
        schema = self._whole(schema)
        if schema.get("type") == "array":
            yield from self._fields(schema.get("items", {}), f"{prefix}[]", depth)
            return
        needed = schema.get("required", [])
        for name, found in schema.get("properties", {}).items():
            whole = self._whole(found)
            full = f"{prefix}.{name}" if prefix else name
            text = found.get("description") or whole.get("description", "")
            yield Field(full, self._kind(whole), text, name in needed, _choices(self._inner(whole)))
            if depth < DEEPEST:
                yield from self._fields(whole, full, depth + 1)

    def _whole(self, schema: Schema) -> Schema:
        """Follow references, and put together what a schema is made of."""
        if "$ref" in schema:
            return self._whole(self._schemas[schema["$ref"].rpartition("/")[2]])
        if "allOf" in schema:
            merged: dict[str, Any] = {}
            for part in schema["allOf"]:
                merged |= self._whole(part)
            return merged | {name: value for name, value in schema.items() if name != "allOf"}
        choices = schema.get("oneOf") or schema.get("anyOf")
        if choices:
            some = [self._whole(one) for one in choices if one.get("type") != "null"]
            if len(some) == 1:
                nothing = {"nullable": True} if len(choices) > 1 else {}
                return {**some[0], **nothing, **{k: v for k, v in schema.items() if k not in {"oneOf", "anyOf"}}}
        return schema

    def _inner(self, schema: Schema) -> Schema:
        return self._whole(schema.get("items", {})) if schema.get("type") == "array" else schema

    def _kind(self, schema: Schema) -> str:
        """Return a type in words: `array of string (uuid)`, `integer, 1 to 300`, `string or null`."""
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        if not kinds and (choices := schema.get("oneOf") or schema.get("anyOf")):
            return " or ".join(dict.fromkeys(self._kind(self._whole(one)) for one in choices))
        nullable = "null" in kinds or schema.get("nullable", False)
        words = " or ".join(kind for kind in kinds if kind != "null") or "any"
        if words == "array":
            words = f"array of {self._kind(self._whole(schema.get('items', {})))}"
        if format_ := schema.get("format"):
            words += "" if format_ in {"double", "float"} else f" ({format_})"
        words += _bounds(schema)
        return f"{words} or null" if nullable else words


def _bounds(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f", {least:,} to {most:,}"
    if least is not None:
        return f", from {least:,} on"
    if most is not None:
        return f", at most {most:,}"
    longest = schema.get("maxLength")
    return f", at most {longest:,} characters" if longest else ""


def _choices(schema: Schema) -> tuple[str, ...]:
    return tuple(str(value) for value in schema.get("enum", []) if value not in {None, ""})
