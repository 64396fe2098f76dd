import pytest

from deme.config import parse_config
from deme.errors import ConfigError
from deme.merge.places import places_of
from deme.merge.settings import resolve_number
from deme.search import MergeSpace, SearchConfig
from deme.search.merge_space import block_groups
from deme.search.set_store import rounded

NAMES = [
    "conv_in.weight",
    "time_embedding.linear_1.weight",
    "down_blocks.0.resnets.0.conv1.weight",
    "down_blocks.1.attentions.0.to_q.weight",
    "mid_block.resnets.0.conv1.weight",
    "up_blocks.0.resnets.0.conv1.weight",
    "up_blocks.1.resnets.0.conv1.weight",
    "conv_norm_out.weight",
    "conv_out.weight",
]
PLACES = places_of("unet", NAMES)


def space(**options: object) -> MergeSpace:
    config = parse_config(SearchConfig, {"bounds": [-1, 2], **options})
    return MergeSpace.of(config, ["low", "high"], PLACES)


def test_each_expert_has_a_weight() -> None:
    found = space()
    assert [axis.name for axis in found.axes] == ["low", "high"]
    assert found.box.low == (-1.0, -1.0) and found.box.high == (2.0, 2.0)
    assert found.at((0.25, -0.5)).weights == (0.25, -0.5)


def test_one_scale_is_every_experts_weight() -> None:
    found = space(per="scale")
    assert [axis.name for axis in found.axes] == ["scale"]
    assert found.at((0.7,)).weights == (0.7, 0.7)
    assert list(found.anchors().values()) == [(0.0,), (0.5,), (1.0,)]


def test_every_tensor_of_every_block_gets_its_own_weight() -> None:
    found = space(per="block")
    candidate = tuple(float(i) for i in range(len(found.axes)))
    point = found.at(candidate)
    for expert, setting in enumerate(point.weights):
        weights = {name: resolve_number(setting, PLACES[name]) for name in NAMES}
        groups = {
            name: next(i for i, g in enumerate(found.groups) if _in(name, g)) for name in NAMES
        }
        for name in NAMES:
            assert weights[name] == candidate[groups[name] * 2 + expert]


def _in(name: str, group: tuple[str, ...]) -> bool:
    place = PLACES[name]
    return place.section in group or place.block in group


def test_blocks_are_in_the_order_of_the_forward_pass_between_input_and_output() -> None:
    groups = block_groups(PLACES)
    assert groups[0] == ("input",) and groups[-1] == ("output",)
    assert [group[0] for group in groups[1:-1]] == [
        "down_blocks.0",
        "down_blocks.1",
        "mid_block",
        "up_blocks.0",
        "up_blocks.1",
    ]


def test_a_deep_network_has_eight_groups_of_neighbours() -> None:
    names = [f"transformer_blocks.{i}.attn.to_q.weight" for i in range(28)]
    groups = block_groups(places_of("transformer", [*names, "proj_out.weight"]))
    assert len(groups) == 8
    every = [name for group in groups for name in group]
    assert every[:3] == [f"transformer_blocks.{i}" for i in range(3)]
    assert len(every) == len({*every}) == 29


def test_a_candidate_of_whole_experts_is_one_of_blocks_too() -> None:
    found = space(per="block")
    lifted = found.lifted((0.3, -0.2))
    assert lifted == found.of_experts((0.3, -0.2))
    for expert, setting in enumerate(found.at(lifted).weights):
        weights = {resolve_number(setting, PLACES[name]) for name in NAMES}
        assert weights == {(0.3, -0.2)[expert]}


def test_parameters_are_searched_or_fixed() -> None:
    found = space(merge_method="ties", parameters={"density": [0.1, 0.9], "lambda_": 1.5})
    assert [axis.name for axis in found.axes] == ["low", "high", "density"]
    assert found.units == (1.0, 1.0, pytest.approx(0.8))
    point = found.at((1.0, 0.0, 0.4))
    assert point.weights == (1.0, 0.0) and point.parameters == {"lambda_": 1.5, "density": 0.4}
    assert found.anchors()["pretrained"] == (0.0, 0.0, 0.5)


def test_the_anchors_are_zero_each_expert_alone_the_mean_and_the_sum() -> None:
    assert space().anchors() == {
        "pretrained": (0.0, 0.0),
        "low": (1.0, 0.0),
        "high": (0.0, 1.0),
        "uniform": (0.5, 0.5),
        "sum": (1.0, 1.0),
    }
    alone = MergeSpace(("only",), (0.0, 1.0))
    assert list(alone.anchors().values()) == [(0.0,), (1.0,)]


@pytest.mark.parametrize("wrong", [(), (1.0,), (1.0, 2.0, 3.0)])
def test_a_wrong_number_of_values_is_refused(wrong: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="axes"):
        space().at(wrong)


def test_no_expert_is_no_space() -> None:
    with pytest.raises(ConfigError, match="at least one expert"):
        MergeSpace.of(SearchConfig(), [], PLACES)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fresh_seed": 1000}, "fresh_seed must differ"),
        ({"pareto": ["frechet", "kid"]}, "pareto is of nsga2 and tpe"),
        ({"objective": "reward"}, "reward: module:function"),
        ({"promotions": [500, 200]}, "promotions must increase"),
        ({"promotions": [5000]}, "promotions must increase"),
        ({"parameters": {"density": [0.9, 0.1]}}, "low < high"),
        ({"bounds": [1, 0]}, "low < high"),
        ({"strategy": "gradient", "snapshots": True}, "gradient knows one weight"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(SearchConfig, wrong)


def test_snapshots_have_a_step_and_a_width_for_each_expert() -> None:
    config = parse_config(SearchConfig, {"bounds": [-1, 2], "snapshots": True})
    found = MergeSpace.of(config, ["low", "high"], PLACES, (250.0, 1000.0))
    names = ["low", "high", "low step", "low width", "high step", "high width"]
    assert [axis.name for axis in found.axes] == names
    point = found.at((1.0, 0.5, 300.0, 0.05, 900.0, 0.2))
    assert point.weights == (1.0, 0.5)
    assert point.snapshots == ((300.0, 0.05), (900.0, 0.2))
    assert found.anchors()["uniform"] == (0.5, 0.5, 1000.0, 0.1, 1000.0, 0.1)
    assert space().at((1.0, 0.5)).snapshots == ()


def test_blocks_and_snapshots_are_searched_together() -> None:
    config = parse_config(SearchConfig, {"snapshots": True, "per": "block"})
    found = MergeSpace.of(config, ["low", "high"], PLACES, (250.0, 1000.0))
    coarse = found.coarse()
    assert len(coarse.axes) == 6
    for anchor in coarse.anchors().values():
        point = found.at(found.lifted(anchor))
        assert point.snapshots == coarse.at(anchor).snapshots
        assert found.lifted(anchor) in found.anchors().values()


def test_anchors_are_named_as_evaluations_are() -> None:
    """Bounds with more digits than candidates keep would hide the anchors from the result."""
    found = space(merge_method="ties", parameters={"density": [0.1, 1 / 3]})
    for anchor in found.anchors().values():
        assert anchor == rounded(anchor)


def test_an_expert_called_as_a_searched_parameter_is_refused() -> None:
    with pytest.raises(ConfigError, match="density is the name of an expert and of a parameter"):
        MergeSpace.of(
            parse_config(SearchConfig, {"parameters": {"density": [0.1, 0.9]}}),
            ["density", "high"],
            PLACES,
        )
