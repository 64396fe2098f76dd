from pathlib import Path

import pytest

from deme.errors import ConfigError
from deme.metrics import load_detector
from deme.metrics.clip import PRESETS, clip_text_features
from deme.metrics.registry import DETECTORS
from metrics.tiny_clip import write_tiny_clip


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pixels:8", r"no way to write the detector 'pixels'.*Choices: pixels\."),
        ("inception:x.pt", r"no way to write.*Choices: inception\."),
        ("clip", r"no way to write.*Choices: clip:<folder or hub id>\."),
        ("clip:", r"no way to write"),
        ("dino", r"no detector 'dino'.*dinov2, dinov2:<folder or hub id>.*TorchScript"),
    ],
)
def test_a_detector_written_wrongly_says_how_to_write_it(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_detector(spec)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_reads_its_published_model_or_a_copy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = write_tiny_clip(tmp_path / "copy")
    given = load_detector(f"{name}:{copy}")
    assert given.name == name and given.digest == load_detector(f"clip:{copy}").digest
    asked = []

    def fetch(hub_id: str, revision: str | None, family: str) -> Path:
        asked.append((hub_id, revision))
        return copy

    monkeypatch.setattr("deme.metrics.pretrained._fetched", fetch)
    assert load_detector(name).digest == given.digest
    assert len(clip_text_features(name, ["a", "b"])) == 2
    assert asked == [(PRESETS[name], None)] * 2


def test_every_name_can_be_written_in_some_way() -> None:
    assert {"digits", "pixels", "inception", "inception-fidelity", "dinov2"} <= set(DETECTORS)
    for name, entry in DETECTORS.items():
        assert entry.written(name) and all(form.startswith(name) for form in entry.written(name))
