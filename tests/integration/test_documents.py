"""What the documents say is run, and what they list is what is there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml

from deme.config import parse_config
from deme.merge import MergeRecipe
from deme.merge.bound_method import BoundMethod
from deme.runs import list_recipes, load_spec
from deme.runs.template import commented_template

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def python_blocks() -> list[tuple[str, str]]:
    return [
        (f"{document.name}:{number}", block)
        for document in DOCUMENTS
        for number, block in enumerate(
            re.findall(r"^```python\n(.*?)^```", document.read_text("utf-8"), re.DOTALL | re.M)
        )
    ]


@pytest.mark.parametrize(("name", "block"), python_blocks(), ids=lambda value: value[:20])
def test_python_in_the_documents_runs(
    name: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / f"{name.split(':')[0]}.py"
    script.write_text(block)
    runpy.run_path(str(script))


def test_the_configuration_page_is_what_the_code_says() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert commented_template() in page, "run: python -m deme.runs.template > docs/configuration.md"


@pytest.mark.parametrize("name", sorted(list_recipes()))
def test_every_recipe_is_valid_and_says_what_it_reproduces(name: str) -> None:
    load_spec(name)
    assert list_recipes()[name].endswith((".", ")")) or ":" in list_recipes()[name]


def test_every_command_in_the_documents_exists() -> None:
    from typer.main import get_command

    import deme.cli.verbs  # noqa: F401
    from deme.cli import app

    verbs = get_command(app).commands  # type: ignore[attr-defined]
    for document in DOCUMENTS:
        for verb, words in re.findall(r"^    deme ([a-z]+)(.*)", document.read_text("utf-8"), re.M):
            assert verb in verbs, f"{document.name}: deme {verb}"
            known = {name for item in verbs[verb].params for name in item.opts}
            for option in re.findall(r"(?<![\w-])-{1,2}[a-z][a-z-]*", words.partition(" #")[0]):
                assert option in known, f"{document.name}: deme {verb} {option}"


def test_recipes_of_merges_in_the_documents_are_valid() -> None:
    text = (ROOT / "docs" / "merging.md").read_text("utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.M)
    assert blocks
    for block in blocks:
        BoundMethod.of(parse_config(MergeRecipe, yaml.safe_load(block)))


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
