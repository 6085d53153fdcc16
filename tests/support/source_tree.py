"""Measures the product's source tree: files, lines, imports, circles and class names.

`python -m tests.support.source_tree` writes the figures into docs/architecture.md.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

PRODUCT = ("agents", "app", "models", "tables", "web")
"""The folders of what runs in a worker."""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class SourceTree:
    """The Python files of a checkout's product folders, parsed."""

    root: Path = ROOT

    @cached_property
    def sources(self) -> Mapping[str, str]:
        """Path from the root -> text."""
        return {
            path.relative_to(self.root).as_posix(): path.read_text()
            for folder in PRODUCT
            for path in sorted((self.root / folder).rglob("*.py"))
        }

    @cached_property
    def trees(self) -> Mapping[str, ast.Module]:
        return {path: ast.parse(text, path) for path, text in self.sources.items()}

    @cached_property
    def modules(self) -> Mapping[str, str]:
        """Dotted name -> path."""
        return {_dotted(path): path for path in self.sources}

    @cached_property
    def imports(self) -> Mapping[str, frozenset[str]]:
        """Module -> product modules that it imports anywhere in the file, `if TYPE_CHECKING` included."""
        return {
            name: frozenset(self._imported_by(self.trees[path])) - {name}
            for name, path in self.modules.items()
        }

    def _imported_by(self, tree: ast.Module) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (each.name for each in node.names if each.name in self.modules)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for each in node.names:
                    submodule = f"{node.module}.{each.name}"
                    if submodule in self.modules:
                        yield submodule
                    elif node.module in self.modules:
                        yield node.module

    def circles(self) -> list[list[str]]:
        """Give the groups of modules that import each other in a loop."""
        return sorted(sorted(group) for group in _components(self.imports) if len(group) > 1)

    def folder_circles(self) -> list[list[str]]:
        """Give the groups of folders that import each other in a loop, a folder's own folders apart."""
        folders = {name: self.modules[name].rpartition("/")[0] for name in self.modules}
        graph: dict[str, set[str]] = {folder: set() for folder in folders.values()}
        for name, imported in self.imports.items():
            here = folders[name]
            for there in (folders[each] for each in imported):
                if not f"{here}/".startswith(f"{there}/") and not there.startswith(f"{here}/"):
                    graph[here].add(there)
        return sorted(sorted(group) for group in _components(graph) if len(group) > 1)

    def class_definitions(self) -> Mapping[str, list[str]]:
        """Class name -> the files that define it, in any nesting."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for path, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(path)
        return found

    def lines_of(self, path: str) -> int:
        return len(self.sources[path].splitlines())

    def files_at_top(self, folder: str) -> int:
        """Count the Python files directly in a folder, `__init__.py` included."""
        return sum(Path(path).parent.as_posix() == folder for path in self.sources)

    def figures(self) -> dict[str, int]:
        """Give what the table of docs/architecture.md shows, in its order."""
        repeated = [name for name, paths in self.class_definitions().items() if len(paths) > 1]
        return {
            **{f"files at the top of {each}/": self.files_at_top(each) for each in PRODUCT},
            "product files": len(self.sources),
            "product lines": sum(map(self.lines_of, self.sources)),
            "longest file": max(map(self.lines_of, self.sources)),
            "import circles": len(self.circles()),
            "class names defined more than once": len(repeated),
        }


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _components(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Strongly connected components (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            components.append(stack[at:])
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return components


BEFORE: Final[Mapping[str, int]] = {
    "files at the top of agents/": 8,
    "files at the top of app/": 52,
    "files at the top of models/": 31,
    "files at the top of tables/": 23,
    "files at the top of web/": 67,
    "product files": 217,
    "product lines": 33028,
    "longest file": 592,
    "import circles": 1,
    "class names defined more than once": 26,
}
"""The figures of commit d0ce47c, the last one before the redesign, as this file counts them."""
MARK: Final = "<!-- python -m tests.support.source_tree -->\n"


def write_figures(document: Path = ROOT / "docs/architecture.md") -> None:
    """Replace what stands between the two marks of the document."""
    head, _, tail = document.read_text().split(MARK)
    rows = "".join(
        f"| {what} | {BEFORE[what]:,} | {figure:,} |\n"
        for what, figure in SourceTree().figures().items()
    )
    document.write_text(f"{head}{MARK}| | before | after |\n|---|---|---|\n{rows}{MARK}{tail}")


if __name__ == "__main__":
    write_figures()
