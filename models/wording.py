"""How counts are written for people."""


def counted(number: int, one: str, many: str) -> str:
    """The number with the singular or plural: 1, "order is", "orders are" make "1 order is"."""
    return f"{number} {one if number == 1 else many}"
