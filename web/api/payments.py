"""Payments over HTTP: create-intent, confirm, cancel, and the payment's view."""

from aiohttp import web

from models import ids, topics
from models.commands import CancelPayment, CommandType, ConfirmPayment
from models.declines import customer_decline_code, decline_text
from models.graphs import PaymentStatus
from models.payment import Payment, PaymentRecord
from tables import StoredRecord
from web.api.orders import reader
from web.api.payment_views import (
    REQUIRES_ACTION,
    Money,
    for_customer,
    payment_view,
)
from web.api.pricing import priced
from web.api.schemas import (
    CancelPaymentBody,
    Confirm,
    Confirmation,
    CreateIntent,
    Intent,
    PaymentCancelAnswer,
)
from web.http import auth, consistency
from web.http.bodies import read_json
from web.http.commands import (
    CommandRequest,
    CommandResult,
    OutcomePendingError,
    accepted_response,
    check_order_is_known,
    forwarded_to_owner,
    json_response,
    one_request_per_key,
    settle,
    wait,
    with_consistency_token,
)
from web.http.context import (
    CONTEXT,
    ORDERS,
    PAYMENTS,
    Context,
)
from web.http.params import idempotency_key
from web.http.problems import ProblemError
from web.http.tokens import Identity, Role


async def create_intent(request: web.Request) -> web.StreamResponse:
    """Place an order and open its payment at Stripe."""
    context = request.app[CONTEXT]
    key = idempotency_key(request)
    body = await read_json(request, CreateIntent, context.deps.body_limit_bytes)
    customer = await auth.customer_id_of(request, context.deps, key)
    order_id = ids.order_id(customer, key)
    data = priced(context.deps.catalogue, body, customer)
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    write = CommandRequest(
        order_id=order_id, service=ORDERS, command_type=CommandType.PLACE_ORDER, data=data,
        action="place", key=key, body=body, identity=Identity(Role.CUSTOMER, customer),
    )  # fmt: skip
    token = context.deps.order_tokens.issue(customer, order_id)
    with one_request_per_key(context, write):
        try:
            response = await _opened(context, write, token)
        except OutcomePendingError:
            response = accepted_response(
                order_id, payment_id=ids.payment_id(order_id), order_token=token
            )
    auth.set_guest_cookie(request, response, context.deps, customer)
    auth.set_order_cookie(request, response, context.deps, order_id, token)
    return response


async def _opened(context: Context, write: CommandRequest, token: str) -> web.Response:
    """Wait for Stripe's payment intent. Raises ProblemError, OutcomePendingError, UnavailableError."""
    order_id = write.order_id
    placed = await settle(context, write)
    record = await wait(context, PAYMENTS, order_id, is_opened, context.deps.bounds.command_s)
    state = _state(record)
    if record is None or state.payment is None:
        raise ProblemError("PAYMENT_NOT_OPENED", "Nothing was charged. Place the order anew.")
    held = _with_payment(
        consistency.token_of(order_id, ORDERS, placed.record, placed.outcome), record
    )
    answer = Intent(
        order_id=order_id,
        reference=ids.reference(order_id),
        payment_id=state.payment.payment_id,
        client_secret=await context.deps.client_secret(state.payment.stripe_intent_id),
        publishable_key=context.deps.publishable_key,
        amount=Money.of(state.payment.amount, state.payment.currency),
        order_token=token,
        consistency_token=held.text(),
    )
    response = json_response(answer, 201, Location=f"/api/orders/{order_id}")
    return with_consistency_token(response, held)


async def confirm(request: web.Request) -> web.StreamResponse:
    """Pay; after FAILED it is the retry."""
    context = request.app[CONTEXT]
    key = idempotency_key(request)
    await auth.require_any_token(request, context.deps)
    body = await read_json(request, Confirm, context.deps.body_limit_bytes)
    identity = await auth.authorize(request, context.deps, body.order_id, Role.CUSTOMER)
    forwarded = await forwarded_to_owner(context, request, body.order_id)
    if forwarded is not None:
        return forwarded
    check_order_is_known(context, body.order_id)
    data = ConfirmPayment(
        confirmation_token=body.confirmation_token,
        payment_method_id=body.payment_method_id,
        return_url=f"{auth.base_url(request, context.deps)}/orders/{body.order_id}",
    )
    write = CommandRequest(
        order_id=body.order_id, service=PAYMENTS, command_type=CommandType.CONFIRM_PAYMENT,
        data=data, action="confirm", key=key, body=body, identity=identity,
    )  # fmt: skip
    with one_request_per_key(context, write):
        try:
            settled = await settle(context, write)
            record = await _result(context, body.order_id, settled)
        except OutcomePendingError:
            return accepted_response(body.order_id)
        return await _confirmation(context, settled, record)


