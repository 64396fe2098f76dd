"""What a comparison writes: the page, the picture, and that both are whole."""

import base64
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deme.errors import DataError, StorageError
from deme.report import build_comparison
from deme.report.pictures import PAGE_COLOURS
from report.fake_comparison import ARMS, FakeComparison
from report.test_report import Reader

SECTIONS = ["arms", "differences", "samples", "curve", "tuning", "budget", "protocol", "files"]
FEW = tuple(name for name in ARMS if name not in ("pretrained", "plain", "deme"))


def small(**settings: Any) -> FakeComparison:
    """Three arms, one detector and one metric: quick to draw."""
    usual = {"missing": FEW, "detectors": ("digits",), "metrics": ("frechet",), "curve": False}
    return FakeComparison(**{**usual, **settings})


def page_of(folder: Path) -> Reader:
    return Reader((folder / "report.html").read_text("utf-8"))


def edited(folder: Path, **changes: Any) -> Path:
    record = json.loads((folder / "compare.json").read_text("utf-8"))
    (folder / "compare.json").write_text(json.dumps({**record, **changes}), "utf-8")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of all arms with its report, to be read only."""
    metrics = ("frechet", "recall")
    folder = FakeComparison(metrics=metrics).write(tmp_path_factory.mktemp("runs") / "table")
    build_comparison(folder)
    return folder


def test_the_report_comes_first_and_all_that_is_named_is_there(tmp_path: Path) -> None:
    folder = small().write(tmp_path / "c")
    written = build_comparison(folder)
    names = [path.name for path in written]
    assert names == [
        "report.html",
        "table.md",
        "table.tex",
        "table.csv",
        "arms.csv",
        "comparison.png",
    ]
    assert all(path.stat().st_size > 0 for path in written)


def test_the_page_nests_and_its_sections_are_in_order(finished: Path) -> None:
    page = page_of(finished)
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS
    assert len(page.ids) == len(set(page.ids))


def test_the_page_needs_no_network_and_no_script(finished: Path) -> None:
    page, text = page_of(finished), (finished / "report.html").read_text("utf-8")
    assert not {"script", "link"} & set(page.tags)
    assert "@import" not in text
    for link in page.links:
        assert link.startswith(("data:image/png;base64,", "#")) or (finished / link).exists()
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))


def test_figures_follow_the_pages_colours(finished: Path) -> None:
    text = (finished / "report.html").read_text("utf-8")
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(figures) == 2 + 2  # a forest plot for each metric, time and operations
    assert not any(colour in figure for colour in PAGE_COLOURS for figure in figures)


def test_every_arms_numbers_are_on_the_page(finished: Path) -> None:
    text = page_of(finished).text
    record = json.loads((finished / "compare.json").read_text("utf-8"))
    for arm in record["arms"].values():
        assert arm["title"] in text
        number = arm["metrics"]["digits"]["frechet"]
        assert f"{number['mean']:.3f}" in text
    for arm in ("plain", "edm2"):
        difference = record["arms"][arm]["against"]["pixels"]["frechet"]
        assert f"−{-difference['mean']:.3f}" in text
        assert f"−{-difference['low']:.3f} to " in text
    assert record["protocol"] in text
    assert record["notes"][0] in text


def test_the_pretrained_model_has_no_deviation_over_trainings(finished: Path) -> None:
    text = page_of(finished).text
    record = json.loads((finished / "compare.json").read_text("utf-8"))
    mean = record["arms"]["pretrained"]["metrics"]["digits"]["frechet"]["mean"]
    assert f"{mean:.3f}" in text
    assert f"{mean:.3f} ±" not in text


def test_arms_that_are_missing_are_pending(finished: Path) -> None:
    text = page_of(finished).text
    assert "14 of 16 arms are judged; pending: diffpruning and lcsc" in text
    assert text.count("pending") >= 2 * 2 * 2


def test_every_arm_has_a_strip_from_the_same_noise_and_real_images_come_first(
    finished: Path,
) -> None:
    text = (finished / "report.html").read_text("utf-8")
    strips = re.findall(r'alt="16 images: ([^"]*)"', text)
    assert strips[0] == "real images"
    assert len(strips) == 1 + 14


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = small(curve=True).write(tmp_path / "c")
    first = {path: path.read_bytes() for path in build_comparison(folder)}
    assert {path: path.read_bytes() for path in build_comparison(folder)} == first


def test_the_picture_is_a_picture(finished: Path) -> None:
    with Image.open(finished / "comparison.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[1] > 1000
    assert len(np.unique(pixels[::4, ::4, 1])) > 50
    assert (pixels[:, :2] == 255).all()  # nothing is cut off at the left


def test_everything_is_escaped(tmp_path: Path) -> None:
    attack = "<script>alert(1)</script>"
    folder = small(name=attack, detectors=(attack,)).write(tmp_path / "c")
    record = json.loads((folder / "compare.json").read_text("utf-8"))
    record["arms"]["plain"]["title"] = record["notes"][0] = record["protocol"] = attack
    record["arms"]["deme"]["facts"] = {attack: [attack]}
    edited(folder, **record)
    build_comparison(folder)
    assert "<script" not in (folder / "report.html").read_text("utf-8")
    assert "<script" not in (folder / "table.md").read_text("utf-8")
    assert page_of(folder).text.count(attack) >= 5


def test_images_of_arms_that_have_none_yet_are_named(tmp_path: Path) -> None:
    folder = small().write(tmp_path / "c")
    (folder / "samples" / "plain.npy").unlink()
    build_comparison(folder)
    assert "No images yet: joint finetuning." in page_of(folder).text


def test_without_images_and_curve_the_sections_are_left_out(tmp_path: Path) -> None:
    folder = small().write(tmp_path / "c")
    for path in (folder / "samples").iterdir():
        path.unlink()
    build_comparison(folder)
    page = page_of(folder)
    assert not {"samples", "curve"} & set(page.ids)
    assert [link for link in page.links if link in ("#samples", "#curve")] == []


def test_large_images_are_reduced_by_means(tmp_path: Path) -> None:
    folder = small(side=16).write(tmp_path / "c")
    stripes = np.zeros((2, 1, 256, 256), np.uint8)
    stripes[..., ::2] = 200
    for path in (folder / "samples").iterdir():
        np.save(path, stripes)
    build_comparison(folder)
    text = (folder / "report.html").read_text("utf-8")
    assert "Images are shown reduced." in text
    images = re.findall(r'src="data:image/png;base64,([^"]*)"[^>]*alt="2 images', text)
    assert len(images) == 4
    with Image.open(io.BytesIO(base64.b64decode(images[0]))) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert pixels.shape[0] == 128
    assert np.unique(pixels[:, :128]).tolist() == [100]


def test_a_comparison_of_the_first_arm_alone_has_a_page(tmp_path: Path) -> None:
    names = tuple(name for name in ARMS if name != "pretrained")
    folder = small(missing=names).write(tmp_path / "c")
    written = [path.name for path in build_comparison(folder)]
    assert "comparison.png" not in written
    assert "deme has not been judged yet" in page_of(folder).text


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"compare\.json"):
        build_comparison(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [0, 1]},
        {"arms": [1]},
        {"arms": {"plain": {"title": "plain"}}},
        {"metrics": []},
        {"detectors": None},
        {"budget": {}},
        {"seeds": {"training": [0], "noise": [1]}},
    ],
)
def test_a_record_that_deme_did_not_write_is_named(tmp_path: Path, changes: Any) -> None:
    folder = edited(small().write(tmp_path / "c"), **changes)
    with pytest.raises(StorageError, match=r"compare\.json is not what deme writes"):
        build_comparison(folder)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_record_that_is_no_object_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "compare.json").write_text(content)
    with pytest.raises(StorageError, match=r"compare\.json"):
        build_comparison(tmp_path)


def test_samples_that_are_no_images_are_refused(tmp_path: Path) -> None:
    folder = small().write(tmp_path / "c")
    np.save(folder / "samples" / "plain.npy", np.zeros((4, 2, 8, 8), np.uint8))
    with pytest.raises(DataError, match="2 channels"):
        build_comparison(folder)


def test_what_a_later_version_may_leave_out_is_not_needed(tmp_path: Path) -> None:
    folder = small().write(tmp_path / "c")
    record = json.loads((folder / "compare.json").read_text("utf-8"))
    for key in ("floor", "confidence", "curve", "notes", "missing"):
        del record[key]
    for arm in record["arms"].values():
        for key in (
            "models",
            "weight_bytes",
            "flops_per_sample",
            "seconds_per_sample",
            "facts",
            "values",
        ):
            del arm[key]
        arm["training_flops"] = None
    (folder / "compare.json").write_text(json.dumps(record), "utf-8")
    build_comparison(folder)
    assert page_of(folder).text
    with (folder / "table.csv").open(encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 1
