"""Run folders, records and the page: nothing overwritten, one sentence for a place that is not writable, HTML."""

import json
import math
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pytest

from duhamel.report.chapter import Chapter, Figure, Table
from duhamel.report.figure import style
from duhamel.report.folder import Run
from duhamel.report.measurement import Measurement, number
from duhamel.report.page import duration, render, write_page
from duhamel.report.record import Record, write_json

TABLES = (Table(("calls", "5", "10"), (("DDIM", 0.5, None), ("<UniPC>", 0.25, 1e-9)), "Errors."),)


def test_a_second_run_of_the_same_name_gets_its_own_folder(tmp_path):
    first = Run.create("a", {"seed": 1}, tmp_path)
    second = Run.create("a", {"seed": 2}, tmp_path)
    assert (first.folder.name, second.folder.name) == ("a", "a-2")
    assert (first.config, second.config) == ({"seed": 1}, {"seed": 2})


def test_resume_takes_up_only_an_unfinished_run_that_was_asked_the_same(tmp_path):
    names = [Run.create("a", {"seed": 1}, tmp_path).folder.name]  # each run is dropped at once, and with it its lock
    names.append(Run.resume("a", {"seed": 1}, tmp_path).folder.name)
    names.append(Run.resume("a", {"seed": 2}, tmp_path).folder.name)
    names.append(Run.resume("a", {"seed": 1}, tmp_path).folder.name)
    assert names == ["a", "a", "a-2", "a"]
    write_page(Run(tmp_path / "a"), "title", "lede", [])
    assert Run.resume("a", {"seed": 1}, tmp_path).folder.name == "a-3"


def test_two_processes_never_write_one_run(tmp_path):
    first = Run.create("a", {}, tmp_path)
    second = Run.resume("a", {}, tmp_path)
    assert (first.folder.name, second.folder.name) == ("a", "a-2")


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_text("precious, and not JSON")
    assert Run.resume("a", {}, tmp_path).folder.name == "a-2"
    assert (tmp_path / "a" / "config.json").read_text() == "precious, and not JSON"


def test_unwritable_places_are_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write to .*file/a: Not a directory; run in a folder"):
        Run.create("a", {}, tmp_path / "file")
    with pytest.raises(OSError, match=r"cannot write .*absent/x\.json: No such file or directory; name a file"):
        write_json(tmp_path / "absent" / "x.json", [])


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/tmp"])
def test_a_name_that_would_leave_the_folder_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="a run is named by one word"):
        Run.create(name, {}, tmp_path)


def test_metrics_are_json_lines_and_numbers_are_plain(tmp_path):
    run = Run.create("a", {}, tmp_path)
    run.log(step=1, loss=np.float32(0.5))
    run.log(step=2, loss=math.nan, shape=(3, np.int64(2)))
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [0.5, None]
    assert lines[1]["shape"] == [3, 2]


def test_records_go_to_json_and_back(tmp_path):
    records = [Record("a", 1.5, "s", 0.1), Record("b", math.inf, more={"ratio": 2.0, "peer": "diffrax"})]
    write_json(tmp_path / "r.json", records)
    stored = json.loads((tmp_path / "r.json").read_text())
    assert stored[0] == {"name": "a", "value": 1.5, "unit": "s", "error": 0.1}
    assert stored[1] == {"name": "b", "value": None, "unit": "", "error": None, "ratio": 2.0, "peer": "diffrax"}
    assert Record.from_dict(stored[0]) == records[0]
    assert list(tmp_path.iterdir()) == [tmp_path / "r.json"]


def test_a_measurement_holds_inside_its_interval_and_never_as_nan():
    slope = Measurement("slope", 2.97, low=2.8, high=3.2)
    assert slope.holds and slope.expected == "2.8 to 3.2"
    assert not Measurement("error", math.nan, high=1.0).holds
    assert Measurement.from_dict(json.loads(json.dumps(slope.as_dict()))) == slope
    with pytest.raises(ValueError, match="cannot fail"):
        Measurement("anything", 1.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.1e-8, "3.1 × 10⁻⁸"),
        (1e-4, "10⁻⁴"),
        (-2.5e-7, "−2.5 × 10⁻⁷"),
        (0, "0"),
        (131072, "131\u202f072"),
        (0.0123, "0.0123"),
        (12345.6, "12346"),
        (1.5e9, "1.5 × 10⁹"),
        (math.nan, "not a number"),
        (None, "–"),
        ("word", "word"),
    ],
)
def test_numbers_read_as_people_write_them(value, text):
    assert number(value) == text


def test_durations():
    assert [duration(s) for s in (0.25, 48.4, 59.6, 125)] == ["0.2 s", "48 s", "1 min 0 s", "2 min 5 s"]


class WellFormed(HTMLParser):
    """Every element that opens closes, in order; nothing is fetched from outside."""

    VOID = ("meta", "img", "link", "br", "hr")

    def __init__(self):
        super().__init__()
        self.open, self.images, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(attrs["src"])
        assert tag not in ("script", "link", "iframe")
        assert not attrs.get("href", "#").startswith("http")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_well_formed_self_contained_and_escaped(tmp_path):
    run = Run.create("a", {}, tmp_path)
    with style():
        figure, axes = plt.subplots()
        axes.plot([0, 1], [1, 0])
    path = run.figure("line", figure)
    headline = Measurement("error <b>not bold</b>", 2e-8, high=1e-7, note="The truth is a closed form.")
    record = Record("time", 1.25, "s", error=1e-3)
    full = Chapter("kdv", "Solitons", "What?", headline, ("More.",), (record,), (Figure(path, "A line."),), TABLES, 3.0)
    page = write_page(run, "A & B", "Lede.", [full, Chapter("bare", "Bare", "Nothing measured.")], "duhamel demo")
    html = page.read_text()
    parser = WellFormed()
    parser.feed(html)
    assert parser.open == []
    assert len(parser.images) == 1 and parser.images[0].startswith("data:image/svg+xml;base64,")
    assert "error <b>not bold</b>" in "".join(parser.text)
    assert "<UniPC>" in "".join(parser.text) and '<td class="n">10⁻⁹</td>' in html
    assert "asked: at most 10⁻⁷" in html and "2 × 10⁻⁸" in html and "A &amp; B" in html


def test_a_missed_headline_is_marked(tmp_path):
    missed = Chapter("a", "A", "Q.", Measurement("error", 1.0, high=0.5))
    assert 'class="mark no">✗' in render(tmp_path, "t", "l", [missed])


def test_the_same_figure_writes_the_same_file(tmp_path):
    texts = []
    for name in ("one", "two"):
        with style():
            figure, axes = plt.subplots()
            axes.plot([0, 1], [1, 0])
        run = Run.create("a", {}, tmp_path)
        texts.append((run.folder / run.figure(name, figure)).read_bytes())
    assert texts[0] == texts[1]


def test_a_chapter_survives_storage():
    chapter = Chapter(
        "a", "A", "Q.", Measurement("n", 1.0, low=0.5), ("t",), (Record("r", 2),), (Figure("f.svg", "c"),), TABLES, 1.5
    )
    assert Chapter.from_dict(json.loads(json.dumps(chapter.as_dict()))) == chapter
    bare = Chapter("a", "A", "Q.")
    assert Chapter.from_dict(json.loads(json.dumps(bare.as_dict()))) == bare
