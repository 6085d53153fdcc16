"""The build's version, as pyproject.toml has it; a checkout is installed nowhere that would know it."""

from typing import Final

VERSION: Final = "0.2.0.dev0"
