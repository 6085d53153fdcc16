"""Whoever reads events, commands and records with the schemas of a release reads this version's, too."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from app import schema_files
from models.commands import COMMANDS
from models.events import EVENTS
from models.levels import OLDEST, Level
from tests.support.schema_compatibility import breaks, misread

RELEASES: Final = Path(__file__).parents[2] / "golden" / "schemas"
"""A folder a release, as its docs/schemas were."""
EARLIER: Final = {path.relative_to(RELEASES).as_posix(): path for path in RELEASES.rglob("*.json")}
NOW: Final = {path: json.loads(text) for path, text in schema_files.texts().items()}
ACCEPTED: Final[dict[str, str]] = {}
"""A break, as the test below words it -> why every reader of that release bears it."""
ADVICE: Final = (
    "Add a field with a default, a new type of events, or a new schemaVersion instead "
    "(docs/schemas/README.md, How they may change)"
)

Change = Callable[[dict[str, Any]], object]


def found_breaks() -> list[str]:
    found = []
    for name, path in sorted(EARLIER.items()):
        release, _, file = name.partition("/")
        texts = ["the type is gone, its records are kept"]
        if file in NOW:
            texts = breaks(file.partition("/")[0], json.loads(path.read_text()), NOW[file])
        found += [f"{release} {file}: {text}" for text in texts]
    return found


FROM_LEVEL: Final[dict[str, Level]] = {
    "0.1.0 records/PlatformId.json: level: is written, readers refuse it as unknown": Level.V0_2,
    "0.1.0 records/PlatformId.json: fromMs: is written, readers refuse it as unknown": Level.V0_2,
    "0.1.0 records/PlatformId.json: by: is written, readers refuse it as unknown": Level.V0_2,
    "0.1.0 records/PlatformId.json: reason: is written, readers refuse it as unknown": Level.V0_2,
    "0.1.0 records/PlatformId.json: subject: is written, readers refuse it as unknown": Level.V0_2,
    "0.1.0 records/PlatformId.json: tokenHash: is written, readers refuse it as unknown": Level.V0_2,
    "0.1.0 records/PlatformId.json: untilMs: is written, readers refuse it as unknown": Level.V0_2,
}
"""What workers of a release would misread -> the level from which on it is written (models/levels.py).

