"""The comparison of the stand-in with Stripe: nothing differs between two stand-ins; a change is found."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.processes import MAX_WAIT_S
from sandbox.stripe import StripeSandbox, objects, refunds
from sandbox.stripe.errors import StripeError
from sandbox.stripe.faults import Fault
from sandbox.stripe_contract.differences import Difference, differences
from sandbox.stripe_contract.player import NotATestKeyError, StripePlayer, form_pairs
from sandbox.stripe_contract.recording import Recording, shape_of
from sandbox.stripe_contract.scenarios import SCENARIOS, play

ROOT = Path(__file__).parents[2]
KEY = "sk_test_never_to_be_printed"
REDUCED = tuple(each for each in SCENARIOS if each.__name__ in {"paid", "declined", "refunded"})


async def recorded(*faults: Fault, scenarios: Any = SCENARIOS) -> Recording:
    async with StripeSandbox(settle_delay_s=None) as sandbox:
        for fault in faults:
            sandbox.api.faults.add(fault)
        async with StripePlayer(sandbox.base_url, KEY) as player:
            await play(player, scenarios)
    return player.recording


async def test_two_stand_ins_do_not_differ() -> None:
    first, second = await recorded(), await recorded()
    assert differences(first, second) == []
    assert len(first.answers) > 70
    assert {each.status for each in first.answers.values()} == {200, 400, 401, 402, 404}
    assert not [name for name in first.answers if "could not go on" in name]


Change = Callable[[pytest.MonkeyPatch], None]


def without_receipt_number(patch: pytest.MonkeyPatch) -> None:
    real = objects.refund

    def changed(*arguments: Any) -> dict[str, Any]:
        made = real(*arguments)
        del made["receipt_number"]
        return made

    patch.setattr(objects, "refund", changed)


def another_code(patch: pytest.MonkeyPatch) -> None:
    def changed(*_: Any, **__: Any) -> StripeError:
        return StripeError(409, "invalid_request_error", "changed", code="changed")

    patch.setattr(refunds, "invalid", changed)


def another_type(patch: pytest.MonkeyPatch) -> None:
    real = objects.payment_intent
    patch.setattr(
        objects,
        "payment_intent",
        lambda *arguments: real(*arguments) | {"description": 5, "confirmation_method": "manual"},
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_receipt_number, ("refunded / partial", "shape receipt_number", "is there", "(missing)")),
        (another_code, ("refunded / once more", "value error.code", "charge_already_refunded", "changed")),
        (another_code, ("refunded / once more", "status", 400, 409)),
        (another_code, ("refunded / too much", "shape error.code", "(missing)", "is there")),
        (another_type, ("paid / create", "shape description", "null", "int")),
        (another_type, ("paid / create", "value confirmation_method", "automatic", "manual")),
    ],
)  # fmt: skip
async def test_a_changed_answer_is_told(
    change: Change, told: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = await recorded(scenarios=REDUCED)
    change(monkeypatch)
    theirs = await recorded(scenarios=REDUCED)
    assert Difference(*told) in differences(ours, theirs)


async def test_a_scenario_that_can_not_go_on_ends_alone() -> None:
    ours = await recorded(scenarios=REDUCED)
    theirs = await recorded(Fault("error_500_before", path="confirm$"), scenarios=REDUCED)
    found = differences(ours, theirs)
    assert Difference("paid / confirm", "status", 200, 500) in found
    assert {each.request.partition(" / ")[0] for each in found} == {"paid"}


def test_no_key_but_a_test_key_is_taken() -> None:
    for key in ("sk_live_secret", "pk_test_secret", ""):
        with pytest.raises(NotATestKeyError) as caught:
            StripePlayer("http://127.0.0.1:9", key)
        assert "secret" not in str(caught.value)


# -- as a command


async def command(*arguments: str, key: str = "") -> tuple[int, str]:
    """Exit status, and all that it printed."""
    environment = {**os.environ, "STRIPE_TEST_SECRET_KEY": key, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox.stripe_contract", *arguments, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(MAX_WAIT_S):
        printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


async def test_the_command_compares_keeps_and_hides_the_key(tmp_path: Path) -> None:
    kept = tmp_path / "stripe.json"
    async with StripeSandbox(settle_delay_s=None) as sandbox:
        at = ("--url", sandbox.base_url)
        status, printed = await command(*at, "--save", str(kept), key=KEY)
        assert (status, ", 0 differences" in printed) == (0, True)
        assert KEY not in printed + kept.read_text()
        sandbox.api.faults.add(Fault("error_500_before", path="refunds$"))
        status, printed = await command(*at, key=KEY)
        assert (status, "refunded / partial: status: stand-in 200, Stripe 500" in printed) == (
            1,
            True,
        )
        assert KEY not in printed
        known = set(sandbox.state.payment_intents)
    text = kept.read_text()
    assert not [name for name in known if name in text], "ids are not kept"

    assert (await command("--against", str(kept)))[0] == 0
    told = json.loads(text)
    told["paid / create"]["values"]["status"] = "another"
    kept.write_text(json.dumps(told))
    status, printed = await command("--against", str(kept))
    assert (status, "value status" in printed) == (1, True)


async def test_without_a_key_the_command_says_that_it_compared_nothing() -> None:
    status, printed = await command()
    assert (status, printed.startswith("Skipped: STRIPE_TEST_SECRET_KEY is not set")) == (0, True)
    status, printed = await command(key="sk_live_secret")
    assert (status, "secret" in printed.replace("SECRET", "")) == (1, False)


# -- parts


def test_shapes() -> None:
    told = {
        "a": 1,
        "b": None,
        "metadata": {"x": "1"},
        "c": [{"d": 1}, {"d": "x", "e": True}],
        "f": [],
    }
    assert shape_of(told) == {
        "a": "int", "b": "null", "metadata": "map", "c": [{"d": "int or str", "e": "bool"}], "f": [],
    }  # fmt: skip


def test_forms_are_stripes() -> None:
    params = {"a": {"b": 1}, "c": ["x", {"d": True}], "e": "f"}
    assert list(form_pairs(params)) == [
        ("a[b]", "1"), ("c[0]", "x"), ("c[1][d]", "true"), ("e", "f"),
    ]  # fmt: skip
