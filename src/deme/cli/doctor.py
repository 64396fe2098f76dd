"""``deme doctor``: versions, devices, what is missing."""

from __future__ import annotations

from .app import app


@app.command()
def doctor() -> None:
    """Say what is installed, which devices there are, and what is missing."""
    from ..assets import DIGITS_DETECTOR, DIGITS_PIPELINE
    from ..files import free_bytes
    from ..runs.environment import devices, missing_extras, versions
    from .options import RUNS

    for name, version in versions().items():
        print(f"{name:<18}{version}")
    for device in devices():
        print(f"{'device':<18}{device}")
    print(f"{'disk free':<18}{free_bytes(RUNS.absolute()) / 1e9:.1f} GB")
    bundled = DIGITS_DETECTOR.is_file() and (DIGITS_PIPELINE / "model_index.json").is_file()
    print(f"{'bundled default':<18}{'complete' if bundled else 'missing: reinstall deme'}")
    for extra, packages in missing_extras().items():
        print(f"{'optional':<18}{', '.join(packages)}: pip install 'deme[{extra}]'")