The platform's level itself, and revoked tokens of staff, stand in records of keys of their own, of which 0.1.0
reads the id alone.
"""
SWITCHED_ON: Final = {
    f"0.1.0 {file}: data.{field}: is written, readers refuse it as unknown"
    for file, field in (
        ("commands/COMPLETE_DELIVERY.json", "code"),
        *(
            (f"events/DELIVERY_{kind}.json", "proof")
            for kind in ("ASSIGNED", "CANCELLED", "CREATED", "DELIVERED", "PICKED_UP")
        ),
    )
}
"""Is written only where TIFFIN_DELIVERY_CODE=1, which is set once no older worker runs (docs/operations.md)."""
GATE: Final = (
    "Write it from a level on, `if record.level >= Level.X`, and list it in FROM_LEVEL with that level "
    "(docs/adr/0016-a-level-gates-new-meanings.md)"
)


def misreadings() -> list[str]:
    """What an older worker beside this build would refuse, were it written."""
    return [
        f"{name.partition('/')[0]} {file}: {text}"
        for name, path in sorted(EARLIER.items())
        if (file := name.partition("/")[2]) in NOW
        for text in misread(json.loads(path.read_text()), NOW[file])
    ]


def test_what_an_older_worker_would_misread_begins_at_a_level() -> None:
    found = misreadings()
    known = SWITCHED_ON | set(FROM_LEVEL)
    assert [text for text in found if text not in known] == [], GATE
    assert known <= set(found), "gated, but not there"
    assert all(level > OLDEST for level in FROM_LEVEL.values())


def test_a_type_that_a_release_does_not_know_begins_at_a_level() -> None:
    known = {file for name in EARLIER for _, _, file in [name.partition("/")]}
    new_events = [kind for kind in EVENTS if f"events/{kind}.json" not in known]
    assert [kind for kind in new_events if EVENTS[kind].since is OLDEST] == [], GATE
    new_commands = [kind for kind in COMMANDS if f"commands/{kind}.json" not in known]
    assert [kind for kind in new_commands if COMMANDS[kind].since is OLDEST] == [], GATE


def test_a_field_an_older_worker_does_not_know_is_found() -> None:
    file, name = COMMAND
    new = copy.deepcopy(NOW[file])
    NEW_WITH_DEFAULT(inner(new, name))
    assert misread(NOW[file], new) == ["data.tip: is written, readers refuse it as unknown"]
    assert misread(NOW[file], NOW[file]) == []


def test_no_reader_of_a_release_breaks() -> None:
    found = found_breaks()
    assert len(EARLIER) >= 70
    assert [text for text in found if text not in ACCEPTED] == [], ADVICE
    assert set(ACCEPTED) <= set(found), "accepted, but not there"


def inner(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return schema["$defs"][name]


def fields(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return inner(schema, name)["properties"]


EVENT: Final = ("events/PAYMENT_COMPLETED.json", "PaymentCompleted")
COMMAND: Final = ("commands/PLACE_ORDER.json", "PlaceOrder")
MONEY: Final = {"type": "integer", "minimum": 0, "maximum": 10**12}


def removed(name: str) -> Change:
    def change(data: dict[str, Any]) -> None:
        del data["properties"][name]
        data["required"] = [each for each in data["required"] if each != name]

    return change


def with_field(name: str, schema: dict[str, Any]) -> Change:
    return lambda data: data["properties"].update({name: schema})


def required(name: str) -> Change:
    return lambda data: data["required"].append(name)


def optional(name: str) -> Change:
    return lambda data: data["required"].remove(name)


def bounded(name: str, **keywords: Any) -> Change:
    return lambda data: data["properties"][name].update(keywords)


def all_of(*changes: Change) -> Change:
    return lambda data: [change(data) for change in changes]


NEW_AND_REQUIRED: Final = all_of(with_field("tip", MONEY), required("tip"))
NEW_WITH_DEFAULT: Final = with_field("tip", MONEY | {"default": 0})


@pytest.mark.parametrize(
    ("change", "in_event", "in_command"),
    [
        pytest.param(removed("currency"), "currency: may be missing", "refuse it as unknown", id="removed"),
        pytest.param(
            all_of(removed("currency"), with_field("money", {"type": "string"})),
            "currency: may be missing", "refuse it as unknown", id="renamed",
        ),
        pytest.param(NEW_AND_REQUIRED, "tip: may be missing", "tip: may be missing", id="new and required"),
        pytest.param(NEW_WITH_DEFAULT, "", "", id="new with a default"),
        pytest.param(optional("currency"), "currency: may be missing", "", id="required no more"),
        pytest.param(bounded("amount", type="string"), "string is written", "string is read", id="type"),
        pytest.param(bounded("amount", maximum=5), "maximum 1000000000000", "5 is read", id="narrowed"),
        pytest.param(bounded("amount", maximum=10**13), "maximum 10000000000000", "", id="widened"),
        pytest.param(bounded("amount", type="number"), "number is written", "", id="integer to number"),
        pytest.param(
            bounded("currency", pattern="^[a-z]{3}$"), "pattern ^[a-z]", "pattern ^[A-Z]", id="pattern",
        ),
        pytest.param(bounded("currency", enum=["INR"]), "any value", "any value", id="enum where was none"),
        pytest.param(bounded("amount", description="major units"), "", "", id="only what is said of it"),
    ],
)  # fmt: skip
def test_a_change_of_data(change: Change, in_event: str, in_command: str) -> None:
    for (file, name), expected in ((EVENT, in_event), (COMMAND, in_command)):
        new = copy.deepcopy(NOW[file])
        change(inner(new, name))
        found = breaks(file.partition("/")[0], NOW[file], new)
        assert bool(found) == bool(expected), found
        assert expected in "\n".join(found)
        assert all(text.startswith("data.") for text in found)


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        pytest.param(
            "events/PAYMENT_REFUNDED.json",
            lambda schema: inner(schema, "RefundStatus")["enum"].append("LOST"),
            "data.status: 'LOST' is written, readers know", id="value of an enumeration more",
        ),
        pytest.param(
            "commands/STRIPE_RESULT.json",
            lambda schema: inner(schema, "ResultKind")["enum"].append("LOST"), "",
            id="more in a command",
        ),
        pytest.param(
            "commands/STRIPE_RESULT.json",
            lambda schema: inner(schema, "ResultKind")["enum"].pop(),
            "readers know", id="fewer in a command",
        ),
        pytest.param(
            EVENT[0], lambda schema: schema["properties"]["producer"]["enum"].append("orders"),
            "producer: 'orders' is written", id="producer of an event",
        ),
        pytest.param(
            EVENT[0],
            lambda schema: fields(schema, EVENT[1])["cancelRequested"].update(default="NONE"),
            "data.cancelRequested: missing means", id="default",
        ),
        pytest.param(
            EVENT[0],
            lambda schema: fields(schema, EVENT[1])["stripeChargeId"]["anyOf"].pop(),
            "data.stripeChargeId: null", id="null no more",
        ),
        pytest.param(
            "commands/PLACE_ORDER.json",
            lambda schema: fields(schema, "Item")["quantity"].update(maximum=9),
            "data.items[].quantity: maximum", id="inside of a list",
        ),
        pytest.param(
            "records/WebhookReceived.json",
            lambda schema: schema["properties"].pop("intent"),
            "intent: is written no more", id="optional field of a record removed",
        ),
        pytest.param(
            EVENT[0],
            lambda schema: (schema.update({"$id": "urn:2"}), schema["properties"].clear()), "",
            id="another schemaVersion",
        ),
    ],
)  # fmt: skip
def test_a_change_elsewhere(file: str, change: Change, expected: str) -> None:
    new = copy.deepcopy(NOW[file])
    change(new)
    found = breaks(file.partition("/")[0], NOW[file], new)
    assert bool(found) == bool(expected), found
    assert expected in "\n".join(found)


def test_a_keyword_that_is_not_compared_is_an_error() -> None:
    file, name = EVENT
    new = copy.deepcopy(NOW[file])
    fields(new, name)["amount"]["multipleOf"] = 100
    with pytest.raises(NotImplementedError, match="multipleOf"):
        breaks("events", NOW[file], new)
