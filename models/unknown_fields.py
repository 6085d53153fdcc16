"""Fields that a newer build wrote and this one does not know: found, left out, and put back.

Types refuse unknown fields, which costs nothing. Only a value that was refused for one is gone through here.
"""

import functools
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import structs


class UnknownField(NamedTuple):
    """A field by its place in the JSON value: names of fields, keys of mappings, and items of lists.

    An item is told by what it was without its unknown fields, for lists are cut and added to.
    """

    path: tuple[Any, ...]
    value: Any


class ListItem(NamedTuple):
    """An item of a list."""

    known: Any


def without_unknown(kind: Any, value: Any) -> tuple[Any, list[UnknownField]]:
    """A JSON value without the fields that the type does not have, at whatever depth, and these."""
    found: list[UnknownField] = []
    return _known(kind, value, (), found), found


def put_back(value: Any, fields: Iterable[UnknownField]) -> Any:
    """A JSON value with the fields in their places; changes it.

    One whose object is gone is left out, for it told of that object; what has the field's name by now stays.
    """
    for path, unknown in fields:
        *outer, name = path
        place = value
        for step in outer:
            place = _inside(place, step)
        if isinstance(place, dict):
            place.setdefault(name, unknown)
    return value


def _inside(place: Any, step: Any) -> Any:
    if isinstance(step, ListItem):
        items = place if isinstance(place, list) else ()
        return next((each for each in items if _as_told(each, step.known)), None)
    return place.get(step) if isinstance(place, dict) else None


def _as_told(item: Any, known: Any) -> bool:
    """Whether an item says what was known of it; fields that were put back already don't count."""
    if isinstance(item, dict) and isinstance(known, dict):
        return all(name in item and _as_told(item[name], told) for name, told in known.items())
    return bool(item == known)


def _known(kind: Any, value: Any, path: tuple[Any, ...], found: list[UnknownField]) -> Any:
    if isinstance(value, dict) and (fields := _fields_in(kind)) is not None:
        known = {}
        for name, inner in value.items():
            if name in fields:
                known[name] = _known(fields[name], inner, (*path, name), found)
            else:
                found.append(UnknownField((*path, name), inner))
        return known
    if isinstance(value, dict) and (inside := _inside_of(kind, dict)) is not None:
        return {name: _known(inside, inner, (*path, name), found) for name, inner in value.items()}
    if isinstance(value, list) and (inside := _inside_of(kind, tuple)) is not None:
        items = []
        for each in value:
            here: list[UnknownField] = []
            items.append(_known(inside, each, (), here))
            found += [
                UnknownField((*path, ListItem(items[-1]), *field.path), field.value)
                for field in here
            ]
        return items
    return value


@functools.cache
def _fields_in(kind: Any) -> dict[str, Any] | None:
    """Name on the wire -> type, of the message that a value of this type is as an object; None: of none."""
    message = _find(kind, lambda part: isinstance(part, type) and issubclass(part, msgspec.Struct))
    if message is None:
        return None
    return {field.encode_name: field.type for field in structs.fields(message)}


@functools.cache
def _inside_of(kind: Any, collection: type) -> Any:
    """The type of what is in a mapping or a list of this type; None: in none, or of several types."""
    origins = {dict, Mapping} if collection is dict else {tuple, list, Sequence}
    found = _find(kind, lambda part: typing.get_origin(part) in origins)
    given = typing.get_args(found)
    if collection is dict:
        return given[1] if len(given) == 2 else None
    return given[0] if given and given[1:] in {(), (Ellipsis,)} else None


def _find(kind: Any, wanted: Callable[[Any], bool]) -> Any:
    """The part of a union, or of an annotated type, that is wanted; None: there is none."""
    if wanted(kind):
        return kind
    origin = typing.get_origin(kind)
    if origin is Annotated:
        return _find(typing.get_args(kind)[0], wanted)
    if origin in {typing.Union, types.UnionType}:
        parts = (_find(part, wanted) for part in typing.get_args(kind))
        return next((part for part in parts if part is not None), None)
    return None
