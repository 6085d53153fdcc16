"""Payments as tests find them: open, or paid."""

from __future__ import annotations

import pytest

from models.commands import CommandType, ConfirmPayment
from models.graphs import PaymentStatus
from tests.support.payment_flow import PLACE, PaymentFlowHarness


@pytest.fixture
def opened() -> PaymentFlowHarness:
    world = PaymentFlowHarness()
    world.command(CommandType.PLACE_ORDER, PLACE)
    world.settle_all()
    assert world.status() is PaymentStatus.PENDING
    return world


@pytest.fixture
def paid(opened: PaymentFlowHarness) -> PaymentFlowHarness:
    opened.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm"))
    opened.settle_all()
    assert opened.status() is PaymentStatus.COMPLETED
    return opened
