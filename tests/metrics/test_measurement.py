import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError, DataError, ProtocolError
from deme.metrics import (
    METRICS,
    FeatureStatistics,
    FrechetReference,
    MetricInputs,
    MetricSettings,
    MetricValue,
    Protocol,
    cmmd,
    compute_metrics,
    density_coverage,
    frechet_distance,
    kernel_distance,
    measure,
    metric_named,
    precision_recall,
    register_metric,
)

PROTOCOL = Protocol("digits", "a" * 64, reference_digest="b" * 64, sampler="ddim", sampler_steps=20)
ALL = ["recall", "frechet", "kid", "precision", "coverage", "density", "cmmd"]


def random_features(count: int, seed: int, shift: float = 0.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, generator=draw) + shift


REAL, GENERATED = random_features(60, 1), random_features(40, 2, 0.5)


def test_every_metric_is_the_function_of_its_name() -> None:
    settings = MetricSettings(
        subsets=3, subset_size=20, subset_seed=7, neighbours=2, density_neighbours=4
    )
    found = compute_metrics(ALL, REAL, GENERATED, settings=settings)
    coverage = precision_recall(REAL, GENERATED, 2)
    statistics = [FeatureStatistics.from_features(x, PROTOCOL) for x in (REAL, GENERATED)]
    assert list(found) == ALL
    assert found == {
        "frechet": pytest.approx(frechet_distance(*statistics), rel=1e-9),
        "kid": kernel_distance(REAL, GENERATED, subsets=3, subset_size=20, seed=7),
        "precision": coverage.precision,
        "recall": coverage.recall,
        "density": density_coverage(REAL, GENERATED, 4).density,
        "coverage": density_coverage(REAL, GENERATED, 4).coverage,
        "cmmd": cmmd(REAL, GENERATED),
    }


def test_sfid_is_the_frechet_distance_of_the_spatial_table() -> None:
    real = {"features": REAL, "spatial": REAL[:, :2]}
    generated = {"features": GENERATED, "spatial": GENERATED[:, :2]}
    found = compute_metrics(["sfid", "frechet"], real, generated)
    assert found["sfid"] == compute_metrics(["frechet"], REAL[:, :2], GENERATED[:, :2])["frechet"]
    assert found["frechet"] == compute_metrics(["frechet"], REAL, GENERATED)["frechet"]
    kept = FrechetReference(FeatureStatistics.from_features(REAL[:30]))
    beside = measure(["sfid"], real, generated, reference=kept, allow_unknown=True)
    assert beside["sfid"].value == found["sfid"]  # the kept one is of other features


def test_tables_are_of_the_same_images() -> None:
    with pytest.raises(DataError, match="not of the same images"):
        measure(["sfid"], {"spatial": REAL}, {"spatial": GENERATED, "features": GENERATED[:5]})


def test_fid_is_another_name_of_the_frechet_distance() -> None:
    found = compute_metrics(["fid", "frechet"], REAL, GENERATED)
    assert found["fid"] == found["frechet"]
    assert measure(["fid"], REAL, GENERATED)["fid"].name == "frechet"


def test_an_unknown_name_lists_the_choices_and_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        compute_metrics(["frechett"], REAL, GENERATED)
    assert str(caught.value) == (
        "There is no metric 'frechett'. Did you mean 'frechet'? "
        "Choices: frechet, kid, precision, recall, density, coverage, inception_score, "
        "inception_score_unsplit, sfid, cmmd."
    )


def test_a_number_carries_its_protocol() -> None:
    value = measure(["precision"], REAL, GENERATED, protocol=PROTOCOL)["precision"]
    assert (value.protocol.reference_images, value.protocol.generated_images) == (60, 40)
    assert value.higher_is_better
    assert value.describe().startswith("precision ")
    assert "(higher is better) · detector digits (aaaaaaaaaaaa)" in value.describe()
    assert "40 generated images · 60 real images (bbbbbbbbbbbb) · ddim 20 steps" in value.describe()


