"""The configuration of a comparison, and how it is read."""

from pathlib import Path

import pytest

from deme.compare import list_comparisons, load_comparison
from deme.compare.comparison import levels
from deme.errors import ConfigError

SMALL = """
run: {recipe: digits, decouple: {steps: 5}}
trials: {learning_rates: [1.0e-3]}
reference: deme
arms:
  pretrained: {kind: pretrained}
  deme: {kind: merged}
"""


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_the_run_is_a_recipe_with_what_overrides_it(tmp_path: Path) -> None:
    spec = load_comparison(written(tmp_path, SMALL), ["run.decouple.batch_size=8", "seeds=[3, 4]"])
    assert spec.run.decouple.steps == 5 and spec.run.decouple.batch_size == 8
    assert spec.run.decouple.lr_scheduler == "cosine"  # the recipe's own
    assert spec.run.name == spec.name == "mine" and spec.seeds == (3, 4)


def test_a_name_that_overrides_the_files_names_the_folder(tmp_path: Path) -> None:
    spec = load_comparison(written(tmp_path, SMALL), ["name=other"])
    assert spec.run.name == spec.name == "other"


def test_a_single_folder_is_told_what_several_are_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two folders or more"):
        load_comparison(str(tmp_path))


def test_arms_do_not_name_the_folder_so_that_another_arm_finds_those_that_are_there(
    tmp_path: Path,
) -> None:
    one = load_comparison(written(tmp_path, SMALL))
    other = load_comparison(written(tmp_path, SMALL + "  plain: {kind: finetune}\n"))
    assert one.run.digest() == other.run.digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("reference: deme", "reference: demi"), "reference names no arm: demi"),
        (("kind: merged", "kind: merge"), "merged"),
        (("learning_rates: [1.0e-3]", "learning_rates: [1.0e-3, 1.0e-3]"), "different"),
        (("recipe: digits", "recipe: digit"), "digits"),
        (("trials:", "seeds: [0, 0]\ntrials:"), "all different"),
        (("pretrained: {", "real: {"), "cannot be an arm's name"),
        (("pretrained: {", "../pretrained: {"), "cannot be an arm's name"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_comparison(written(tmp_path, SMALL.replace(*change)))


def test_every_shipped_comparison_is_valid() -> None:
    assert "digits" in list_comparisons()
    for name in list_comparisons():
        spec = load_comparison(name)
        assert sum(map(len, levels(dict(spec.arms)))) == len(spec.arms)
