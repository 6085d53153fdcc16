"""Hypothesis's state machine of one order's payment: what may come, in any order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from models import order as order_state
from models import payment_fold, topics
from models.commands import (
    CancelOrder,
    CancelPayment,
    CheckDeadline,
    CommandType,
    ConfirmPayment,
    NoData,
    RefundPayment,
    ResultKind,
    RetryRefund,
)
from models.events import EventType
from models.graphs import (
    ORDER_GRAPH,
    ORDER_TERMINAL,
    PAID_ORDER,
    PAYMENT_GRAPH,
    UNPAID_ORDER,
    OrderStatus,
    PaymentStatus,
    RefundStatus,
)
from models.money_checks import money_of, violations
from models.payment import EffectKind, Payment
from models.stuck import waiting
from tests.support.payment_flow import AMOUNT, PLACE, PaymentFlowHarness

CARDS = st.sampled_from(["ok", "decline", "3ds", "bank"])


class PaymentFlow(RuleBasedStateMachine):
    """One order: commands, Stripe's answers and webhooks, doubled, dropped, late; checked after each."""

    def __init__(self) -> None:
        super().__init__()
        self.world = PaymentFlowHarness()
        self.cards: dict[str, str] = {}
        self.refunds: list[bytes] = []
        self.checked = 0
        self.payment: Payment | None = None
        self.order: order_state.Order | None = None

    @initialize(is_open=st.booleans())
    def place(self, is_open: bool) -> None:
        self.world.command(CommandType.PLACE_ORDER, PLACE)
        if is_open:
            self.drain()
            self.world.perform(self.world.effects[0], "ok")
            self.drain()

    # ---- people

    @rule()
    def confirm(self) -> None:
        self.world.command(CommandType.CONFIRM_PAYMENT, ConfirmPayment(payment_method_id="pm_x"))

    @rule()
    def cancel_payment(self) -> None:
        self.world.command(CommandType.CANCEL_PAYMENT, CancelPayment())

    @rule()
    def cancel_order(self) -> None:
        self.world.command(CommandType.CANCEL_ORDER, CancelOrder())

    @rule(amount=st.one_of(st.none(), st.integers(1, AMOUNT + 1)))
    def refund(self, amount: int | None) -> None:
        self.world.command(
            CommandType.REFUND_PAYMENT, RefundPayment(amount=amount), by="operator:o"
        )
        self.refunds.append(self.world.queues[topics.PAYMENT_COMMANDS][-1])

    @precondition(lambda self: self.refunds)
    @rule(data=st.data())
    def refund_comes_again_when_all_have_forgotten_it(self, data: st.DataObject) -> None:
        value = data.draw(st.sampled_from(self.refunds))
        self.drain()
        if self.world.effects or self.world.stripe.late:
            return  # of what is under way Stripe is asked before its key is used again
        self.world.payments.seen.clear()
        self.world.stripe.answers.clear()
        self.world.queues[topics.PAYMENT_COMMANDS].append(value)

    @rule(
        kind=st.sampled_from(
            [CommandType.ACCEPT_ORDER, CommandType.START_PREPARING, CommandType.MARK_READY]
        )
    )
    def kitchen(self, kind: CommandType) -> None:
        self.world.command(kind, NoData(), by="kitchen:k")

    @rule(kind=st.sampled_from(["PAYMENT", "KITCHEN"]))
    def deadline(self, kind: str) -> None:
        record = self.world.orders.state
        due = record.work.deadlines.get(kind) if record else None
        if due:
            self.world.now = max(self.world.now, due)
            self.world.command(CommandType.CHECK_DEADLINE, CheckDeadline(deadline=kind, due_at=due))

    # ---- Kafka

    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        busy = [topic for topic, queue in self.world.queues.items() if queue]
        if busy:
            self.world.deliver(data.draw(st.sampled_from(busy)), again=again)

    @rule()
    def drain(self) -> None:
        while busy := [topic for topic, queue in self.world.queues.items() if queue]:
            self.world.deliver(busy[0])

    @rule(card=CARDS)
    def pay(self, card: str) -> None:
        """Confirm and, where that is allowed, let Stripe answer."""
        self.confirm()
        self.drain()
        for effect in self.world.effects:
            if effect.kind is EffectKind.CONFIRM:
                self.world.perform(effect, self.cards.setdefault(effect.effect_id, card))
                self.drain()

    # ---- Stripe and the effects service

    @precondition(lambda self: self.world.effects)
    @rule(data=st.data(), card=CARDS, report=st.booleans())
    def perform(self, data: st.DataObject, card: str, report: bool) -> None:
        effect = data.draw(st.sampled_from(self.world.effects))
        self.world.perform(effect, self.cards.setdefault(effect.effect_id, card), report=report)

    @precondition(lambda self: self.world.effects)
    @rule(data=st.data())
    def stored_500(self, data: st.DataObject) -> None:
        effect = data.draw(st.sampled_from(self.world.effects))
        if effect.idempotency_key not in self.world.stripe.answers:
            error = {"result": ResultKind.TRY_AGAIN, "code": "api_error"}
            self.world.stripe.answers[effect.idempotency_key] = error
            self.world.report(effect, ResultKind.TRY_AGAIN, error)

    @precondition(lambda self: self.world.confirm_in_flight)
    @rule(card=CARDS)
    def never_submitted(self, card: str) -> None:
        effect = next(e for e in self.world.effects if e.kind is EffectKind.CONFIRM)
        if effect.idempotency_key not in self.world.stripe.answers:
            self.world.report(effect, ResultKind.NOT_SUBMITTED, {})
            self.world.stripe.late.append((effect, card))

    @precondition(lambda self: self.world.stripe.late)
    @rule()
    def arrives_late_all_the_same(self) -> None:
        self.world.stripe.call(*self.world.stripe.late.pop())

    @precondition(lambda self: self.world.stripe.intent)
    @rule(succeed=st.booleans())
    def stripe_goes_on(self, succeed: bool) -> None:
        match self.world.stripe.intent["status"]:
            case "processing":
                self.world.stripe.settle(succeed=succeed)
            case "requires_action":
                self.world.stripe.authenticate(succeed=succeed)

    @precondition(lambda self: self.world.stripe.refunds)
    @rule(data=st.data(), succeed=st.booleans())
    def refund_goes_on(self, data: st.DataObject, succeed: bool) -> None:
        refund = data.draw(st.sampled_from(list(self.world.stripe.refunds.values())))
        if refund["status"] == "pending" or (refund["status"] == "succeeded" and not succeed):
            self.world.stripe.end_refund(refund, succeed=succeed)

    @precondition(lambda self: self.world.stripe.received)
    @rule(amount=st.integers(1, AMOUNT), mode=st.sampled_from(["ok", "bank"]))
    def dashboard_refund(self, amount: int, mode: str) -> None:
        self.world.stripe.refund(amount, None, mode)

    @precondition(lambda self: self.world.stripe.received > self.world.stripe.refunded)
    @rule(won=st.one_of(st.none(), st.booleans()), inquiry=st.booleans())
    def dispute(self, won: bool | None, inquiry: bool) -> None:
        stripe = self.world.stripe
        if not stripe.disputes and not any(
            r["status"] == "pending" for r in stripe.refunds.values()
        ):
            stripe.dispute(inquiry=inquiry)
        for dispute in stripe.disputes.values():
            if won is not None and dispute["status"].endswith("needs_response"):
                stripe.close_dispute(dispute, won=won)

    @precondition(lambda self: self.world.stripe.disputes)
    @rule()
    def inquiry_becomes_dispute(self) -> None:
        stripe = self.world.stripe
        if not any(r["status"] == "pending" for r in stripe.refunds.values()):
            for dispute in stripe.disputes.values():
                stripe.escalate(dispute)

    @precondition(lambda self: self.world.state and self.world.state.refunds())
    @rule(data=st.data())
    def retry_refund(self, data: st.DataObject) -> None:
        refund = data.draw(st.sampled_from(sorted(self.world.state.refunds())))
        self.world.command(CommandType.RETRY_REFUND, RetryRefund(refund_id=refund), by="operator:o")

    # ---- webhooks: late, doubled, in any order, or never

    @rule(data=st.data(), doubled=st.booleans())
    def webhook(self, data: st.DataObject, doubled: bool) -> None:
        self.world.collect_webhooks()
        if self.world.webhooks:
            at = data.draw(st.integers(0, len(self.world.webhooks) - 1))
            value = self.world.webhooks[at] if doubled else self.world.webhooks.pop(at)
            self.world.queues[topics.WEBHOOKS].append(value)

    @rule()
    def webhooks_are_lost(self) -> None:
        self.world.collect_webhooks()
        self.world.webhooks.clear()

    @precondition(lambda self: not self.world.confirm_in_flight)
    @rule()
    def look_up(self) -> None:
        self.world.look_up()

    # ---- what must always hold

    @invariant()
    def events_are_legal_and_gapless(self) -> None:
        for event in self.world.log[self.checked :]:
            if event.producer == "payments":
                before = self.payment.status if self.payment else None
                assert event.sequence == (self.payment.sequence if self.payment else 0) + 1
                assert event.occurred_at_ms >= (self.payment.occurred_at if self.payment else 0)
                self.payment = payment_fold.evolve(self.payment, event)
                after = self.payment.status
                assert after is before or after in PAYMENT_GRAPH[before], (before, after)
            elif event.event_type in order_state.STATUS_AFTER:
                status = self.order.status if self.order else None
                self.order = order_state.evolve(self.order, event)
                assert self.order.status in ORDER_GRAPH[status], (status, self.order.status)
        self.checked = len(self.world.log)
        numbers = [e.sequence for e in self.world.log if e.producer == "orders"]
        assert numbers == list(range(1, len(numbers) + 1))

    @invariant()
    def stored_state_is_the_fold_of_its_events(self) -> None:
        if self.world.state and self.world.state.payment:
            assert self.payment == self.world.state.payment
        if self.world.orders.state and self.world.orders.state.order:
            assert self.order == self.world.orders.state.order

    @invariant()
    def money_adds_up(self) -> None:
        if self.payment:
            assert self.payment.refunded <= self.payment.captured <= self.payment.amount
            assert self.payment.captured in {0, self.world.stripe.received}
        assert sum(c["status"] == "succeeded" for c in self.world.stripe.charges) <= 1

    @invariant()
    def confirm_in_flight_has_no_charge_yet(self) -> None:
        """The effects service and decide tell charges apart by one rule; their cases do not overlap."""
        record = self.world.state
        if record and record.payment and not record.payment.captured:
            for effect in record.work.effects.values():
                assert (
                    effect.kind is not EffectKind.CONFIRM
                    or effect.attempt not in record.work.charges
                )

    def teardown(self) -> None:
        world, stripe = self.world, self.world.stripe
        while stripe.late:
            stripe.call(*stripe.late.pop())
        world.settle_all()
        world.look_up()
        world.list_events()
        world.settle_all()
        # What came late may open an attempt that Stripe has ended: who is PROCESSING is asked about again.
        world.look_up()
        world.settle_all()
        self.events_are_legal_and_gapless()
        self.stored_state_is_the_fold_of_its_events()
        self.money_adds_up()
        payment, order = self.payment, self.order
        assert payment
        assert order
        if stripe.received:
            assert payment.captured == stripe.received, "captured money is always known"
            assert payment.refunded == stripe.refunded, "so is what was given back"
            if order.status not in PAID_ORDER:
                self.check_money_went_back()
        else:
            assert payment.status not in {PaymentStatus.COMPLETED, PaymentStatus.REFUNDED}
            assert order.status not in PAID_ORDER | {OrderStatus.REFUNDED}
        assert violations(money_of(world.state), order.status) == []
        if payment.status in {PaymentStatus.PENDING, PaymentStatus.FAILED}:
            assert world.state.work.cancel is None, "Stripe is asked until it has cancelled"
            assert order.status is not OrderStatus.CANCELLED, "nothing is left to be paid"
        if order.status not in ORDER_TERMINAL and (stripe.received or order.status in UNPAID_ORDER):
            assert [*waiting(world.state), *waiting(world.orders.state)], "somebody is waited for"
        if payment.status is PaymentStatus.PROCESSING:
            assert stripe.intent["status"] == "requires_action", "Stripe has been asked"

    def check_money_went_back(self) -> None:
        """A cancelled order that was paid: its refund was made, is under way, failed, or is blocked."""
        record = self.world.state
        asked = [e for e in self.world.log if e.event_type == EventType.PAYMENT_REFUND_INITIATED]
        kept = record.payment.captured - record.payment.refunded
        failed = any(
            r.status in {RefundStatus.FAILED, RefundStatus.CANCELLED}
            for r in record.payment.refunds.values()
        )
        assert self.order.status in {OrderStatus.CANCELLED, OrderStatus.REFUNDED}
        assert asked or record.payment.refunds
        assert (
            kept == 0
            or record.work.refunds
            or failed
            or record.work.refund_wanted
            or record.payment.disputes
        )
