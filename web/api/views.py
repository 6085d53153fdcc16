"""How records become what the API shows of them: fields of the same name are the same thing."""

from functools import cache
from typing import Any, Final, TypeVar, get_args

from models.times import to_rfc3339
from web.http.answers import Money
from web.http.api_model import ApiModel

V = TypeVar("V", bound=ApiModel)
_MISSING: Final = object()


def view_of(view: type[V], *records: object, currency: str = "", **given: Any) -> V:
    """Show records: a field that is not given is that of the first record that has one of its name.

    A number becomes a time in RFC 3339 (it is in milliseconds) where the view has a text, which may be
    `since` of the record's `since_ms`; and an amount in `currency`, by default the records', where it has
    Money. None among the records leaves what they lack to the view's defaults; else AttributeError is
    raised for it.
    """
    shown = dict(given)
    for name, kinds in _kinds_by_field(view).items():
        value = given[name] if name in given else _found(records, name, f"{name}_ms")
        if value is _MISSING:
            if None in records:
                continue
            raise AttributeError(f"nothing gives {view.__name__} its {name}")
        if type(value) is int and Money in kinds:
            value = Money.of(value, currency or _found(records, "currency"))
        elif type(value) is int and str in kinds:
            value = to_rfc3339(value)
        shown[name] = value
    return view(**shown)


def _found(records: tuple[object, ...], *names: str) -> Any:
    found = (getattr(record, name, _MISSING) for record in records for name in names)
    return next((value for value in found if value is not _MISSING), _MISSING)


@cache
def _kinds_by_field(view: type[ApiModel]) -> dict[str, tuple[Any, ...]]:
    """Field -> its type, and the types of a union."""
    return {
        name: (field.annotation, *get_args(field.annotation))
        for name, field in view.model_fields.items()
    }
