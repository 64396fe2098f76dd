import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from deme.errors import DemeError, StorageError
from deme.report import build_report
from deme.report.pictures import PAGE_COLOURS
from report.fake_run import FakeRun

RunWriter = Callable[..., Path]

VOID = {"meta", "img", "br", "link", "hr", "input"}
SECTIONS = [
    "verdict",
    "arms",
    "samples",
    "weights",
    "losses",
    "validation",
    "cosines",
    "search",
    "protocol",
    "timings",
    "spec",
    "environment",
    "files",
]


class Reader(HTMLParser):
    """Checks that tags nest, and keeps what matters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in ("src", "href", "xlink:href"):
                self.links.append(value or "")


def read(run: Path) -> Reader:
    path = build_report(run)
    assert path == run / "report.html"
    return Reader(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its report, to be read only."""
    run = FakeRun().write(tmp_path_factory.mktemp("runs") / "finished")
    build_report(run)
    return run


def page_of(run: Path) -> Reader:
    return Reader((run / "report.html").read_text("utf-8"))


def test_the_page_nests_and_its_sections_are_in_order(finished: Path) -> None:
    page = page_of(finished)
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS
    assert len(page.ids) == len(set(page.ids))


def test_the_page_needs_no_network_and_no_script(finished: Path) -> None:
    page = page_of(finished)
    text = (finished / "report.html").read_text("utf-8")
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "@import" not in text
    for link in page.links:
        assert link.startswith(("data:image/png;base64,", "#")) or (finished / link).exists()
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))


def test_every_figure_is_well_formed_and_follows_the_pages_colours(finished: Path) -> None:
    text = (finished / "report.html").read_text("utf-8")
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(figures) == 13
    for figure in figures:
        root = ElementTree.fromstring(figure)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert "var(--" in figure
        assert not any(colour in figure for colour in PAGE_COLOURS)
    for variable in PAGE_COLOURS.values():
        assert f"--{variable}:" in text


def test_the_same_files_give_the_same_bytes(finished: Path) -> None:
    first = (finished / "report.html").read_bytes()
    assert build_report(finished).read_bytes() == first


def test_numbers_of_the_files_are_on_the_page(finished: Path) -> None:
    page = page_of(finished)
    metrics = json.loads((finished / "metrics.json").read_text())
    assert "not there yet" not in page.text
    for arm in metrics["arms"].values():
        number = arm["metrics"]["inception"]["frechet"]
        assert f"{number['mean']:.2f} ± {number['std']:.2f}" in page.text
    assert metrics["protocol"] in page.text
    assert "67\u202f633" in page.text
    stages = json.loads((finished / "timings.json").read_text())["stages"]
    assert f"{int(sum(stage['seconds'] for stage in stages)) // 60} min" in page.text
    assert "strategy: surface" in page.text
    assert "0.42.1" in page.text


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("metrics.json", "metrics.json is not there yet"),
        ("samples", "samples/ is not there yet"),
        ("validation.json", "validation.json is not there yet"),
        ("search", "search/result.json is not there yet"),
        ("timings.json", "timings.json is not there yet"),
        ("spec.yaml", "spec.yaml is not there yet"),
        ("environment.json", "environment.json is not there yet"),
        ("merged", "merged/ is not there yet"),
    ],
)
def test_what_is_missing_is_left_out_and_said(
    write_run: RunWriter, missing: str, said: str
) -> None:
    run = write_run(experts=2, detectors=("digits",))
    target = run / missing
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    page = read(run)
    assert said in page.text
    kept = [name for name in page.ids if name in SECTIONS]
    assert kept == [name for name in SECTIONS if name in kept]
    assert [link for link in page.links if link.startswith("#") and link[1:] not in page.ids] == []


def test_no_training_record_at_all_is_said(write_run: RunWriter) -> None:
    run = write_run(experts=1, detectors=("digits",))
    shutil.rmtree(run / "experts")
    assert "Joint finetuning: denoising loss" in read(run).text
    shutil.rmtree(run / "joint")
    assert "no training.json in experts/ or joint/ holds losses" in read(run).text


