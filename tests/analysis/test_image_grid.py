import numpy as np
import pytest
from matplotlib.figure import Figure

from deme.analysis import draw_image_grid, image_grid
from deme.errors import DataError

draws = np.random.default_rng(0)


def images(*shape: int) -> np.ndarray:
    return draws.integers(0, 256, shape, dtype=np.uint8)


def test_small_images_are_enlarged_by_a_whole_factor_without_inventing_pixels() -> None:
    source = images(1, 1, 8, 8)
    grid = image_grid(source, smallest=30)
    assert grid.shape == (32, 32, 4)
    assert np.array_equal(grid[::4, ::4, 0], source[0, 0])
    assert np.array_equal(grid[3::4, 3::4, 0], source[0, 0])


def test_large_images_keep_their_pixels_and_colours() -> None:
    source = images(1, 3, 40, 48)
    grid = image_grid(source)
    assert np.array_equal(grid[..., :3], source[0].transpose(1, 2, 0))
    assert (grid[..., 3] == 255).all()


def test_grey_images_have_three_equal_channels() -> None:
    grid = image_grid(images(1, 1, 32, 32))
    assert np.array_equal(grid[..., 0], grid[..., 1])
    assert np.array_equal(grid[..., 0], grid[..., 2])


def test_images_are_laid_out_row_by_row_with_transparent_gaps() -> None:
    source = images(5, 3, 32, 32)
    grid = image_grid(source, columns=3)
    assert grid.shape == (2 * 34 - 2, 3 * 34 - 2, 4)
    fourth = grid[34:66, 0:32, :3]
    assert np.array_equal(fourth, source[3].transpose(1, 2, 0))
    opaque = int((grid[..., 3] == 255).sum())
    assert opaque == 5 * 32 * 32
    assert (grid[34:66, 68:100, 3] == 0).all()  # the sixth place is empty


def test_without_columns_the_grid_is_as_square_as_can_be() -> None:
    assert image_grid(images(9, 1, 32, 32)).shape[:2] == (3 * 34 - 2, 3 * 34 - 2)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 1, 8, 8), np.float32),
        np.zeros((0, 1, 8, 8), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((2, 4, 8, 8), np.uint8),
    ],
)
def test_what_is_no_stack_of_images_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(DataError):
        image_grid(wrong)


def test_a_grid_is_drawn_pixel_by_pixel() -> None:
    axes = Figure().subplots()
    grid = image_grid(images(4, 1, 8, 8))
    draw_image_grid(axes, grid)
    assert np.array_equal(np.asarray(axes.images[0].get_array()), grid)
