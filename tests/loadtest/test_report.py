"""Reports are whole: every row, every budget, every figure, and nothing of what they name can break them."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtest.budgets import Check
from loadtest.circumstances import Circumstances, circumstances
from loadtest.curves import windows
from loadtest.phases import middle_third
from loadtest.report import Report
from loadtest.timeline import Kind, Result, Row, Timeline

NASTY = '<script>alert("x")</script> | a & b'
VOID = {"meta", "img"}


class Balanced(HTMLParser):
    """Knows whether every element that begins also ends, in its turn, and what there was."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def a_run(seconds: int = 150) -> Timeline:
    run = Timeline()
    for second in range(1000, 1000 + seconds):
        for name in ("trigger", "retrieve first page"):
            run.note(Row(Kind.REQUEST, name), second, second % 7 + 1)
        run.note(Row(Kind.LIST, "fresh" if second % 3 else "stale"), second, 110.0)
        run.note(Row(Kind.MASKING, "ready" if second % 2 else "waited"), second, 3.0)
    run.note(Row(Kind.REQUEST, "trigger"), 1001, 9.0, Result.FAILED)
    run.note_reason(f"trigger: {NASTY}")
    return run


@pytest.fixture
def report() -> Report:
    about = Circumstances("steady", "2026-01-01", "abc", "2 cores", f"locust {NASTY}", "1 1 1", "2 2 2")
    checks = [Check("trigger", "p99 9 ms", "8 ms", kept=False), Check("lists", "9 of 9 fresh", "95%", kept=True)]
    return Report(about, a_run(), checks, middle_third(150, "crowd"))


def test_the_table_has_a_line_for_every_row(report: Report) -> None:
    lines = report.table().splitlines()
    assert lines[2] == "| trigger | 151 | 0 | 1 | 1.0 | 4.0 | 7.0 | 7.0 |"
    named = {line.split("|")[1].strip() for line in lines[2:]}
    lists = {"list: fresh", "list: stale", "list was waited", "list was ready"}
    assert named == {"trigger", "retrieve first page", *lists}


def test_all_files_are_there_and_the_page_names_its_figures(report: Report, tmp_path: Path) -> None:
    files = report.write(tmp_path / "new" / "out")
    assert sorted(file.name for file in files) == ["lists.svg", "report.html", "report.md", "requests.svg", "times.svg"]
    page = (tmp_path / "new" / "out" / "report.md").read_text()
    assert sorted(re.findall(r"\]\((\w+\.svg)\)", page)) == ["lists.svg", "requests.svg", "times.svg"]
    for said in ("commit: abc", "machine: 2 cores", "1 of 2 budgets broken", "| **broken** |", "2 2 2 after"):
        assert said in page


def test_figures_are_well_formed_and_the_same_for_the_same_run(report: Report, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for file in report.write(first):
        if file.suffix == ".svg":
            assert ElementTree.fromstring(file.read_text()).tag.endswith("svg")
    report.write(second)
    assert (first / "times.svg").read_text() == (second / "times.svg").read_text()
    assert "crowd" in (first / "requests.svg").read_text()


def test_the_html_is_balanced_has_no_script_and_needs_nothing_from_elsewhere(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path)
    html = (tmp_path / "report.html").read_text()
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    assert "script" not in parser.seen
    assert "link" not in parser.seen
    assert len(parser.sources) == parser.seen.count("img") == 3
    for source in parser.sources:
        kind, _, data = source.partition(",")
        assert kind == "data:image/svg+xml;base64"
        ElementTree.fromstring(base64.b64decode(data))
    assert html.count("&lt;script&gt;") == 2


def test_what_is_named_in_markdown_can_end_neither_a_cell_nor_begin_a_tag(report: Report) -> None:
    page = report.markdown([])
    assert "<script>" not in page
    assert "locust &lt;script>" in page
    assert " \\| a & b" in page


def test_a_run_of_nothing_is_reported_too(tmp_path: Path) -> None:
    about = circumstances("steady", "python -m locust")
    files = Report(about, Timeline(), []).write(tmp_path)
    assert "every budget kept; 0 of 0" in (tmp_path / "report.md").read_text()
    assert all(file.stat().st_size > 0 for file in files)


def test_windows_are_whole_seconds_of_the_whole_run() -> None:
    found = windows(a_run())
    assert [one.middle_s for one in found[:2]] == [1.5, 4.5]
    assert len(found) == 50
    assert sum(one.answers_per_s for one in found) * 3 == pytest.approx(300)
    assert found[0].failed_per_s == pytest.approx(1 / 3)
    assert all(0 <= one.fresh <= 1 and 0 <= one.ready <= 1 for one in found)
    assert len(windows(a_run(seconds=2))) == 2
    assert windows(Timeline()) == []
