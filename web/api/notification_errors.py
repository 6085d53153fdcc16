"""Why a message to a customer was not taken, in words for operators: what to do about it, too."""

from typing import Final

WORDS: Final[dict[str, str]] = {
    "REPEATED": "The order has had such a message just now; the latest goes out when the pause is over.",
    "CONTACT_LIMIT": "This address has had as many messages as it may have in an hour; it goes out later.",
    "OUTDATED": "It was held back, and what happened since says more.",
    "TOO_OLD": "It is too old: nobody wants to read it any more.",
    "CHANNEL_OFF": "This way of sending is not set up.",
    "NO_CONTACT": "The order has nobody to write to.",
    "ADDRESS_INVALID": "The customer's mail address can't be used.",
    "NUMBER_WITHOUT_COUNTRY": "The customer's number lacks its country, such as +91.",
    "SMTP_NOT_SUPPORTED": "The mail server can't take such an address.",
    "SMTP_TIMEOUT": "The mail server took too long to answer.",
    "SMTP_BROKEN_OFF": "The mail server broke off in the middle.",
    "SMTP_UNREACHABLE": "The mail server can't be reached.",
    "SMTP_421": "The mail server is closing or too busy.",
    "SMTP_450": "The mailbox can't be written to at the moment.",
    "SMTP_451": "The mail server had a fault of its own.",
    "SMTP_452": "The mailbox is full at the moment.",
    "SMTP_530": "The mail server wants a user and password: look at the settings.",
    "SMTP_535": "The mail server refuses our user or password: look at the settings.",
    "SMTP_550": "There is no such mailbox, or it takes nothing from us.",
    "SMTP_551": "There is no such mailbox.",
    "SMTP_552": "The mailbox is full.",
    "SMTP_553": "There is no such mailbox.",
    "SMTP_554": "The mail server refused the message.",
    "SMS_UNREACHABLE": "The SMS provider can't be reached.",
    "SMS_TIMEOUT": "The SMS provider took too long to answer.",
    "TWILIO_NO_ANSWER": "The SMS provider can't be reached.",
    "TWILIO_20003": "The SMS provider refuses our account: look at the settings.",
    "TWILIO_20429": "The SMS provider is asked too often at the moment.",
    "TWILIO_21211": "There is no such number.",
    "TWILIO_21408": "Our account may not send to the number's country.",
    "TWILIO_21606": "Our own number can't send short messages: look at the settings.",
    "TWILIO_21608": "Our account is on trial, and the number is not verified with it.",
    "TWILIO_21610": "The customer has unsubscribed from short messages.",
    "TWILIO_21612": "The number can't be reached from ours.",
    "TWILIO_21614": "The number can't take short messages.",
    "TWILIO_30003": "The customer's phone is off or out of reach.",
}  # fmt: skip
"""Code of a failed try -> words. Codes of SMTP are the server's replies (RFC 5321), those of Twilio its
error codes (twilio.com/docs/api/errors), or HTTP's status where it gave none."""

FAMILIES: Final = (
    ("BUG_", "It could not be written or sent because of a fault of ours; the log has more."),
    ("SMTP_4", "The mail server refused it for now."),
    ("SMTP_5", "The mail server refused it."),
    ("TWILIO_5", "The SMS provider had a fault of its own."),
    ("TWILIO_", "The SMS provider refused it."),
)
"""Beginning of a code that is not among the words -> words."""


def send_error_text(code: str | None) -> str | None:
    """The words for a code; None for none."""
    if code is None:
        return None
    found = (words for begin, words in FAMILIES if code.startswith(begin))
    return WORDS.get(code) or next(found, "It was not taken.")