def test_one_arms_images_that_are_missing_are_named(write_run: RunWriter) -> None:
    run = write_run(experts=1, detectors=("digits",))
    (run / "samples" / "merged.npy").unlink()
    assert "Not there yet: merged (searched)." in read(run).text


def test_an_empty_run_has_a_report(tmp_path: Path) -> None:
    run = tmp_path / "just-started"
    run.mkdir()
    page = read(run)
    assert "just-started" in page.text
    assert page.text.count("not there yet") + page.text.count("there yet") >= 10
    assert "svg" not in page.tags


@pytest.mark.parametrize(("experts", "searched"), [(1, "surface"), (2, "older"), (8, "surface")])
def test_any_number_of_experts(write_run: RunWriter, experts: int, searched: str) -> None:
    page = read(write_run(experts=experts, detectors=("digits",), searched=searched))
    assert ("one expert only" in page.text) == (experts == 1)
    assert ("Too many to show all" in page.text) == (experts == 8)


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 32), (3, 96)])
def test_grey_and_colour_samples_of_any_size(
    write_run: RunWriter, channels: int, side: int
) -> None:
    page = read(write_run(channels=channels, side=side, experts=1, detectors=("digits",)))
    images = [link for link in page.links if link.startswith("data:image/png")]
    assert len(images) >= 6


def test_a_run_where_joint_finetuning_wins_says_so_first(write_run: RunWriter) -> None:
    means = {"pretrained": 30.0, "joint": 24.0, "routed": 29.5, "uniform": 29.9, "merged": 28.0}
    page = read(write_run(means=means, experts=2, detectors=("digits",)))
    assert "not the best here: joint finetuning is better still" in page.text
    assert page.text.index("joint finetuning is better") < page.text.index("Every arm under")


def test_one_seed_is_not_given_a_deviation(write_run: RunWriter) -> None:
    page = read(write_run(seeds=1, experts=2, detectors=("digits",)))
    assert "One noise seed, so there is no deviation" in page.text
    assert not re.search(r"± 0\.0+(?!\d)", page.text)


def test_everything_is_escaped(write_run: RunWriter) -> None:
    attack = "<script>alert(1)</script>"
    run = write_run(title=attack, model=attack, detectors=(attack,))
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["arms"]["joint"]["title"] = attack
    metrics["notes"] = [attack]
    (run / "metrics.json").write_text(json.dumps(metrics))
    search = json.loads((run / "search" / "result.json").read_text())
    search["experts"][0] = search["protocol"] = attack
    (run / "search" / "result.json").write_text(json.dumps(search))
    page = read(run)
    assert "script" not in page.tags
    assert "<script" not in (run / "report.html").read_text("utf-8")
    assert page.text.count(attack) >= 4


def test_a_dollar_in_a_name_is_no_formula(write_run: RunWriter) -> None:
    run = write_run()
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["arms"]["joint"]["title"] = "$joint_{0$"
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert "$joint_{0$" in read(run).text


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no run folder"):
        build_report(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", "{"),
        ("metrics.json", "[1]"),
        ("validation.json", "{"),
        ("spec.yaml", "a: [1"),
        ("merged/recipe.yaml", "- a list"),
        ("samples/merged.npy", "cut short"),
    ],
)
def test_a_damaged_file_is_named(write_run: RunWriter, name: str, content: str) -> None:
    run = write_run()
    (run / name).write_text(content)
    with pytest.raises(StorageError, match=re.escape(name)):
        build_report(run)


def test_samples_that_are_no_images_are_refused(write_run: RunWriter) -> None:
    run = write_run()
    np.save(run / "samples" / "merged.npy", np.zeros((4, 2, 8, 8), np.uint8))
    with pytest.raises(DemeError, match="2 channels"):
        build_report(run)


def test_a_report_that_fails_leaves_the_old_one(write_run: RunWriter) -> None:
    run = write_run(experts=1, detectors=("digits",))
    before = build_report(run).read_bytes()
    (run / "metrics.json").write_text("{")
    with pytest.raises(StorageError):
        build_report(run)
    assert (run / "report.html").read_bytes() == before
