import math

import pytest
from matplotlib.figure import Figure

from deme.analysis import draw_validation_matrix, validation_matrix
from deme.errors import DataError

RECORD = {
    "ranges": [[0, 500], [500, 1000]],
    "models": {
        "pretrained": [0.2, 0.05],
        "t0000-0500": [0.19, 0.06],
        "joint": [0.2, 0.05],
        "merged": [0.198, 0.05],
    },
}


def test_changes_are_percent_of_the_pretrained_loss() -> None:
    matrix = validation_matrix(RECORD)
    assert matrix.models == ("t0000-0500", "joint", "merged")
    assert matrix.change[0] == pytest.approx((-5.0, 20.0))
    assert matrix.change[1] == pytest.approx((0.0, 0.0))
    assert matrix.baseline == (0.2, 0.05)


def test_the_range_an_expert_owns_is_found_and_others_own_none() -> None:
    own = {"t0000-0500": (0, 500), "joint": (0, 1000)}
    assert validation_matrix(RECORD, own).own == (0, None, None)


def test_a_baseline_of_zero_gives_no_number_and_is_drawn() -> None:
    record = {"ranges": [[0, 10]], "models": {"pretrained": [0.0], "merged": [0.1]}}
    matrix = validation_matrix(record)
    assert math.isnan(matrix.change[0][0])
    axes = Figure().subplots()
    draw_validation_matrix(axes, matrix)
    assert [text.get_text() for text in axes.texts] == ["–"]


def test_a_record_without_the_pretrained_model_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="'pretrained'"):
        validation_matrix({"ranges": [[0, 10]], "models": {"merged": [1.0]}})


def test_a_row_of_another_length_is_refused_by_name() -> None:
    models = {"pretrained": [1.0, 2.0], "merged": [1.0]}
    with pytest.raises(DataError, match="merged"):
        validation_matrix({"ranges": [[0, 5], [5, 10]], "models": models})


def test_every_number_is_drawn_and_the_own_range_framed() -> None:
    axes = Figure().subplots()
    draw_validation_matrix(axes, validation_matrix(RECORD, {"t0000-0500": (0, 500)}))
    assert [text.get_text() for text in axes.texts][:2] == ["−5.00", "+20.0"]
    assert len(axes.texts) == 6
    assert len(axes.patches) == 6 + 1
