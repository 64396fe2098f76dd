import pytest
import torch
from torch import Tensor

from deme.metrics import MetricSettings, Protocol, measure


def rows(count: int, columns: int = 3) -> Tensor:
    return torch.rand(count, columns, generator=torch.Generator().manual_seed(count))


def notes(names: list[str], real: int, generated: int, detector: str = "clip-l14") -> list[str]:
    """What is noted of sets of these counts."""
    found = measure(
        names,
        {"features": rows(real), "spatial": rows(real), "probabilities": rows(real).softmax(1)},
        {
            "features": rows(generated),
            "spatial": rows(generated),
            "probabilities": rows(generated).softmax(1),
        },
        protocol=Protocol(detector, "a" * 64),
        settings=MetricSettings(subsets=1, subset_size=100),
    )
    return list(found.notes)


@pytest.mark.parametrize(
    ("name", "enough", "few", "said"),
    [
        ("frechet", 6, 5, "5 generated images are few for 3 dimensions"),
        ("sfid", 6, 5, "5 generated images are few for 3 dimensions"),
        ("kid", 100, 99, "99 generated images are fewer than a subset's 100"),
        ("recall", 1000, 999, "999 generated images are few for nearest neighbours"),
        ("coverage", 1000, 999, "999 generated images are few for nearest neighbours"),
        ("inception_score", 5000, 4999, "4999 images in 10 splits are few for 3 classes"),
        ("inception_score_unsplit", 5000, 4999, "4999 images are few for 3 classes"),
    ],
)
def test_each_metric_says_below_which_count_it_is_not_to_be_trusted(
    name: str, enough: int, few: int, said: str
) -> None:
    assert notes([name], enough, enough) == []
    assert any(note.startswith(f"{name}: {said}") for note in notes([name], few, few))


def test_unequal_counts_are_noted_where_they_matter() -> None:
    assert notes(["density"], 1000, 1200) == [
        "density: 1200 generated images are measured against 1000 real ones: balls shrink as "
        "their set grows, compare only at these counts"
    ]
    assert notes(["frechet", "kid"], 1000, 1200) == []


def test_a_note_of_several_metrics_is_said_once() -> None:
    found = notes(["precision", "recall", "kid"], 500, 500)
    assert [note.partition(":")[0] for note in found] == ["precision, recall"] * 2


def test_cmmd_says_where_the_embeddings_are_not_those_of_the_paper() -> None:
    assert notes(["cmmd"], 10, 10) == []
    assert notes(["cmmd"], 10, 10, "clip-vit-large-patch14-336") == []
    assert notes(["cmmd"], 10, 10, "digits")[0].startswith("cmmd: these are features of digits")
