"""Which of the base's components an expert's components are."""

from __future__ import annotations

from pathlib import Path

from ...denoisers.contract import PROJECTIONS
from ...errors import DemeError, MismatchError, ModelError
from .aligning import align_weights
from .contract import ModelSource, Source, WeightSource
from .names import match_names
from .single_file import REST, is_original
from .views import View, is_part

IGNORED = ("safety_checker",)
"""What takes no part in generation: an expert may have it where the base does not."""


def match_expert(expert: ModelSource, base: ModelSource) -> ModelSource:
    """The expert with its components under the base's names.

    A pipeline's components are matched by name; one file or one component's folder by what is in
    it, unless it is called like one of the base's components.

    Args:
        expert: as it was opened.
        base: the model that it was finetuned from.

    Raises:
        MismatchError: another architecture, a component that the base lacks, or one file that
            could be several of its components.

    """
    names = [name for source in expert.components.values() for name in source.layout]
    original = expert.form == "file" and is_original(names)
    named = original or expert.form == "pipeline" or len(expert.components) > 1
    components: dict[str, Source] = {}
    lacking: list[str] = []
    for name, source in expert.components.items():
        if not isinstance(source, WeightSource) or name == REST:
            continue
        if name == PROJECTIONS:
            components[name] = _projections(source, base)
        elif not named or expert.form == "component":
            view = _called(expert, base) or _place(source, name, base)
            components[view.component] = view.weights(source)
        elif name in base.components:
            components[name] = View(base, name).weights(source)
        elif name not in IGNORED and not is_part(base):
            lacking.append(name)
    if lacking or not components:
        raise _mismatch(expert, base, lacking)
    return ModelSource(expert.origin, dict(sorted(components.items())), expert.folder, expert.form)


def _mismatch(expert: ModelSource, base: ModelSource, lacking: list[str]) -> MismatchError:
    what = (
        f"{expert.origin} has {', '.join(lacking)}, which {base.origin} has not"
        if lacking
        else f"{expert.origin} ({', '.join(expert.components)}) has none of {base.origin}'s "
        "components"
    )
    return MismatchError(
        what,
        choices=base.components,
        fix="give an expert that was finetuned from this very base",
    )


def _projections(source: WeightSource, base: ModelSource) -> WeightSource:
    own = base.components.get(PROJECTIONS)
    return align_weights(source, own) if isinstance(own, WeightSource) else source


def _called(expert: ModelSource, base: ModelSource) -> View | None:
    """The base's component that the user named the expert's file or folder after."""
    path = Path(expert.origin)
    return next((View(base, n) for n in base.components if n in (path.name, path.stem)), None)


def _place(source: WeightSource, name: str, base: ModelSource) -> View:
    """The base's component that these weights fit."""
    views = [
        View(base, component)
        for component, own in base.components.items()
        if isinstance(own, WeightSource) and component not in (PROJECTIONS, REST)
    ]
    # the likeliest first: its mismatch is the one to be told
    views.sort(key=lambda view: (view.component != name, -_shared(source, view)))
    fitting: list[View] = []
    problem: DemeError | None = None
    for view in views:
        try:
            view.weights(source)
            fitting.append(view)
        except (MismatchError, ModelError) as error:
            problem = problem or error
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise problem or MismatchError(f"{base.origin} has no weights to merge with")
    names = [view.component for view in fitting]
    raise MismatchError(
        f"{source.origin} fits several of {base.origin}'s components",
        choices=names,
        fix=f"put it into a folder that says which, such as {names[0]}/",
    )


def _shared(source: WeightSource, view: View) -> int:
    return len(match_names(view.own.layout, source.layout))
