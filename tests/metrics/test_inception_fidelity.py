"""torch-fidelity's Inception: with drawn weights always, with the published ones where they are."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from deme.errors import MissingExtraError, ModelError, StorageError
from deme.files import hash_file
from deme.metrics import FeatureStatistics, frechet_distance, load_detector
from deme.metrics.fidelity import import_fidelity
from deme.metrics.inception_fidelity import WEIGHTS_URL
from metrics.torchvision_stand_in import torch_fidelity

LAYERS = ["2048", "logits_unbiased"]


@pytest.fixture(scope="module")
def library() -> Any:
    return torch_fidelity()


@pytest.fixture(scope="module")
def weights(library: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of drawn weights of which features keep their size from layer to layer."""

    class Drawn(library.FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            torch.manual_seed(0)
            for name, values in self.named_parameters():
                if name.endswith("conv.weight"):
                    torch.nn.init.kaiming_normal_(values)

    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save({}, path)
    with torch.random.fork_rng(devices=[]):
        drawn: Any = Drawn("drawn", LAYERS, feature_extractor_weights_path=str(path))
    torch.save(drawn.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PNG image and a JPEG image."""
    folder = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(0)
    for index in range(2):
        coarse = draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((40, 40), Image.Resampling.BICUBIC)
        picture.save(folder / (f"{index}.jpg" if index % 2 else f"{index}.png"))
    return folder


def decoded(folder: Path) -> Tensor:
    pictures = [np.array(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir())]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def their_tables(library: Any, folder: Path, weights: Path) -> dict[str, Tensor]:
    """What torch-fidelity's own reading of a folder and own network give."""
    utils = library.utils
    extractor = utils.create_feature_extractor(
        "inception-v3-compat",
        LAYERS,
        cuda=False,
        feature_extractor_weights_path=str(weights),
        verbose=False,
    )
    images = utils.prepare_input_from_descriptor({"input": str(folder)}, verbose=False)
    return utils.get_featuresdict_from_dataset(images, extractor, 4, False, True, False)


def require_agreement(library: Any, folder: Path, weights: Path) -> None:
    detector = load_detector(f"inception-fidelity:{weights}")
    tables = detector.tables(decoded(folder), ["features", "probabilities"], batch_size=1)
    theirs = their_tables(library, folder, weights)
    difference = (tables["features"] - theirs["2048"]).abs().max()
    assert float(difference) < 1e-3 * float(theirs["2048"].abs().max())
    assert float(theirs["2048"].std(0).max()) > 0
    expected = theirs["logits_unbiased"].softmax(dim=1)
    torch.testing.assert_close(tables["probabilities"], expected, rtol=1e-3, atol=1e-6)


def test_features_and_probabilities_are_torch_fidelitys_of_png_and_jpeg(
    library: Any, folder: Path, weights: Path
) -> None:
    require_agreement(library, folder, weights)


def test_the_published_weights_agree_with_torch_fidelity(
    library: Any, folder: Path, tmp_path: Path
) -> None:
    cache = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_URL.rpartition("/")[2]
    path = Path(os.environ.get("DEME_INCEPTION_WEIGHTS", cache))
    if not path.is_file():
        pytest.skip(f"there are no weights of Inception at {path} (DEME_INCEPTION_WEIGHTS)")
    require_agreement(library, folder, path)
    for file in folder.iterdir():
        Image.fromarray(255 - np.array(Image.open(file))).save(tmp_path / file.name)
    detector = load_detector(f"inception-fidelity:{path}")
    ours = frechet_distance(
        FeatureStatistics.from_features(detector.features(decoded(folder))),
        FeatureStatistics.from_features(detector.features(decoded(tmp_path))),
        allow_unknown=True,
    )
    theirs = library.calculate_metrics(
        input1=str(tmp_path),
        input2=str(folder),
        fid=True,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
        feature_extractor_weights_path=str(path),
    )
    assert ours == pytest.approx(theirs[library.KEY_METRIC_FID], rel=1e-3)


def test_all_tables_come_from_one_pass_and_any_batch_size_gives_the_same(
    folder: Path, weights: Path
) -> None:
    images = decoded(folder)
    detector = load_detector(f"inception-fidelity:{weights}")
    network: Any = detector.network
    passes = []
    network.extractor.Mixed_7c.register_forward_hook(lambda *_: passes.append(1))
    kept = []
    hook = network.extractor.Mixed_6d.register_forward_hook(lambda *out: kept.append(out[2]))
    tables = detector.tables(images, ["features", "spatial", "probabilities"])
    hook.remove()
    assert len(passes) == 1
    assert {name: table.shape[1] for name, table in tables.items()} == detector.widths
    # ADM keeps the first 7 channels, the channel being the last axis; the branch of 1×1 is first
    # of those that the block puts together.
    spatial = tables["spatial"].view(2, 17, 17, 7)
    torch.testing.assert_close(spatial[:, 3, 5], kept[0][:, :7, 3, 5])
    torch.testing.assert_close(tables["probabilities"].sum(dim=1), torch.ones(2))
    features = detector.features(images, batch_size=1)
    torch.testing.assert_close(features, tables["features"], rtol=1e-4, atol=1e-4)


def test_grey_images_are_repeated_and_its_identity_is_its_weights(
    folder: Path, weights: Path
) -> None:
    before = torch.random.get_rng_state()
    detector = load_detector(f"inception-fidelity:{weights}")
    assert torch.equal(before, torch.random.get_rng_state())
    grey = decoded(folder)[:1, :1]
    torch.testing.assert_close(detector(grey), detector(grey.repeat(1, 3, 1, 1)))
    assert (detector.name, detector.digest) == ("inception-fidelity", hash_file(weights))
    assert "299×299 as TensorFlow 1" in detector.protocol("40px").resize


def test_weights_of_another_network_pickles_and_missing_files_are_refused(
    library: Any, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    with pytest.raises(StorageError, match=r"Cannot read .*weights\.pth"):
        load_detector(f"inception-fidelity:{path}")
    torch.save({"fc.weight": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match="does not hold torch-fidelity's Inception"):
        load_detector(f"inception-fidelity:{path}")
    torch.save(SimpleNamespace(weight=torch.zeros(2)), path)
    with pytest.raises(ModelError, match="not a checkpoint of plain tensors"):
        load_detector(f"inception-fidelity:{path}")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match="truncated"):
        load_detector(f"inception-fidelity:{path}")


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(
        MissingExtraError, match=r"'inception-fidelity'.*'torch-fidelity'.*pip install 'deme\[eval"
    ):
        load_detector("inception-fidelity")


def test_a_torchvision_of_another_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("deme.metrics.fidelity.importlib.import_module", broken)
    with pytest.raises(ModelError, match=r"torchvision.*nms does not exist.*belongs to torch"):
        import_fidelity("LPIPS")
