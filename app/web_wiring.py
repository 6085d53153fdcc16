"""The wiring of web/: what of the worker's parts and settings its pages and its API are given."""

import functools
from collections.abc import Callable, Sequence

from yarl import URL

from app.clock import BrokerClock
from app.metrics.worker import Metrics
from app.operators import Operators
from app.reconciliation.runner import Reconciliation
from app.settings import STRIPE_API, Settings
from app.stripe.event_intake import EventIntake
from app.stripe.gateway import StripeGateway
from app.stripe.webhooks import verify_webhook
from models.payment_methods import OfferedMethods
from models.sender import CommandSender
from models.topics import TopicUse
from tables import ServiceRuntime, caught_up
from tables.faust_internals import serve_with, web_application
from web.application import setup
from web.catalogue import Catalogue
from web.http.admission import Admission
from web.http.deps import Bounds, RequestAnswered, SignIn, StripeOrigins, WebDeps
from web.http.identity_provider import JwksVerifier
from web.http.rate_limits import BAD_WEBHOOKS_PER_MIN, CSP_REPORTS_PER_MIN, ClientLimits
from web.http.revoked_tokens import RevocableStaff, RevokedTokens
from web.http.server import ConnectionLimits, WorkerRunner, connections_allowed
from web.http.staff_sessions import StaffSessions
from web.http.tokens import ClaimNames, DevelopmentStaff, OrderTokens, StaffVerifier
from web.indexes.money import MoneyIndex
from web.pages.render import warm


def mount_web(  # noqa: PLR0913 -- the worker's parts
    settings: Settings,
    catalogue: Catalogue,
    runtime: ServiceRuntime,
    gateway: StripeGateway,
    intake: EventIntake,
    sender: CommandSender,
    operators: Operators,
    topics: tuple[TopicUse, ...],
    *,
    money: MoneyIndex,
    reconciliation: Reconciliation,
    metrics: Metrics,
    admission: Admission,
    answered: RequestAnswered,
    csp_reported: Callable[[str, str, int], None],
    clock: BrokerClock,
    revoked: RevokedTokens,
    order_tokens: OrderTokens,
    payment_methods: OfferedMethods,
) -> None:
    """Put pages and API into the worker's web server, in the place of Faust's own."""
    secrets = [secret.get_secret_value() for secret in settings.stripe_webhook_secrets]

    def verify(payload: bytes, signature: str) -> None:
        # A signature's age is counted by this machine's clock, which may be off.
        tolerance_s = settings.stripe_webhook_tolerance_s + (clock.offset_s or 0)
        verify_webhook(payload, signature, secrets, tolerance_s)

    staff, sign_in = _staff(settings), _sign_in(settings)
    sessions = (
        StaffSessions(settings.order_token_key.get_secret_value(), staff) if sign_in else None
    )
    verifier = sessions or staff
    deps = WebDeps(
        catalogue=catalogue, tables=runtime.tables, topics=topics, sender=sender,
        client_secret=gateway.client_secret, verify_webhook=verify,
        webhook_tolerance_s=settings.stripe_webhook_tolerance_s,
        reduce_webhook=intake.take_webhook,
        ready=functools.partial(_not_ready_reasons, runtime, clock), order_tokens=order_tokens,
        publishable_key=settings.stripe_publishable_key, payment_methods=payment_methods,
        livemode=settings.livemode, staff=verifier and RevocableStaff(verifier, revoked), sign_in=sign_in,
        staff_sessions=sessions,
        development_login=(
            staff if settings.dev_login and isinstance(staff, DevelopmentStaff) else None
        ),
        now_ms=clock.now_ms, caught_up=functools.partial(caught_up, runtime),
        courier_limit=settings.courier_limit, asks_delivery_code=settings.delivery_code, metrics=metrics.render,
        metrics_token=settings.metrics_token.get_secret_value() if settings.metrics_token else None,
        operations=operators.ports, waiting=operators.waiting, money=money,
        reconciliation=lambda: reconciliation.report,
        admission=admission, answered=answered, csp_reported=csp_reported,
        bounds=Bounds(
            command_s=settings.command_wait_s, confirm_s=settings.confirm_wait_s,
            consistency_s=settings.consistency_wait_s,
        ),
        client_limits=ClientLimits(
            creates_per_min=settings.client_creates_per_min,
            writes_per_min=settings.client_writes_per_min,
            reads_per_min=settings.client_reads_per_min, bad_webhooks_per_min=BAD_WEBHOOKS_PER_MIN,
            csp_reports_per_min=CSP_REPORTS_PER_MIN,
            at_once=settings.client_requests_at_once, trusted_proxies=settings.trusted_proxies,
        ),
        body_limit_bytes=settings.body_limit_bytes, allowed_origins=settings.allowed_origins,
        public_url=settings.public_url, secure_cookies=settings.secure_cookies,
        default_language=settings.default_language,
        own_url=URL(settings.canonical_url), stripe_js=_stripe_js(settings),
        stripe_intent=gateway.intent_as_json, is_sandbox=settings.sandbox,
    )  # fmt: skip
    application = web_application(runtime.app)
    setup(application, deps)
    application.on_startup.append(warm)
    limits = ConnectionLimits(
        most=connections_allowed(),
        # Behind proxies of ours every connection is theirs.
        most_idle=0 if settings.trusted_proxies else settings.client_requests_at_once,
    )
    serve_with(runtime.app, WorkerRunner(application, limits))


def _stripe_js(settings: Settings) -> StripeOrigins:
    own = StripeOrigins()
    if settings.stripe_api_url == STRIPE_API or settings.stripe_js_url == own.script_url:
        return own
    return StripeOrigins.stand_in(settings.stripe_js_url or settings.stripe_api_url)


def _not_ready_reasons(runtime: ServiceRuntime, clock: BrokerClock) -> Sequence[str]:
    moving = () if runtime.ready() else ("partitions are being assigned or recovered",)
    return (*moving, *clock.reasons())


def _claim_names(settings: Settings) -> ClaimNames:
    return ClaimNames(settings.platform_role_claim, settings.platform_restaurant_claim)


def _sign_in(settings: Settings) -> SignIn | None:
    if not settings.platform_client_id:
        return None
    # Only workers whose staff sign in need it.
    from app.sign_in import OpenIdSignIn  # noqa: PLC0415

    secret = settings.platform_client_secret
    return OpenIdSignIn(
        issuer=settings.platform_issuer, client_id=settings.platform_client_id,
        client_secret=secret.get_secret_value() if secret else None,
        scopes=settings.platform_scopes, public_url=settings.public_url or "",
        key=settings.order_token_key.get_secret_value(), names=_claim_names(settings),
    )  # fmt: skip


def _staff(settings: Settings) -> StaffVerifier | None:
    if settings.platform_jwks_url:
        return JwksVerifier(
            settings.platform_jwks_url, issuer=settings.platform_issuer,
            audience=settings.platform_audience, names=_claim_names(settings),
        )  # fmt: skip
    if settings.sandbox:
        return DevelopmentStaff(settings.order_token_key.get_secret_value(), sandbox=True)
    return None
