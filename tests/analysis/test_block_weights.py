import math

import pytest
from matplotlib.figure import Figure

from deme.analysis import block_weights, draw_block_weights
from deme.analysis.block_weights import REST
from deme.errors import ConfigError, DataError


def test_short_forms_and_rules_give_the_same_matrix() -> None:
    short = block_weights(["a"], ["down_blocks.0=0.5,mid_block=-0.25,0.3"])
    rules = [
        {"block": "down_blocks.0", "value": 0.5},
        {"block": "mid_block", "value": -0.25},
        {"value": 0.3},
    ]
    assert short == block_weights(["a"], [rules])
    assert short.blocks == ("down_blocks.0", "mid_block", REST)
    assert short.weights == ((0.5,), (-0.25,), (0.3,))


def test_one_number_counts_in_every_block_and_a_gap_stays_a_gap() -> None:
    data = block_weights(["a", "b", "c"], ["down=0.5,0.1", 0.7, "mid_block=0.2"])
    rows = dict(zip(data.blocks, data.weights, strict=True))
    assert rows["down"][:2] == (0.5, 0.7)
    assert math.isnan(rows["down"][2])
    assert rows[REST][:2] == (0.1, 0.7)


def test_neighbours_of_equal_weights_are_one_row() -> None:
    data = block_weights(["a", "b"], ["x.0=1,x.1=1,x.2=2", "x.0=3,x.1=3,x.2=3"])
    assert data.blocks == ("x.0 … x.1", "x.2")
    assert data.weights == ((1.0, 3.0), (2.0, 3.0))


def test_a_weight_along_the_depth_is_no_one_number() -> None:
    data = block_weights(["a"], ["down=0:1,0.5"])
    assert math.isnan(data.weights[0][0])
    assert math.isnan(block_weights(["a"], [[0, 0.5, 1]]).weights[0][0])


def test_every_weight_is_written_on_its_tile() -> None:
    axes = Figure().subplots()
    draw_block_weights(axes, block_weights(["a", "b"], ["down=0.5,0.1", "mid_block=-0.25"]))
    assert [text.get_text() for text in axes.texts] == ["+0.50", "–", "–", "−0.25", "+0.10", "–"]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="1 merging weights do not fit 2 experts"):
        block_weights(["a", "b"], [0.5])
    with pytest.raises(ConfigError, match="not a setting"):
        block_weights(["a"], ["down=x"])
