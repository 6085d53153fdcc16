"""`python -m app.schema_files docs/schemas`: a JSON Schema file of each type of events and commands."""

import json
import sys
from pathlib import Path
from typing import Final

from models.json_schemas import schema_files

COMMAND: Final = ".venv/bin/python -m app.schema_files docs/schemas"


def texts() -> dict[str, str]:
    """Path of each file in the folder -> what it holds."""
    return {
        path: json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for path, schema in schema_files().items()
    }


def write(folder: Path) -> None:
    """Write all files; those of types that are no more are removed."""
    wanted = texts()
    for path in folder.glob("*/*.json"):
        if path.relative_to(folder).as_posix() not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"which folder? {COMMAND}")
    write(Path(sys.argv[1]))
