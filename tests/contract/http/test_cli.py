"""`faust -A app ...` against a worker's API: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from app.cli import GROUP, load, output, table
from app.cli.errors import CommandError, ExitStatus
from app.cli.http import WorkerClient
from app.cli.output import CommandOutput
from tests.support.http_api import QUICK, Api, MakeApi
from tests.support.in_memory_backend import InMemoryBackend
from tests.support.operations import QUIET_OPERATIONS, Letters
from web.ops import tables

OPERATIONS = replace(QUIET_OPERATIONS, dead_letters=Letters())
UNKNOWN = "order_00000000000000000000000000"

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
async def api(make_api: MakeApi) -> Api:
    world = InMemoryBackend()
    return await make_api(world, operations=OPERATIONS, now_ms=lambda: world.now_ms)


@pytest.fixture
def run(api: Api) -> Run:
    async def run(*words: str, token: str | None = None, of: Api = api) -> Result:
        """Run a command as an operator, or with this token; "" for none."""
        name, *rest = words
        load(name)
        to = ["--url", str(of.client.make_url("/"))]
        as_whom = ["--token", of.operator if token is None else token] if token != "" else []
        args = [*rest, *to, *as_whom]
        return await asyncio.to_thread(CliRunner().invoke, GROUP.commands[name], args)

    return run


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("order ORDER", "PENDING"),
        ("order REFERENCE", "Asha Rao"),
        ("payment PAYMENT", "COMPLETED"),
        ("orders --state PENDING", "ORDER"),
        ("timeline ORDER", "PAYMENT_COMPLETED"),
        ("stuck", "Nothing is stuck."),
        ("stuck ORDER", "KITCHEN"),
        ("stuck --actor OPERATOR --check", "Nothing is stuck."),
        ("refunds", "No refunds."),
        ("disputes --state OPEN", "No disputes."),
        ("reconcile", "UNKNOWN"),
        ("overview", "1 worker"),
        ("overview --check", "All is well"),
        ("lag", "0 records wait;"),
        ("workers", "1970-01-01"),
        ("dead-letters", "0 of 0"),
        ("audit", "0 shown"),
        ("table orders ORDER", "placed.contact"),
        ("table payments --where state=COMPLETED", "payment.captured"),
        ("table timeline --where kind=record --limit 5", "1 found"),
    ],
)
async def test_what_a_person_reads_and_what_a_script_reads(
    run: Run, api: Api, words: str, told: str
) -> None:
    order = await api.paid()
    known = {
        "ORDER": order["orderId"],
        "PAYMENT": order["paymentId"],
        "REFERENCE": order["reference"],
    }
    said = [known.get(word, word) for word in words.split()]
    read = await run(*said)
    assert read.exit_code == 0, read.output
    assert known.get(told, told) in read.stdout
    scripted = await run(*said, "--json")
    assert scripted.exit_code == 0, scripted.output
    assert isinstance(json.loads(scripted.stdout), dict)
    assert not scripted.stderr


async def test_a_check_fails_a_script(run: Run, api: Api) -> None:
    checked = await run("reconcile", "--check", "--json")
    assert (checked.exit_code, json.loads(checked.stdout)["verdict"]) == (1, "UNKNOWN")
    assert "UNKNOWN" in checked.stderr
    api.world.now_ms += 60 * 60 * 1000
    order = await api.order()
    api.world.quarantine("orders", order["orderId"])
    for listener in api.world.tables["orders"].listeners:
        listener.updated(0, order["orderId"], api.world.tables["orders"].records[order["orderId"]])
    assert (await run("stuck", "--check")).exit_code == 1
    assert (await run("overview", "--check")).exit_code == 1


async def test_a_refund_is_made_once_for_its_key_and_never_unasked(run: Run, api: Api) -> None:
    order = await api.paid()
    order_id = order["orderId"]
    unasked = await run("refund", order_id, "--amount", "10.50")
    assert unasked.exit_code == ExitStatus.UNTOLD
    assert "10.50 INR" in unasked.stderr
    assert "--yes" in unasked.stderr
    key = "a-key-of-this-refund"
    for _ in range(2):
        made = await run("refund", order_id, "--amount", "10.50", "--yes", "--key", key, "--json")
        assert made.exit_code == 0, made.output
        assert json.loads(made.stdout)["refund"]["amount"]["amount"] == 1050
    shown = json.loads((await run("payment", order_id, "--json")).stdout)
    assert [each["amount"]["amount"] for each in shown["refunds"]] == [1050]
    other = await run("refund", order_id, "--amount", "10.51", "--yes", "--key", key)
    assert (other.exit_code, "IDEMPOTENCY_KEY_REUSED" in other.stderr) == (1, True)
    for amount, status in (("10.505", 2), ("-1", 2), ("x", 2), ("999999.00", 1)):
        refused = await run("refund", order_id, "--amount", amount, "--yes")
        assert refused.exit_code == status, refused.output
    all_left = await run("refund", order_id, "--yes", "--reason", "LATE")
    assert all_left.exit_code == 0, all_left.output
    shown = json.loads((await run("payment", order_id, "--json")).stdout)
    assert sum(each["amount"]["amount"] for each in shown["refunds"]) == order["amount"]["amount"]
    unknown = await run("refund", order_id, "--retry", "refund_x", "--yes")
    assert (unknown.exit_code, "REFUND_UNKNOWN" in unknown.stderr) == (5, True)


async def test_an_order_is_cancelled_when_that_is_confirmed(run: Run, api: Api) -> None:
    order = await api.paid()
    unasked = await run("cancel", order["reference"])
    assert unasked.exit_code == ExitStatus.UNTOLD
    assert f"Cancel: Order {order['reference']}" in unasked.stderr
    assert not [each for each in api.world.commands if each.command_type == "CANCEL_ORDER"]
    done = await run("cancel", order["reference"], "--yes", "--json")
    assert (done.exit_code, json.loads(done.stdout)["status"]) == (0, "CANCELLED")
    assert (await run("cancel", order["reference"], "--yes")).exit_code == 1
    unpaid = await api.order()
    closed = await run("cancel", unpaid["orderId"], "--payment", "--yes", "--json")
    assert (closed.exit_code, json.loads(closed.stdout)["status"]) == (0, "CANCELLED"), (
        closed.output
    )
    both = await run("refund", order["orderId"], "--retry", "refund_x", "--amount", "1.00", "--yes")
    assert both.exit_code == ExitStatus.UNTOLD


async def test_what_is_not_decided_yet_has_a_status_of_its_own(make_api: MakeApi, run: Run) -> None:
    api = await make_api(operations=OPERATIONS, bounds=replace(QUICK, command_s=0.05))
    order = await api.paid()
    api.world.loses_commands = True
    late = await run("cancel", order["orderId"], "--yes", of=api)
    assert late.exit_code == ExitStatus.UNDECIDED
    assert "--key" in late.stderr


async def test_a_table_is_read_page_by_page_until_there_is_enough(
    run: Run, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "PAGE_ITEMS", 2)
    orders = sorted([(await api.paid())["orderId"] for _ in range(5)])
    found = json.loads((await run("table", "orders", "--limit", "3", "--json")).stdout)
    assert [each["key"] for each in found["items"]] == orders[:3]
    rest = await run("table", "orders", "--after", found["next"], "--json")
    assert [each["key"] for each in json.loads(rest.stdout)["items"]] == orders[3:]
    monkeypatch.setattr(table, "MAX_PAGES", 1)
    monkeypatch.setattr(tables, "MAX_LOOKED_AT", 2)
    monkeypatch.setattr(tables, "SLICE_ITEMS", 2)
    given_up = await run("table", "payments", "--where", "state=REFUNDED")
    assert (given_up.exit_code, "--after" in given_up.stdout) == (0, True)


async def test_stripe_is_asked_about_one_payment_again(run: Run, api: Api) -> None:
    order = await api.paid()
    asked = await run("reconcile", order["orderId"])
    assert (asked.exit_code, "NOTHING_TO_ASK" in asked.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (f"order {UNKNOWN}", ExitStatus.NOT_FOUND, "no such order"),
        ("payment pay_0000000000000000000000000a", ExitStatus.NOT_FOUND, "no order that is known"),
        ("orders --state LOST", ExitStatus.FAILED, "state: accepted"),
        ("table nothing", ExitStatus.NOT_FOUND, "orders, payments"),
        ("table orders --where since=now", ExitStatus.UNTOLD, "state=..., open=..., kind=..."),
        ("dead-letters show", ExitStatus.UNTOLD, "dead-letters show NAME"),
        ("dead-letters show x", ExitStatus.NOT_FOUND, "no such dead letter"),
        ("skip order-events 0 17", ExitStatus.UNTOLD, "--dry-run"),
        ("report", ExitStatus.NOT_FOUND, "no analytics"),
        (f"evidence {UNKNOWN} dp_1", ExitStatus.NOT_FOUND, "no such"),
    ],
)
async def test_what_is_not_there_is_told(run: Run, words: str, status: int, told: str) -> None:
    ended = await run(*words.split())
    assert ended.exit_code == status, ended.output
    assert told in ended.stderr
    assert not ended.stdout


async def test_who_may_not_is_told_what_to_give(
    run: Run, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await api.paid()
    for token in (order["orderToken"], "no-token"):
        ended = await run("stuck", token=token)
        assert ended.exit_code == ExitStatus.NO_ACCESS, ended.output
        assert "TIFFIN_OPERATOR_TOKEN" in ended.stderr
    monkeypatch.setenv("TIFFIN_SANDBOX", "0")
    ended = await run("stuck", token="")
    assert (ended.exit_code, "--token" in ended.stderr) == (ExitStatus.NO_ACCESS, True)
    # Whoever has the key that signs orders' tokens may read an order, and nothing else.
    monkeypatch.setenv("TIFFIN_ORDER_TOKEN_KEY", api.deps.order_tokens._key)
    read = await run("order", order["orderId"], "--json", token="")
    assert (read.exit_code, json.loads(read.stdout)["orderId"]) == (0, order["orderId"])
    assert (await run("timeline", order["orderId"], token="")).exit_code == ExitStatus.NO_ACCESS


async def test_in_the_sandbox_nobody_needs_a_token(
    run: Run, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIFFIN_SANDBOX", "1")
    monkeypatch.setenv("TIFFIN_ORDER_TOKEN_KEY", api.staff._key)
    assert (await run("stuck", token="")).exit_code == 0


async def test_where_no_worker_answers_it_is_told_what_to_do() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>welcome</html>", content_type="text/html")

    foreign = web.Application()
    foreign.router.add_get("/{path:.*}", page)
    async with TestServer(foreign) as server:
        for url, told in (
            ("http://127.0.0.1:1", "No worker answers"),
            (str(server.make_url("/")), "no worker of Tiffin"),
        ):
            load("stuck")
            args = ["--url", url, "--token", "x"]
            ended = await asyncio.to_thread(CliRunner().invoke, GROUP.commands["stuck"], args)
            assert ended.exit_code == ExitStatus.UNAVAILABLE
            for words in (told, "--url", "faust -A app worker", "/readyz"):
                assert words in ended.stderr
            assert "Traceback" not in ended.output


async def test_an_act_that_is_cut_off_tells_the_key_with_which_to_repeat_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    slow = web.Application()
    slow.router.add_post("/refund", hang)
    async with TestServer(slow) as server, WorkerClient(str(server.make_url("/")), "x") as worker:
        cut_off = asyncio.create_task(worker.post("/refund", {}, "key-of-this-refund"))
        await asked.wait()
        cut_off.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cut_off
        assert "--key key-of-this-refund" in capsys.readouterr().err
        worker.timeout_s = 0.01
        with pytest.raises(CommandError, match="--key key-of-this-refund") as late:
            await worker.post("/refund", {}, "key-of-this-refund")
        assert late.value.status is ExitStatus.UNAVAILABLE


async def test_what_is_watched_outlives_a_worker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "WATCH_EVERY_S", 0)
    away = CommandError("No worker answers", ExitStatus.UNAVAILABLE)
    answers: list[Any] = [{"lag": 1}, away, {"lag": 2}, CommandError("refused")]

    async def ask() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, CommandError):
            raise answer
        return answer

    with pytest.raises(CommandError, match="refused"):
        await CommandOutput(as_json=True, is_watched=True).show(ask, print)
    told = capsys.readouterr()
    assert [json.loads(line) for line in told.out.splitlines()] == [{"lag": 1}, {"lag": 2}]
    assert "No worker answers" in told.err


@pytest.mark.parametrize(
    "act",
    [
        ("dead-letters", "redrive", "nonesuch"),
        ("dead-letters", "discard", "nonesuch", "--reason", "a test"),
        ("skip", "order-events", "0", "17", "--reason", "a test"),
    ],
)
async def test_an_act_without_a_terminal_needs_yes(run: Run, act: tuple[str, ...]) -> None:
    refused = await run(*act)
    assert refused.exit_code == ExitStatus.UNTOLD
    assert "Nothing was done: say --yes." in refused.stderr
    asked = await run(*act, "--yes")
    assert asked.exit_code != 0, "there is no such thing"
    assert "Nothing was done" not in asked.stderr
