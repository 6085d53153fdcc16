"""How counts, roles and reasons are written for people."""


def customer_reason(reason: str) -> str:
    """A refund's or a cancel's reason as customers may read it."""
    return "OPERATOR_REQUEST" if reason == "fraudulent" else reason


def role_of(by: str) -> str:
    """Who did it, without the name: "operator:alice" is an operator."""
    return by.partition(":")[0]


def counted(number: int, one: str, many: str) -> str:
    """The number with the singular or plural: 1, "order is", "orders are" make "1 order is"."""
    return f"{number} {one if number == 1 else many}"
