"""``deme statistics`` on the bundled pipeline and images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deme.denoisers import load_denoiser
from deme.merge.statistics import read_statistics

Deme = Callable[..., tuple[int, str, str]]


@pytest.fixture
def statistics(deme: Deme) -> Deme:
    """Runs ``deme statistics``."""
    return lambda *words: deme("statistics", *words)


def test_it_writes_the_fisher_of_the_range(statistics: Deme, tmp_path: Path) -> None:
    path = tmp_path / "low.safetensors"
    words = ["digits", "--kind", "fisher", "--data", "digits", "--max-timestep", "250"]
    code, out, err = statistics(*words, "--samples", "2", "-o", str(path))
    assert code == 0, err
    assert out.strip() == str(path)
    found = read_statistics(path, kind="fisher")
    assert set(found.tensors) == set(load_denoiser("digits").weights())
    assert (found.description.min_timestep, found.description.max_timestep) == (0, 250)
    assert [entry.name for entry in tmp_path.iterdir()] == ["low.safetensors"]


def test_it_says_which_layers_regmean_leaves_to_the_mean(statistics: Deme, tmp_path: Path) -> None:
    path = tmp_path / "high.safetensors"
    words = ["digits", "--kind", "regmean", "--data", "digits", "--min-timestep", "750"]
    code, _, err = statistics(*words, "--samples", "2", "--max-features", "100", "-o", str(path))
    assert code == 0, err
    found = read_statistics(path, kind="regmean").description
    assert (found.min_timestep, found.max_timestep) == (750, 1000)
    name, reason = next(iter(found.skipped.items()))
    assert f"{name}: {reason}; merged by the mean" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--kind", "hessian"], 2, "Unknown statistics 'hessian'. Choices: fisher, regmean."),
        (["--kind", "fisher", "--min-timestep", "300", "--max-timestep", "250"], 2, "[300, 250)"),
        (["--kind", "fisher", "--max-timestep", "1001"], 2, "exceeds the model's 1000 timesteps"),
    ],
)
def test_wrong_usage_is_one_message(
    statistics: Deme, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    path = tmp_path / "s"
    found, _, err = statistics(
        "digits", "--data", "digits", "--samples", "2", *words, "-o", str(path)
    )
    assert found == code
    assert message in " ".join(err.split()) and "Traceback" not in err
    assert not path.exists()


def test_a_folder_as_output_is_refused(statistics: Deme, tmp_path: Path) -> None:
    code, _, err = statistics("digits", "--kind", "fisher", "--data", "digits", "-o", str(tmp_path))
    assert code == 2
    assert "is a folder. Fix: give a file: -o statistics.safetensors" in " ".join(err.split())
