"""Holds JSON data against a JSON Schema: the part of draft 2020-12 that a project file's schema uses.

A keyword that is not known here fails, so that nothing is passed over.
"""

from __future__ import annotations

from typing import Any

NOTES = {"title", "description", "default", "$defs", "$schema"}
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def problems(schema: Any, value: Any, root: Any, where: str = "$") -> list[str]:
    """Everything about `value` that `schema` does not allow."""
    found: list[str] = []
    for keyword, asked in schema.items():
        found += one(keyword, asked, schema, value, root, where)
    return found


def one(keyword: str, asked: Any, schema: Any, value: Any, root: Any, where: str) -> list[str]:  # noqa: C901
    bad = [f"{where}: {keyword} {asked!r} against {value!r}"]
    match keyword:
        case "$ref":
            return problems(root["$defs"][asked.removeprefix("#/$defs/")], value, root, where)
        case "type":
            right = isinstance(value, TYPES[asked]) and (asked == "boolean" or not isinstance(value, bool))
            return [] if right else bad
        case "anyOf":
            return [] if any(not problems(each, value, root, where) for each in asked) else bad
        case "enum":
            return [] if value in asked else bad
        case "const":
            return [] if value == asked else bad
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" if isinstance(value, int | float):
            held = {
                "minimum": value >= asked,
                "maximum": value <= asked,
                "exclusiveMinimum": value > asked,
                "exclusiveMaximum": value < asked,
            }
            return [] if held[keyword] else bad
        case "minItems" if isinstance(value, list):
            return [] if len(value) >= asked else bad
        case "items" if isinstance(value, list):
            return [p for n, each in enumerate(value) for p in problems(asked, each, root, f"{where}[{n}]")]
        case "required" if isinstance(value, dict):
            return [f"{where}: {name} is missing" for name in asked if name not in value]
        case "properties" if isinstance(value, dict):
            return [
                p
                for name in asked.keys() & value.keys()
                for p in problems(asked[name], value[name], root, f"{where}.{name}")
            ]
        case "additionalProperties" if isinstance(value, dict):
            more = value.keys() - schema.get("properties", {}).keys()
            if asked is False:
                return [f"{where}: {name} is unknown" for name in more]
            return [p for name in more for p in problems(asked, value[name], root, f"{where}.{name}")]
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "minItems" | "items" | "required":
            return []
        case "properties" | "additionalProperties":
            return []
        case _ if keyword in NOTES:
            return []
    raise AssertionError(f"{where}: keyword {keyword!r} is not known to this test")
