"""Every command, webhook and refund, in any order, doubled, dropped and late: the money is always right."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.support.payment_flow_machine import PaymentFlow

TestPaymentFlow = PaymentFlow.TestCase
TestPaymentFlow.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.mark.soak
@pytest.mark.timeout(3600)
class TestPaymentFlowLong(PaymentFlow.TestCase):
    settings = settings(max_examples=5000, stateful_step_count=80, deadline=None)
