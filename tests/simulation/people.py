"""Customers, kitchens and couriers: they send commands as HTTP's handlers do, and repeat what had no answer."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from models import ids
from models.commands import (
    Address,
    AssignDelivery,
    CancelOrder,
    CommandType,
    CompleteDelivery,
    ConfirmPayment,
    Contact,
    Item,
    NoData,
    PlaceOrder,
    RefundPayment,
    RejectOrder,
)
from models.errors import KafkaUnavailableError
from models.messages import Message
from tables import NotOwnerError, NotReadyError
from tests.simulation.plan import OrderPlan
from web.http.bodies import EmptyBody
from web.http.commands import CommandRequest, OutcomePendingError, settle
from web.http.problems import CODES, ProblemError
from web.http.tokens import Identity, Role

if TYPE_CHECKING:
    from tests.simulation.world import World

C = CommandType
GIVE_UP_S = 45.0
"""After which somebody does not ask any more."""
OF_ORDERS = {
    C.PLACE_ORDER,
    C.CANCEL_ORDER,
    C.ACCEPT_ORDER,
    C.REJECT_ORDER,
    C.START_PREPARING,
    C.MARK_READY,
}
OF_DELIVERIES = {C.ASSIGN_DELIVERY, C.PICK_UP_DELIVERY, C.COMPLETE_DELIVERY}


class NoAnswerError(Exception):
    """The connection broke, or nobody is there."""


class People:
    """All that is done for one order."""

    def __init__(self, world: World, plan: OrderPlan, draw: random.Random) -> None:
        self.world, self.plan, self.draw = world, plan, draw
        self.customer = f"guest_{plan.number}"
        self.order_id = ids.order_id(self.customer, f"key{plan.number}")

    async def act(self) -> None:
        """From the first request to the last."""
        plan = self.plan
        await asyncio.sleep(plan.at_s)
        if not await self.ask(C.PLACE_ORDER, self._cart(), self._customer()):
            return
        if plan.story == "never paid":
            return
        payment = await self._until(self._payment)
        if payment is None:
            return
        await self._pause()
        if plan.story == "cancelled while paying":
            paying = asyncio.create_task(self._pay(payment.stripe_intent_id))
            await asyncio.sleep(self.draw.random())
            await self.ask(C.CANCEL_ORDER, CancelOrder(), self._customer())
            await paying
            return
        if not await self._pay(payment.stripe_intent_id):
            return
        await self._after_payment()

    async def _after_payment(self) -> None:
        story, kitchen = self.plan.story, Identity(Role.KITCHEN, "k1", restaurant_id="r1")
        if story == "cancelled after paying":
            await self._pause()
            await self.ask(C.CANCEL_ORDER, CancelOrder(), self._customer())
            return
        if story == "kitchen silent":
            return
        if story == "rejected":
            await self.ask(C.REJECT_ORDER, RejectOrder(reason="CLOSED"), kitchen)
            return
        if story == "refunded in part":
            operator = Identity(Role.OPERATOR, "op")
            amount = max(1, self.plan.amount // 3)
            for number in range(2):
                data = RefundPayment(amount=amount)
                await self.ask(C.REFUND_PAYMENT, data, operator, f"refund{number}")
                await self._pause()
        for step in (C.ACCEPT_ORDER, C.START_PREPARING, C.MARK_READY):
            await self._pause()
            if not await self.ask(step, NoData(), kitchen):
                return
        courier = Identity(Role.COURIER, f"courier{self.plan.number}")
        rival = Identity(Role.COURIER, "rival")
        await asyncio.gather(
            self.ask(C.ASSIGN_DELIVERY, AssignDelivery(courier_id=courier.subject), courier),
            self.ask(C.ASSIGN_DELIVERY, AssignDelivery(courier_id="rival"), rival, "rival"),
        )
        for who in (courier, rival):
            key = f"by {who.subject}"
            await self._pause()
            if await self.ask(C.PICK_UP_DELIVERY, NoData(), who, key, until_allowed=True):
                await self._pause()
                await self.ask(
                    C.COMPLETE_DELIVERY, CompleteDelivery(), who, key, until_allowed=True
                )
                return

    async def _pay(self, intent_id: str) -> bool:
        """Confirm, at most three times; whether the order is paid."""
        card = self.plan.card
        for attempt in range(3):
            data = ConfirmPayment(payment_method_id=card)
            await self.ask(C.CONFIRM_PAYMENT, data, self._customer(), f"confirm{attempt}")
            status = await self._until(self._payment_is_settled)
            if status == "REQUIRES_ACTION":
                await self._pause()
                self.world.stripe.authenticate(intent_id, succeeded=self.draw.random() < 0.8)
                status = await self._until(lambda: self._payment_is_settled(is_authenticated=True))
            if status in {"COMPLETED", "REFUNDED"}:
                return True
            if status != "FAILED":
                return False
            card = "pm_card_visa"
        return False

    # -- requests

    async def ask(
        self,
        kind: CommandType,
        data: Message,
        who: Identity,
        key: str = "",
        *,
        until_allowed: bool = False,
    ) -> bool:
        """Send a command until it is answered; whether it was accepted."""
        number = 0
        until_s = self.world.loop.now_s + GIVE_UP_S
        while True:
            name = f"{kind} {key} {number}"
            first = self._ask(kind, data, who, name, until_s)
            if self.plan.repeats:
                said = (await asyncio.gather(first, self._ask(kind, data, who, name, until_s)))[0]
            else:
                said = await first
            is_early = said in {"NOT_READY_FOR_PICKUP", "NOT_ALLOWED_NOW"} and until_allowed
            if not is_early or number == 4:
                return said == ""
            number += 1
            await asyncio.sleep(1.0)

    async def _ask(
        self, kind: CommandType, data: Message, who: Identity, key: str, until_s: float
    ) -> str:
        """The refusal's code; "": it was accepted."""
        service = "orders" if kind in OF_ORDERS else "payments"
        service = "deliveries" if kind in OF_DELIVERIES else service
        write = CommandRequest(
            order_id=self.order_id, service=service, command_type=kind, data=data, action=str(kind),
            key=key, body=EmptyBody(), identity=who,
        )  # fmt: skip
        while self.world.loop.now_s < until_s:
            try:
                settled = await self.world.request(write, settle, self.draw)
            except ProblemError as problem:
                if CODES[problem.code][0] < 500:
                    self.world.answered(write, problem.code, ())
                    return problem.code
            except (
                NoAnswerError, NotOwnerError, NotReadyError, KafkaUnavailableError,
                OutcomePendingError,
            ):  # fmt: skip
                pass
            else:
                self.world.answered(write, "", settled.outcome.events)
                return ""
            await asyncio.sleep(0.2 + self.draw.random())
        return "no answer"

    # -- what they see

    def _record(self, service: str) -> Any:
        return self.world.read(service, self.order_id)

    def _payment(self) -> Any:
        record = self._record("payments")
        return record.state.payment if record else None

    def _payment_is_settled(self, *, is_authenticated: bool = False) -> str | None:
        record = self._record("payments")
        payment = record.state.payment if record else None
        if payment is None or record.state.is_confirm_pending:
            return None
        if payment.status == "PROCESSING":
            return "REQUIRES_ACTION" if payment.next_action and not is_authenticated else None
        return None if payment.status == "PENDING" else str(payment.status)

    async def _until(self, look: Any) -> Any:
        until_s = self.world.loop.now_s + GIVE_UP_S
        while self.world.loop.now_s < until_s:
            found = look()
            if found is not None:
                return found
            await asyncio.sleep(0.25)
        return None

    async def _pause(self) -> None:
        await asyncio.sleep(self.plan.pause_s * self.draw.random())

    def _customer(self) -> Identity:
        return Identity(Role.CUSTOMER, self.customer, order_id=self.order_id)

    def _cart(self) -> PlaceOrder:
        amount = self.plan.amount
        return PlaceOrder(
            restaurant_id="r1", restaurant_name="R", amount=amount, currency="INR",
            user_id=self.customer,
            items=(Item(dish_id="d", name="D", quantity=1, unit_price=amount),),
            contact=Contact(name="n", email=f"{self.customer}@example.com", phone="1"),
            address=Address(line1="l", city="c", postal_code="1"),
        )  # fmt: skip
