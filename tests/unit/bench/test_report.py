"""Tables of the bench, their place in the document, and the chart."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from bench import chart, report
from bench.__main__ import PARTS, Part

if TYPE_CHECKING:
    from pathlib import Path


def test_a_table_is_put_between_its_markers_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"above\n{report.mark('reads')}old\n{report.mark('reads')}below\n")
    table = report.Table(["", "records/s"], [["engine", "3"], ["other", "1"]])
    report.write_section(page, "reads", table.markdown())
    assert page.read_text() == (
        f"above\n{report.mark('reads')}|  | records/s |\n| --- | ---: |\n| engine | 3 |\n| other | 1 |\n"
        f"{report.mark('reads')}below\n"
    )


def test_a_document_without_the_markers_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(report.mark("reads"))
    with pytest.raises(report.MissingMarkersError, match=r"page\.md has not two"):
        report.write_section(page, "reads", "new")
    assert page.read_text() == report.mark("reads")


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.command.name)
def test_each_part_has_its_place_in_the_document_and_a_short_form(part: Part) -> None:
    command, short = part.command, part.short
    report.section(report.DOCUMENT, f"make bench: {command.name}")
    options = {option.name for option in command.params}
    assert {*short, "write"} <= options


def test_the_chart_shows_each_contestant_in_proportion() -> None:
    bars = [
        chart.Bar("ours & <all>", 200.0, 190.0, 210.0, (3.0, 40.0)),
        chart.Bar("theirs", 100.0, 100.0, 100.0, None),
    ]
    drawn = ET.fromstring("\n".join(chart.svg(bars)))
    texts = [each.text for each in drawn.iter() if each.tag.endswith("text")]
    assert {"ours & <all>", "theirs", "200", "100"} <= set(texts)
    widths = [float(each.get("width")) for each in drawn.iter() if each.tag.endswith("rect")]
    assert widths[1] == pytest.approx(2 * widths[2], abs=0.2)
    assert sum(each.tag.endswith("circle") for each in drawn.iter()) == 2
