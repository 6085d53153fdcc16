"""All commands of `faust -A app` that are not Faust's own, each imported when it is asked for."""

from importlib import import_module
from typing import Final

from app.cli.command import GROUP

__all__ = ["GROUP", "MODULES", "load"]

MODULES: Final = {
    "audit": "audit",
    "cancel": "acts",
    "completion": "completion",
    "dead-letters": "dead_letters",
    "disputes": "money",
    "evidence": "money",
    "lag": "platform",
    "level": "level",
    "notifications": "notifications",
    "order": "orders",
    "orders": "orders",
    "overview": "platform",
    "partitions": "partitions",
    "payment": "orders",
    "reconcile": "money",
    "refund": "acts",
    "refunds": "money",
    "rehearse": "rehearse",
    "report": "money",
    "restore": "restore",
    "skip": "skip",
    "staff": "staff",
    "stripe": "stripe",
    "stuck": "platform",
    "table": "table",
    "timeline": "orders",
    "topics": "topics",
    "workers": "platform",
}
"""Command -> the module of this package that adds it to `GROUP`."""


def load(command: str | None) -> bool:
    """Import what this command needs; True if it is ours, or none that anybody knows.

    None, and a name that nobody knows, stand for all commands: Faust lists them.
    """
    if command in MODULES:
        wanted = {MODULES[command]}
    elif command in GROUP.commands:
        return False
    else:
        wanted = set(MODULES.values())
    for module in sorted(wanted):
        import_module(f"app.cli.{module}")
    return True
