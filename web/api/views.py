"""How records become what the API shows of them: fields of the same name are the same thing."""

from functools import cache
from typing import Any, NamedTuple, TypeVar, get_args

from models.times import to_rfc3339
from web.http.answers import Money
from web.http.api_model import ApiModel

V = TypeVar("V", bound=ApiModel)


def view_of(view: type[V], *records: object, currency: str = "", **given: Any) -> V:
    """Show records: a field that is not given is that of the first record that has one of its name.

    A number becomes a time in RFC 3339 (it is in milliseconds) where the view has a text, which may be
    `since` of the record's `since_ms`; and an amount in `currency`, by default the records', where it has
    Money. None among the records leaves what they lack to the view's defaults; else AttributeError is
    raised for it.
    """
    shown = dict(given)
    for field in _fields_of(view, *map(type, records)):
        if field.name in given:
            value = given[field.name]
        elif field.record is not None:
            value = getattr(records[field.record], field.attribute)
        elif None in records:
            continue
        else:
            raise AttributeError(f"nothing gives {view.__name__} its {field.name}")
        if type(value) is int and field.is_money:
            value = Money.of(value, currency or _currency_of(records))
        elif type(value) is int and field.is_text:
            value = to_rfc3339(value)
        shown[field.name] = value
    return view(**shown)


def _currency_of(records: tuple[object, ...]) -> str:
    found = (getattr(record, "currency", None) for record in records)
    currency: str = next(each for each in found if each is not None)
    return currency


class _Field(NamedTuple):
    """A field of a view: which of the records gives it (None: none does), by which attribute."""

    name: str
    record: int | None
    attribute: str
    is_money: bool
    is_text: bool


@cache
def _fields_of(view: type[ApiModel], *kinds: type) -> tuple[_Field, ...]:
    """Found once for a view and the types of its records: there are about a hundred."""
    fields = []
    for name, field in view.model_fields.items():
        attributes = (name, f"{name}_ms")
        places = ((n, a) for n, kind in enumerate(kinds) for a in attributes if _has(kind, a))
        record, attribute = next(places, (None, ""))
        types = (field.annotation, *get_args(field.annotation))
        fields.append(_Field(name, record, attribute, Money in types, str in types))
    return tuple(fields)


def _has(kind: type, attribute: str) -> bool:
    """Whether objects of the type have it: a field, with or without a default, or a property."""
    declared = {name for base in kind.__mro__ for name in getattr(base, "__annotations__", {})}
    return hasattr(kind, attribute) or attribute in declared
