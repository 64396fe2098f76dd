import json
import os
from pathlib import Path

import pytest

from deme.errors import ConfigError, DataError, StorageError
from deme.metrics import protocol_named, read_prompts
from deme.metrics.named_protocols import PromptSource

THREE = PromptSource(None, "caption", "captions", 3)
TEXTS = ["a cat", 'a "red" dog, sitting', "zwölf Äpfel"]


def test_every_format_gives_the_same_prompts(tmp_path: Path) -> None:
    quoted = '"' + TEXTS[1].replace('"', '""') + '"'
    files = {
        "lines.txt": "\n".join([*TEXTS, ""]),
        "table.tsv": "id\tcaption\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(TEXTS)),
        "table.csv": f"caption,id\n{TEXTS[0]},0\n{quoted},1\n{TEXTS[2]},2\n",
        "list.json": json.dumps(TEXTS),
        "rows.json": json.dumps([{"caption": text} for text in TEXTS]),
        "coco.json": json.dumps({"annotations": [{"id": 1, "caption": text} for text in TEXTS]}),
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content, "utf-8")
        assert read_prompts(THREE, tmp_path / name) == TEXTS, name


def test_of_more_prompts_a_seeded_choice_keeps_their_order(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    many = [f"prompt {number:03d}" for number in range(200)]
    path.write_text("\n".join(many))
    chosen = read_prompts(THREE, path)
    assert chosen == read_prompts(THREE, path) == sorted(chosen)
    assert len(set(chosen)) == 3 and set(chosen) < set(many)
    assert read_prompts(THREE, path, seed=1) != chosen


def test_what_gives_no_prompts_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "table.tsv"
    table.write_text("Prompt\na\nb\nc\n")
    with pytest.raises(DataError, match=r"no column 'caption'.*Choices: Prompt"):
        read_prompts(THREE, table)
    (tmp_path / "two.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match="has 2 prompts and the protocol 3"):
        read_prompts(THREE, tmp_path / "two.txt")
    with pytest.raises(ConfigError, match="on no hub"):
        read_prompts(THREE)
    with pytest.raises(ConfigError, match=r"no file of prompts"):
        read_prompts(THREE, tmp_path / "prompts.parquet")
    with pytest.raises(StorageError, match="Cannot read"):
        read_prompts(THREE, tmp_path / "absent.txt")
    (tmp_path / "bare.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match="neither a list nor COCO"):
        read_prompts(THREE, tmp_path / "bare.json")


@pytest.fixture
def prompt_files() -> Path:
    default = Path(__file__).parents[2] / "../shared/data"
    folder = Path(os.environ.get("DEME_TEST_DATA", default)) / "prompts"
    if not folder.is_dir():
        pytest.skip(f"there are no prompts at {folder} (set DEME_TEST_DATA)")
    return folder


@pytest.mark.data
@pytest.mark.parametrize(
    ("protocol", "file", "some"),
    [
        ("partiprompts", "PartiPrompts.tsv", "element"),
        ("imagenet-2x1000", "imagenet-simple-labels.json", "great white shark"),
    ],
)
def test_the_published_files_have_as_many_prompts_as_the_protocol(
    prompt_files: Path, protocol: str, file: str, some: str
) -> None:
    source = protocol_named(protocol).prompts
    assert source is not None
    prompts = read_prompts(source, prompt_files / file)
    assert len(prompts) == source.count
    assert some in prompts
