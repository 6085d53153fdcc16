"""Log lines: the same fields everywhere, named alike, and told by docs/logs.md."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.logs import configure_logs
from tests.support.log_fields import documented, given


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    handlers, level = logging.root.handlers, logging.root.level
    yield
    logging.root.handlers, logging.root.level = handlers, level
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(text) for text in capsys.readouterr().err.splitlines()]


def test_every_field_that_the_code_gives_is_documented() -> None:
    assert {name: place for name, place in given().items() if name not in documented()} == {}


def test_ours_and_the_standard_librarys_lines_have_the_same_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json", "INFO")
    with structlog.contextvars.bound_contextvars(orderId="order_1"):
        structlog.stdlib.get_logger("a").warning("by structlog", took_s=1.5)
        logging.getLogger("b").warning("by logging", extra={"took_s": 1.5})
    ours, standard = lines(capsys)
    for line in (ours, standard):
        assert set(line) == {"timestamp", "level", "logger", "message", "orderId", "tookS"}
        assert (line["level"], line["tookS"], line["orderId"]) == ("warning", 1.5, "order_1")


def test_a_traceback_is_a_field_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "INFO")
    card = "4242424242424242"
    try:
        raise ValueError(len(card))
    except ValueError:
        structlog.stdlib.get_logger("a").exception("failed")
        logging.getLogger("b").exception("failed")
    for line in lines(capsys):
        assert set(line) == {"timestamp", "level", "logger", "message", "exception"}
        assert card not in json.dumps(line)


def test_a_field_whose_name_is_a_secrets_has_stars(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "INFO")
    structlog.stdlib.get_logger("a").info("x", api_key="sk_1", order_token="t_1")
    (line,) = lines(capsys)
    assert (line["apiKey"], line["orderToken"]) == ("***", "***")
