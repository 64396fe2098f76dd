"""The model card beside the merged pipeline: ``merged/README.md`` in the hub's conventions.

The merged folder's bytes depend on nothing but what decides the result, so the card holds no date,
no time, no version and no absolute path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..analysis import SearchRecord
from ..errors import StorageError
from ..files import atomic_path
from .evidence import MERGED, Evidence, metric_title
from .markdown import results_markdown
from .run_folder import RunFolder
from .search_text import SearchWords
from .verdict import verdict

TAGS = ["diffusion", "unconditional-image-generation", "deme", "decouple-then-merge", "merge"]
TASK = {"type": "unconditional-image-generation", "name": "Unconditional Image Generation"}

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
ABSOLUTE_PATH = re.compile(
    r"""(?<![\w.:/~-])                # not inside a word, a relative path or a web address
        (?:~?/|[A-Za-z]:[/\\])       # the root, a home folder or a drive
        (?:[^\s/\\'",;|]+[/\\])*    # folders
        ([^\s/\\'",;|]+)[/\\]?      # the last part, which is kept""",
    re.VERBOSE,
)

CITATION = """\
@inproceedings{ma2025decouple,
  title     = {Decouple-Then-Merge: Finetune Diffusion Models as Multi-Task Learning},
  author    = {Ma, Qianli and Ning, Xuefei and Liu, Dongrui and Niu, Li and Zhang, Linfeng},
  booktitle = {CVPR},
  year      = {2025},
  note      = {arXiv:2410.06664}
}"""


def write_model_card(run_folder: Path) -> Path:
    """Writes ``merged/README.md``; a run that has not been evaluated gets a card with no results.

    Returns:
        The card's path.

    Raises:
        StorageError: there is nothing merged yet, or a file is damaged or cannot be written.
    """
    run = RunFolder(run_folder)
    if not (run_folder / "merged").is_dir():
        raise StorageError(
            f"{run_folder} has no merged/ folder to describe", fix="run `deme merge` first"
        )
    front = yaml.safe_dump(_front_matter(run), sort_keys=False, allow_unicode=True)
    target = run_folder / "merged" / "README.md"
    with atomic_path(target) as partial:
        partial.write_text(without_paths(f"---\n{front}---\n\n{_body(run)}"), "utf-8")
    return target


def without_paths(text: str) -> str:
    """Replaces every absolute path in a text by its last part."""
    return ABSOLUTE_PATH.sub(r"\1", text)


def _front_matter(run: RunFolder) -> dict[str, Any]:
    front: dict[str, Any] = {"library_name": "diffusers", "tags": TAGS}
    if base := _base_model(run):
        front["base_model"] = [base]
        front["base_model_relation"] = "merge"
    if _is_hub_id(_dataset(run)):
        front["datasets"] = [_dataset(run)]
    if run.evidence is not None and MERGED in run.evidence.arms:
        front["model-index"] = [_model_index(run, run.evidence)]
    return front


def _model_index(run: RunFolder, evidence: Evidence) -> dict[str, Any]:
    """The hub's own form of results: the mean of each metric, its protocol in the name."""
    arm = evidence.arms[MERGED]
    seeds = f"mean of {len(evidence.seeds)} seeds, {evidence.images} images each"
    metrics = [
        {
            "type": metric,
            "name": f"{metric_title(metric)} ({detector} features; {seeds})",
            "value": number.mean,
        }
        for detector in evidence.detectors
        for metric in evidence.metrics
        if (number := arm.number(detector, metric)) is not None
    ]
    dataset = _dataset(run) or "unknown"
    name = dataset.rstrip("/").rsplit("/", 1)[-1]
    where = {"name": name, "type": dataset if _is_hub_id(dataset) else name}
    return {"name": run.name, "results": [{"task": TASK, "dataset": where, "metrics": metrics}]}


def _body(run: RunFolder) -> str:
    base = _base_model(run) or "a pretrained pipeline"
    parts = [
        f"# {run.name}",
        f"`{base}`, improved by decouple-then-merge: one expert was finetuned for each range of "
        "timesteps, and the experts' weight differences were added back onto the pretrained "
        "weights. Architecture, parameter count and speed are the pretrained model's.",
        "The licence is inherited from the base model.",
        "## How to load",
        "```python\nfrom diffusers import DiffusionPipeline\n\n"
        'pipeline = DiffusionPipeline.from_pretrained("path/to/this/folder")\n'
        "images = pipeline().images\n```",
        "## Results",
        _results(run),
        *(["## Search", _search(run)] if run.search is not None else []),
        "## Recipe",
        _recipe(run),
        "## Citation",
        f"```bibtex\n{CITATION}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _results(run: RunFolder) -> str:
    if run.evidence is None or run.metrics is None:
        return "This merge has not been evaluated."
    seeds = len(run.evidence.seeds)
    over = f"Mean ± deviation over {seeds} noise seeds" if seeds > 1 else "One noise seed"
    reading = (
        f"{over}; in brackets merged "
        "minus that arm, paired over the seeds. The floor is what real images score against real "
        "images."
    )
    table = results_markdown(run.metrics).rstrip()
    notes = "\n".join(f"- {note}" for note in run.evidence.notes)
    protocol = f"Protocol: {run.evidence.protocol}"
    shown = [verdict(run.evidence).text, table, reading, protocol, notes]
    return "\n\n".join(filter(None, shown))


def _search(run: RunFolder) -> str:
    words = SearchWords(SearchRecord.from_mapping(run.search or {}))
    return " ".join(filter(None, [words.searched(), words.optimism(), words.against_pretrained()]))


def _recipe(run: RunFolder) -> str:
    if run.recipe is None:
        return "The recipe was not kept."
    text = yaml.safe_dump(dict(run.recipe), sort_keys=False, allow_unicode=True)
    return f"```yaml\n{text}```"


def _base_model(run: RunFolder) -> str:
    """The base as the recipe names it, or else the specification; no folders of this machine."""
    name = (run.recipe or {}).get("base_model") or _part(run.spec, "model", "path")
    text = str(name or "").rstrip("/")
    return text if _is_hub_id(text) else text.rsplit("/", 1)[-1]


def _dataset(run: RunFolder) -> str:
    return str(_part(run.spec, "data", "dataset") or "")


def _is_hub_id(text: str) -> bool:
    """Whether a name means a hub's repository; a folder of that name comes first, as on loading."""
    return HUB_ID.fullmatch(text) is not None and not Path(text).is_dir()


def _part(spec: Mapping[str, Any] | None, key: str, inner: str) -> Any:
    """``spec[key]``, or ``spec[key][inner]`` where that is a mapping."""
    value = (spec or {}).get(key)
    return value.get(inner) if isinstance(value, Mapping) else value
