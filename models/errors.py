"""Errors that app/ raises and web/ answers: what can't be reached, and what an operator may not do."""


class UnavailableError(Exception):
    """Something outside can't be reached now; the same request may be sent again. Answered with 503."""

    code = "UNAVAILABLE"


class KafkaUnavailableError(UnavailableError):
    """Kafka did not acknowledge a record within the sender's bound; it may still get it."""

    code = "KAFKA_UNAVAILABLE"


class StripeUnavailableError(UnavailableError):
    """Stripe can't be asked now."""

    code = "STRIPE_UNAVAILABLE"


class OperatorActionRefusedError(Exception):
    """An operator's act is not possible now.

    code: of the problem that it is answered with (web/http/problems.py has them all). detail: for the
    operator; holds nothing of the record.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


class InvalidSignatureError(Exception):
    """A webhook was not signed by Stripe with a secret of this application, or too long ago."""
