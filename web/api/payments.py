"""Payments over HTTP: create-intent, confirm, cancel, and the payment's view."""

from aiohttp import web

from models import ids, topics
from models.commands import CancelPayment, CommandType, ConfirmPayment, NoData
from models.declines import customer_decline_code, decline_text
from models.graphs import PaymentStatus
from models.payment import Payment, PaymentRecord
from tables import StoredRecord
from web import languages
from web.api.order_views import PaymentView, payment_for_customer, payment_view
from web.api.pricing import priced
from web.api.schemas import (
    AskedAgain,
    CancelPaymentBody,
    Confirm,
    Confirmation,
    CreateIntent,
    Intent,
    PaymentCancelAnswer,
    check_reason,
)
from web.api.views import view_of
from web.http import auth, consistency
from web.http.admission import WorkClass
from web.http.answers import Accepted, json_answer
from web.http.bodies import EmptyBody
from web.http.commands import CommandRequest, CommandResult, OutcomePendingError, wait
from web.http.context import ORDERS, PAYMENTS, Context, state_of
from web.http.params import Params
from web.http.problems import ProblemError
from web.http.route import Call
from web.http.tokens import Identity, Role


async def place_order(call: Call[Params, CreateIntent]) -> CommandRequest:
    """The command that places the order of create-intent; its id is derived of customer and key."""
    context, deps = call.context, call.context.deps
    customer = await auth.customer_id_of(call.request, deps, call.key)
    call.order_id = order_id = ids.order_id(customer, call.key)
    token = deps.order_tokens.issue(customer, order_id)

    async def answer(placed: CommandResult) -> Intent:
        """Wait for Stripe's payment intent."""
        record = await wait(context, PAYMENTS, order_id, is_opened, deps.bounds.command_s)
        payment = state_of(record, PaymentRecord).payment
        if record is None or payment is None:
            raise ProblemError("PAYMENT_NOT_OPENED", "Nothing was charged. Place the order anew.")
        return view_of(
            Intent,
            payment,
            reference=ids.reference(order_id),
            client_secret=await deps.client_secret(payment.stripe_intent_id),
            publishable_key=deps.publishable_key,
            order_token=token,
            consistency_token=_with_payment(placed.token, record).text(),
        )

    language = languages.named_in(call.request.cookies, call.request.headers)
    return CommandRequest(
        order_id=order_id, service=ORDERS, command_type=CommandType.PLACE_ORDER,
        data=priced(deps.catalogue, call.body, customer, language), action="place", key=call.key,
        body=call.body, identity=Identity(Role.CUSTOMER, customer), answer=answer,
        accepted=Accepted(
            order_id=order_id, payment_id=ids.payment_id(order_id), order_token=token
        ),
        work=WorkClass.NEW_ORDER,
    )  # fmt: skip


def create_intent(call: Call[Params, CreateIntent]) -> CommandRequest:
    """Place an order and open its payment at Stripe."""
    placing: CommandRequest = call.subject
    return placing


def intent_answer(call: Call[Params, CreateIntent], result: Intent | Accepted) -> web.Response:
    """With the cookies of a guest and of the order."""
    response, deps = json_answer(call, result), call.context.deps
    if isinstance(result, Intent):
        response.headers["Location"] = f"/api/orders/{result.order_id}"
    assert result.order_token is not None
    auth.set_guest_cookie(call.request, response, deps, call.subject.identity.subject)
    auth.set_order_cookie(call.request, response, deps, result.order_id, result.order_token)
    return response


def confirm(call: Call[Params, Confirm]) -> CommandRequest:
    """Pay; after FAILED it is the retry."""
    context, body = call.context, call.body

    async def answer(settled: CommandResult) -> Confirmation:
        record = await _result(context, body.order_id, settled)
        payment = _known(record)
        is_processing = payment.status is PaymentStatus.PROCESSING
        needs_action = is_processing and payment.next_action is not None
        intent_id = payment.stripe_intent_id
        return view_of(
            Confirmation,
            payment,
            status="REQUIRES_ACTION" if needs_action else payment.status,
            failure_reason=decline_text(payment.failure_reason),
            failure_code=customer_decline_code(payment.failure_reason),
            client_secret=await context.deps.client_secret(intent_id) if needs_action else None,
            consistency_token=_with_payment(settled.token, record).text(),
        )

    data = ConfirmPayment(
        confirmation_token=body.confirmation_token,
        payment_method_id=body.payment_method_id,
        return_url=f"{auth.base_url(call.request, context.deps)}/orders/{body.order_id}",
    )
    return CommandRequest(
        order_id=body.order_id, service=PAYMENTS, command_type=CommandType.CONFIRM_PAYMENT,
        data=data, action="confirm", key=call.key, body=body, identity=call.identity, answer=answer,
        work=WorkClass.CONFIRM,
    )  # fmt: skip