def test_numbers_are_compared_under_one_protocol_alone() -> None:
    low, high = (MetricValue("kid", number, False, PROTOCOL) for number in (0.1, 0.2))
    assert low.better_than(high) and not high.better_than(low) and not low.better_than(low)
    upward = [MetricValue("recall", number, True, PROTOCOL) for number in (0.1, 0.2)]
    assert upward[1].better_than(upward[0]) and not upward[0].better_than(upward[1])
    fewer = measure(["frechet"], REAL, GENERATED[:30], protocol=PROTOCOL)["frechet"]
    more = measure(["frechet"], REAL, GENERATED, protocol=PROTOCOL)["frechet"]
    with pytest.raises(ProtocolError, match="generated_images: 30 ≠ 40"):
        fewer.better_than(more)
    with pytest.raises(ConfigError, match="'kid' and 'recall'"):
        low.better_than(upward[0])
    three, five = (
        measure(["recall"], REAL, GENERATED, settings=MetricSettings(neighbours=k))["recall"]
        for k in (3, 5)
    )
    with pytest.raises(ProtocolError, match="k = 3 ≠ k = 5"):
        three.better_than(five)


@pytest.mark.parametrize(
    ("real", "generated", "expected"),
    [(60, 40, []), (60, 7, ["7 generated"]), (6, 40, ["6 real"]), (6, 7, ["7 gen", "6 real"])],
)
def test_too_few_images_are_noted(real: int, generated: int, expected: list[str]) -> None:
    found = measure(["frechet"], REAL[:real], GENERATED[:generated])
    assert len(found.notes) == len(expected)
    for note, start in zip(found.notes, expected, strict=True):
        assert note.startswith(f"frechet: {start}") and "2 × D = 8" in note


def test_kept_statistics_are_enough_for_the_frechet_distance() -> None:
    reference = FrechetReference(FeatureStatistics.from_features(REAL, PROTOCOL))
    own = Protocol("digits", "a" * 64)
    found = measure(["frechet"], None, GENERATED, protocol=own, reference=reference)["frechet"]
    assert found.value == pytest.approx(compute_metrics(["frechet"], REAL, GENERATED)["frechet"])
    assert found.protocol.reference_images == 60
    assert found.protocol.reference_digest == "b" * 64
    with pytest.raises(DataError, match="enough for 'frechet' alone"):
        measure(["kid"], None, GENERATED, protocol=own, reference=reference)
    with pytest.raises(DataError, match="nothing real"):
        measure(["frechet"], None, GENERATED)


def test_a_reference_of_another_or_unknown_protocol_is_refused() -> None:
    other = FrechetReference(FeatureStatistics.from_features(REAL, Protocol("x", "c" * 64)))
    with pytest.raises(ProtocolError, match="detector_digest"):
        measure(["frechet"], None, GENERATED, protocol=PROTOCOL, reference=other)
    bare = FrechetReference(FeatureStatistics.from_features(REAL))
    with pytest.raises(ProtocolError, match="allow_unknown"):
        measure(["frechet"], None, GENERATED, protocol=PROTOCOL, reference=bare)
    found = measure(
        *(["frechet"], None, GENERATED), protocol=PROTOCOL, reference=bare, allow_unknown=True
    )
    assert found["frechet"].value > 0


def test_a_metric_that_was_not_measured_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'kid' was not measured.*Choices: precision"):
        measure(["precision"], REAL, GENERATED)["kid"]


def test_registering_returns_the_function_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deme.metrics.table.METRICS", dict(METRICS))

    def generated_images(inputs: MetricInputs) -> float:
        return float(len(inputs.generated))

    register = register_metric("generated", higher_is_better=True, paper="none")
    assert register(generated_images) is generated_images
    assert metric_named("generated").compute is generated_images
    assert compute_metrics(["generated"], REAL, GENERATED) == {"generated": 40.0}