async def _result(context: Context, order_id: str, settled: CommandResult) -> StoredRecord:
    """The record once this attempt has a result, or as it is after the bound."""
    attempt = _known(settled.record).attempt

    def is_over(record: StoredRecord | None) -> bool:
        payment = _state(record).payment
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


async def _confirmation(
    context: Context, settled: CommandResult, record: StoredRecord
) -> web.Response:
    payment = _known(record)
    needs_action = payment.status is PaymentStatus.PROCESSING and payment.next_action is not None
    secret = None
    if needs_action:
        secret = await context.deps.client_secret(payment.stripe_intent_id)
    token = _with_payment(
        consistency.token_of(payment.order_id, PAYMENTS, settled.record, settled.outcome), record
    )
    answer = Confirmation(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        status=REQUIRES_ACTION if needs_action else payment.status,
        attempt=payment.attempt,
        amount=Money.of(payment.amount, payment.currency),
        failure_reason=decline_text(payment.failure_reason),
        failure_code=customer_decline_code(payment.failure_reason),
        next_action=payment.next_action,
        client_secret=secret,
        receipt_url=payment.receipt_url,
        consistency_token=token.text(),
    )
    return with_consistency_token(json_response(answer), token)


async def cancel_payment(request: web.Request) -> web.StreamResponse:
    """Ask Stripe to cancel an unpaid payment, and wait for its word."""
    context = request.app[CONTEXT]
    key = idempotency_key(request)
    await auth.require_any_token(request, context.deps)
    body = await read_json(request, CancelPaymentBody, context.deps.body_limit_bytes)
    order_id = body.order_id
    identity = await auth.authorize(request, context.deps, order_id, Role.CUSTOMER, Role.OPERATOR)
    forwarded = await forwarded_to_owner(context, request, order_id)
    if forwarded is not None:
        return forwarded
    check_order_is_known(context, order_id)
    write = CommandRequest(
        order_id=order_id, service=PAYMENTS, command_type=CommandType.CANCEL_PAYMENT,
        data=CancelPayment(reason=body.reason), action="cancel-payment", key=key, body=body,
        identity=identity,
    )  # fmt: skip
    with one_request_per_key(context, write):
        try:
            answer, token = await cancelled(context, write)
        except OutcomePendingError:
            return accepted_response(order_id)
    return with_consistency_token(json_response(answer), token)


async def cancelled(
    context: Context, write: CommandRequest
) -> tuple[PaymentCancelAnswer, consistency.Token]:
    """Cancel a payment and wait for Stripe's word. Raises ProblemError, OutcomePendingError, UnavailableError."""
    settled = await settle(context, write)
    record = await wait(context, PAYMENTS, write.order_id, _is_ended, context.deps.bounds.command_s)
    payment = _known(record)
    held = consistency.token_of(write.order_id, PAYMENTS, settled.record, settled.outcome)
    token = _with_payment(held, record or settled.record)
    answer = PaymentCancelAnswer(
        order_id=write.order_id,
        payment_id=payment.payment_id,
        status=payment.status,
        consistency_token=token.text(),
    )
    return answer, token


async def show_payment(request: web.Request) -> web.StreamResponse:
    """The payment with its refunds, disputes and net."""
    context, order_id, identity, forwarded = await reader(request, PAYMENTS)
    if forwarded is not None:
        return forwarded
    view = payment_view(_state(context.record(PAYMENTS, order_id)))
    if view is None:
        raise ProblemError(
            "PAYMENT_UNKNOWN", "Stripe has not opened it, or there is no such order."
        )
    return json_response(for_customer(view) if identity.role is Role.CUSTOMER else view)


def _state(record: StoredRecord | None) -> PaymentRecord:
    state = record.state if record else None
    return state if isinstance(state, PaymentRecord) else PaymentRecord()


def _known(record: StoredRecord | None) -> Payment:
    """The payment, where an accepted command shows that it is there."""
    payment = _state(record).payment
    assert payment is not None
    return payment


def is_opened(record: StoredRecord | None) -> bool:
    """Stripe has opened the payment, or refused to."""
    state = _state(record)
    initiation = state.work.initiation
    return state.payment is not None or bool(initiation and initiation.error)


def _is_ended(record: StoredRecord | None) -> bool:
    """A cancel has its answer: Stripe cancelled, or the money was faster."""
    payment = _state(record).payment
    return payment is not None and payment.status in {
        PaymentStatus.CANCELLED, PaymentStatus.COMPLETED, PaymentStatus.REFUNDED,
    }  # fmt: skip


def _with_payment(token: consistency.Token, record: StoredRecord) -> consistency.Token:
    """Let the token cover all that this answer tells of the payment, its last event included."""
    sequence = _known(record).sequence
    return token.covering(PAYMENTS, record, {topics.PAYMENT_EVENTS: sequence})
