"""Configuration of the search for merging weights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from ..generate import SamplerConfig

StrategyName = Literal[
    "surface",
    "grid",
    "random",
    "sobol",
    "coordinate",
    "tpe",
    "gp",
    "cmaes",
    "nsga2",
    "evolution",
    "gradient",
]
ObjectiveName = Literal["frechet", "kid", "cmmd", "clip_score", "reward", "loss"]
Freedom = Literal["expert", "scale", "block"]


class SearchConfig(SamplerConfig):
    """How merging weights are found."""

    strategy: StrategyName = "surface"
    """surface: fits the moments of the features over the weights, a few dozen evaluations. grid:
    the paper's, coarse steps and then finer ones. coordinate: golden sections. random, sobol, tpe,
    gp, cmaes, nsga2, evolution: generic optimisers. gradient: the denoising loss through the merged
    weights, without sampling."""
    evaluations: int | None = Field(default=None, ge=1)
    """Evaluations beside the anchors (zero, each expert alone, 1/N, ones). None: the strategy's
    own number; a grid's follows from its levels. With `per: block`, those of the blocks alone."""
    objective: ObjectiveName | dict[ObjectiveName, float] = "frechet"
    """What is minimised: the Fréchet distance of the detector's features, kid, cmmd, loss (the
    denoising loss on held-out images), reward, clip_score; or several with their coefficients."""
    pareto: tuple[ObjectiveName, ...] = ()
    """Objectives minimised side by side, by nsga2 or tpe; the first one chooses what is merged."""
    reward: str | None = None
    """A function `module:name` from uint8 images (B, C, H, W) to rewards (B,); higher is better."""
    images: int = Field(default=5000, ge=2)
    """Images for each candidate, all candidates from the same noise."""
    promotions: tuple[int, ...] = ()
    """Image counts of successive halving, such as [500, 2000]: only the better half of a round's
    candidates is drawn further, up to `images` for the last. Empty: every candidate in full."""
    bounds: tuple[float, float] = (0.0, 1.0)
    """Smallest and largest weight of an expert; weights may be negative or above 1."""
    per: Freedom = "expert"
    """expert: a weight for each. scale: one common weight. block: first a weight for each expert,
    then for each block of the network and expert, from there outwards."""
    merge_method: str = "task_arithmetic"
    """See `deme merge --methods`."""
    parameters: dict[str, float | tuple[float, float]] = Field(default_factory=dict)
    """The method's own: a number is fixed, [low, high] is searched, such as {density: [0.1, 1]}."""
    snapshots: bool = False
    """Search with each expert's weight how long it was trained and how widely its weights were
    averaged; needs decouple.snapshots of at least 3."""
    levels: int = Field(default=3, ge=2)
    """grid: points along each weight in the coarse grid."""
    refinements: int = Field(default=2, ge=0)
    """grid: finer grids around the best."""
    finer_step: float | None = Field(default=None, gt=0)
    """grid: step of the finer grids. None: half the step before."""
    batch: int = Field(default=2, ge=1)
    """Candidates that a strategy asks for at once, and so the workers that it can occupy."""
    seed: int = 1_000
    """Seed of the search's noise; the evaluation's seeds must be others."""
    fresh_seed: int = 1_500
    """Noise on which the winner is scored anew; the difference is the search's optimism."""

    @field_validator("bounds")
    @classmethod
    def _increasing(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] >= bounds[1]:
            raise ValueError("bounds must be [low, high] with low < high")
        return bounds

    @field_validator("parameters")
    @classmethod
    def _ranges_increase(
        cls, parameters: dict[str, float | tuple[float, float]]
    ) -> dict[str, float | tuple[float, float]]:
        for name, given in parameters.items():
            if isinstance(given, tuple) and given[0] >= given[1]:
                raise ValueError(f"parameters.{name} must be a number or [low, high], low < high")
        return parameters

    @model_validator(mode="after")
    def _fits_together(self) -> SearchConfig:
        if self.fresh_seed == self.seed:
            raise ValueError("fresh_seed must differ from seed: it judges what seed has chosen")
        if self.pareto and self.strategy not in ("nsga2", "tpe"):
            raise ValueError(f"pareto is of nsga2 and tpe; {self.strategy} minimises one objective")
        if self.strategy == "gradient" and (
            self.per != "expert" or self.parameters or self.snapshots
        ):
            raise ValueError(
                "gradient knows one weight for each expert: leave per, parameters and snapshots out"
            )
        if self.strategy == "gradient" and self.merge_method != "task_arithmetic":
            raise ValueError("gradient knows task_arithmetic alone")
        if self.reward is None and "reward" in self.objective_names():
            raise ValueError("objective reward needs reward: module:function")
        if list(self.promotions) != sorted({*self.promotions}) or any(
            not 2 <= count < self.images for count in self.promotions
        ):
            raise ValueError("promotions must increase, from 2 images to fewer than images")
        return self

    def objective_names(self) -> tuple[ObjectiveName, ...]:
        """Every objective that is computed for a candidate."""
        if self.pareto:
            return self.pareto
        return (self.objective,) if isinstance(self.objective, str) else tuple(self.objective)