async def _result(context: Context, order_id: str, settled: CommandResult) -> StoredRecord:
    """The record once this attempt has a result, or as it is after the bound."""
    attempt = _known(settled.record).attempt

    def is_over(record: StoredRecord | None) -> bool:
        payment = state_of(record, PaymentRecord).payment
        return payment is not None and (
            payment.status is not PaymentStatus.PROCESSING
            or payment.attempt > attempt
            or payment.next_action is not None
        )

    try:
        record = await wait(context, PAYMENTS, order_id, is_over, context.deps.bounds.confirm_s)
    except OutcomePendingError:
        record = context.tables[PAYMENTS].get(order_id)
    return record or settled.record


def cancel_payment(call: Call[Params, CancelPaymentBody]) -> CommandRequest:
    """Ask Stripe to cancel an unpaid payment, and wait for its word."""
    return cancel_command(call.context, call.key, call.body, call.identity)


def cancel_command(
    context: Context, key: str, body: CancelPaymentBody, identity: Identity
) -> CommandRequest:
    """The command that cancels a payment; answered with Stripe's word on it.

    Raises ProblemError (400) for a reason that is not the caller's.
    """
    check_reason(identity, body.reason)
    order_id = body.order_id

    async def answer(settled: CommandResult) -> PaymentCancelAnswer:
        bound_s = context.deps.bounds.command_s
        record = await wait(context, PAYMENTS, order_id, _is_ended, bound_s) or settled.record
        payment = _known(record)
        token = _with_payment(settled.token, record).text()
        return view_of(PaymentCancelAnswer, payment, consistency_token=token)

    return CommandRequest(
        order_id=order_id, service=PAYMENTS, command_type=CommandType.CANCEL_PAYMENT,
        data=CancelPayment(reason=body.reason), action="cancel-payment", key=key, body=body,
        identity=identity, answer=answer,
    )  # fmt: skip


def ask_again(call: Call[Params, EmptyBody]) -> CommandRequest:
    """Ask Stripe again about a payment that it did not know, once the cause was mended."""

    async def answer(settled: CommandResult) -> AskedAgain:
        token = _with_payment(settled.token, settled.record).text()
        return view_of(AskedAgain, _known(settled.record), consistency_token=token)

    return CommandRequest(
        order_id=call.order_id, service=PAYMENTS, command_type=CommandType.ASK_STRIPE_AGAIN,
        data=NoData(), action="ask-again", key=call.key, body=call.body, identity=call.identity,
        answer=answer,
    )  # fmt: skip


def show_payment(call: Call[Params, None]) -> PaymentView:
    """The payment with its refunds, disputes and net."""
    record = call.context.record(PAYMENTS, call.order_id)
    view = payment_view(state_of(record, PaymentRecord))
    if view is None:
        raise ProblemError(
            "PAYMENT_UNKNOWN", "Stripe has not opened it, or there is no such order."
        )
    return payment_for_customer(view) if call.identity.role is Role.CUSTOMER else view


def _known(record: StoredRecord | None) -> Payment:
    """The payment, where an accepted command shows that it is there."""
    payment = state_of(record, PaymentRecord).payment
    assert payment is not None
    return payment


def is_opened(record: StoredRecord | None) -> bool:
    """Stripe has opened the payment, or refused to."""
    state = state_of(record, PaymentRecord)
    initiation = state.work.initiation
    return state.payment is not None or bool(initiation and initiation.error)


def _is_ended(record: StoredRecord | None) -> bool:
    """A cancel has its answer: Stripe cancelled, or the money was faster."""
    payment = state_of(record, PaymentRecord).payment
    return payment is not None and payment.status in {
        PaymentStatus.CANCELLED, PaymentStatus.COMPLETED, PaymentStatus.REFUNDED,
    }  # fmt: skip


def _with_payment(token: consistency.Token, record: StoredRecord) -> consistency.Token:
    """Let the token cover all that this answer tells of the payment, its last event included."""
    sequence = _known(record).sequence
    return token.covering(PAYMENTS, record, {topics.PAYMENT_EVENTS: sequence})
