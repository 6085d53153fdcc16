"""Which changes of a JSON Schema break readers: values that one schema allows and another one refuses.

A library for this that knows JSON Schema 2020-12 is not to be had, and ours use few of its keywords; any
other raises, so that no change goes unseen.

Events and records are kept for ever and read by others. So the platform must read those that earlier
versions wrote, and who has an earlier schema must be able to read what is written now. The latter lets
unknown fields pass, as docs/schemas/README.md asks for. Commands are read by the platform alone: it must
read those of earlier versions, from topics and from programs that have not been upgraded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

Schema = Mapping[str, Any]

NOTES: Final = {"$schema", "$id", "$defs", "title", "description", "default"}
"""Say nothing about which values are valid. Defaults are compared where a field may be missing."""
UNDERSTOOD: Final = NOTES | {
    "$ref", "type", "const", "enum", "anyOf", "pattern", "properties", "required", "additionalProperties",
    "items", "minItems", "maxItems", "minLength", "maxLength",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
}  # fmt: skip
LOWER_BOUNDS: Final = ("minimum", "exclusiveMinimum", "minItems", "minLength")
UPPER_BOUNDS: Final = ("maximum", "exclusiveMaximum", "maxItems", "maxLength")
MISSING: Final = object()


@dataclass(frozen=True)
class Side:
    """A schema inside of a whole one, which has the definitions."""

    whole: Schema
    schema: Schema

    def at(self, schema: Schema) -> Side:
        """Another schema of the same whole one; references are followed."""
        while "$ref" in schema:
            schema = self.whole["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        if unknown := schema.keys() - UNDERSTOOD:
            raise NotImplementedError(f"compare {sorted(unknown)} in {__name__}")
        return Side(self.whole, schema)

    def get(self, keyword: str) -> Any:
        return self.schema.get(keyword)

    @property
    def alternatives(self) -> list[Side]:
        return [self.at(each) for each in self.schema.get("anyOf", [self.schema])]

    @property
    def values(self) -> list[Any] | None:
        """Those that alone are valid; None: not restricted to some."""
        return [self.schema["const"]] if "const" in self.schema else self.schema.get("enum")


@dataclass(frozen=True)
class Comparison:
    """Whether a reader bears all that a writer may write. lets_pass: fields that the reader doesn't know."""

    lets_pass: bool

    def refused(self, written: Side, read: Side, place: str = "") -> Iterator[str]:
        """What the reader refuses of what may be written: place and reason, each on one line."""
        for one in written.alternatives:
            best = min(
                (list(self._refused(one, other, place)) for other in read.alternatives), key=len
            )
            if best and len(read.alternatives) > 1:
                best = [f"{place}: {one.get('type') or 'anything'} fits no alternative", *best]
            yield from best

    def _refused(self, written: Side, read: Side, place: str) -> Iterator[str]:
        kinds = (written.get("type"), read.get("type"))
        if kinds[1] is not None and kinds[0] != kinds[1] and kinds != ("integer", "number"):
            yield f"{place}: {kinds[0] or 'anything'} is written, {kinds[1]} is read"
            return
        yield from chain(
            _values(written, read, place),
            _bounds(written, read, place),
            self._fields(written, read, place),
            self._others(written, read, place),
        )

    def _fields(self, written: Side, read: Side, place: str) -> Iterator[str]:
        fields, known = written.get("properties") or {}, read.get("properties") or {}
        always = written.get("required") or ()
        for name in read.get("required") or ():
            if name not in always:
                yield f"{_join(place, name)}: may be missing, readers need it"
        for name, schema in fields.items():
            inner = _join(place, name)
            if name in known:
                yield from self.refused(written.at(schema), read.at(known[name]), inner)
                if name not in always:
                    yield from _defaults(schema, known[name], inner)
            elif not self.lets_pass and read.get("additionalProperties") is False:
                yield f"{inner}: is written, readers refuse it as unknown"
        if self.lets_pass:
            for name in known.keys() - fields.keys():
                yield f"{_join(place, name)}: is written no more"

    def _others(self, written: Side, read: Side, place: str) -> Iterator[str]:
        """Items of lists, and values of mappings whose names are free."""
        for keyword, label in (("items", "[]"), ("additionalProperties", "{}")):
            wanted, given = read.get(keyword), written.get(keyword)
            if isinstance(wanted, Mapping):
                if isinstance(given, Mapping):
                    yield from self.refused(written.at(given), read.at(wanted), place + label)
                elif given is not False:
                    yield f"{place}{label}: anything is written, readers expect one kind"
            elif wanted is False and isinstance(given, Mapping):
                yield f"{place}{label}: any name is written, readers know some alone"


def breaks(folder: str, old: Schema, new: Schema) -> list[str]:
    """Say what readers break on if a file of docs/schemas changes; empty: nothing.

    folder: events, commands or records. Another `schemaVersion` is a break by intention: readers tell
    versions apart by it, so they are not compared.
    """
    if old["$id"] != new["$id"]:
        return []
    before, now = (Side(whole, {}).at(whole) for whole in (old, new))
    found = [
        f"{text} (written by the earlier version, read by this one)"
        for text in Comparison(lets_pass=False).refused(before, now)
    ]
    if folder != "commands":
        found += [
            f"{text} (written by this version, read with the earlier schema)"
            for text in Comparison(lets_pass=True).refused(now, before)
        ]
    return list(dict.fromkeys(found))


def misread(old: Schema, new: Schema) -> list[str]:
    """What workers of an earlier build refuse of what this one may write: until they are gone, it must not.

    Release 0.1.0 refuses fields that it does not know; later ones pass over them, and lose what they tell.
    """
    before, now = (Side(whole, {}).at(whole) for whole in (old, new))
    return list(dict.fromkeys(Comparison(lets_pass=False).refused(now, before)))


def _values(written: Side, read: Side, place: str) -> Iterator[str]:
    if read.values is not None:
        if written.values is None:
            yield f"{place}: any value is written, readers know {read.values} alone"
        else:
            for value in written.values:
                if value not in read.values:
                    yield f"{place}: {value!r} is written, readers know {read.values} alone"


def _bounds(written: Side, read: Side, place: str) -> Iterator[str]:
    if written.values is not None:
        return  # values are compared one by one
    for keyword in (*LOWER_BOUNDS, *UPPER_BOUNDS):
        given, wanted = written.get(keyword), read.get(keyword)
        is_wider = given is None or (given < wanted if keyword in LOWER_BOUNDS else given > wanted)
        if wanted is not None and is_wider:
            yield f"{place}: {keyword} {given} is written, {wanted} is read"
    pattern = read.get("pattern")
    if pattern is not None and written.get("pattern") != pattern:
        yield f"{place}: pattern {written.get('pattern')} is written, {pattern} is read"


def _defaults(written: Schema, read: Schema, place: str) -> Iterator[str]:
    """A missing field means its default to who writes and to who reads."""
    meant, understood = (each.get("default", MISSING) for each in (written, read))
    if MISSING not in (meant, understood) and meant != understood:
        yield f"{place}: missing means {meant!r} where written, {understood!r} where read"


def _join(place: str, name: str) -> str:
    return f"{place}.{name}".lstrip(".")
