"""Merging four experts of Stable Diffusion 1.4's U-Net: against a plain copy, mergekit, and memory.

Contestants, each in a process of its own that is timed from after its imports to its last byte:

- ``copy``: reads all five files and writes one of them again, 8 MiB at a time. The physical limit.
- ``deme``: ``deme merge`` with the hashes of all inputs, its finite check and its recipe.
- ``mergekit``: ``mergekit-pytorch``, the raw-tensor merge, where ``--mergekit-python`` names the
  interpreter of an environment that has it.
- ``in memory``: whole models loaded, differences and sum held whole, as published code does it.

Peak memory is anonymous memory (``RssAnon``), sampled while the contestant runs: pages of mapped
files, which the system drops when it likes, do not count.

    python benchmarks/merge.py --scale 0.5 --mergekit-python ../mergekit/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, cast

EXPERTS = 4
RELATIVE_CHANGE = 0.003
WIDTHS = (320, 640, 1280, 1280)
WEIGHTS = (0.1, 0.1, 0.2, 0.5)
GROUPS = 32
NOISE = 2**23
FILE = "diffusion_pytorch_model.safetensors"
METHODS = {
    "task_arithmetic": {},
    "linear": {},
    "ties": {"density": 0.5},
    "model_stock": {},
}

COPY = """
import sys, time, pathlib
files, out = sys.argv[2].split(","), sys.argv[3]
buffer = memoryview(bytearray(8 << 20))
started = time.perf_counter()
with open(out, "wb", buffering=0) as target:
    for index, name in enumerate(files):
        with open(name, "rb", buffering=0) as source:
            while count := source.readinto(buffer):
                if index == 0:
                    target.write(buffer[:count])
print(time.perf_counter() - started)
"""
IN_MEMORY = """
import sys, time
from safetensors.torch import load_file, save_file
files, out = sys.argv[2].split(","), sys.argv[3]
weights = (0.1, 0.1, 0.2, 0.5)
started = time.perf_counter()
base = {k: v.clone() for k, v in load_file(files[0]).items()}
vectors = []
for name in files[1:]:
    expert = {k: v.clone() for k, v in load_file(name).items()}
    vectors.append({k: expert[k] - base[k] for k in base})
total = {k: sum(w * v[k] for w, v in zip(weights, vectors)) for k in base}
save_file({k: base[k] + total[k] for k in base}, out)
print(time.perf_counter() - started)
"""
DEME = """
import sys, time, pathlib
from deme.merge.job import MergeJob, MergeRequest
import deme.merge.methods, deme.merge.sources.opening
method, files, out, parameters = sys.argv[1], sys.argv[2].split(","), sys.argv[3], sys.argv[4:]
folders = [str(pathlib.Path(f).parent) for f in files]
started = time.perf_counter()
request = MergeRequest(base=folders[0], experts=tuple(folders[1:]),
    weights=("0.1", "0.1", "0.2", "0.5") if method != "model_stock" else (),
    merge_method=method, parameters=tuple(parameters))
MergeJob(request, pathlib.Path(out)).run()
print(time.perf_counter() - started)
"""
MERGEKIT = """
import sys, time, yaml, torch
from mergekit.scripts.merge_raw_pytorch import main
method, files, out = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
extra = dict(item.split("=") for item in sys.argv[4:])
shared = {name: float(value) for name, value in extra.items()}
models = [{"model": name, "parameters": {"weight": weight, **shared}}
          for name, weight in zip(files[1:], (0.1, 0.1, 0.2, 0.5))]
config = {"merge_method": method, "base_model": files[0], "models": models, "dtype": "float32"}
if method == "task_arithmetic":
    config["parameters"] = {"normalize": False}
with open(out + ".yaml", "w") as file:
    yaml.safe_dump(config, file)
started = time.perf_counter()
main.main([out + ".yaml", out], standalone_mode=False)
print(time.perf_counter() - started)
"""


def widths_of(scale: float) -> tuple[int, ...]:
    """Channel counts so that the parameters are about ``scale`` of the full model's."""
    return tuple(max(GROUPS, round(w * scale**0.5 / GROUPS) * GROUPS) for w in WIDTHS)


def make_models(folder: Path, scale: float) -> tuple[list[Path], int]:
    """A base and its experts, random, with the names and shapes of the published U-Net."""
    import torch
    from diffusers import UNet2DConditionModel
    from safetensors.torch import save_file

    config = {
        "sample_size": 64,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
        "block_out_channels": widths_of(scale),
    }
    with torch.device("meta"):
        model = cast(Any, UNet2DConditionModel.from_config(config))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    noise = torch.randn(NOISE, generator=torch.Generator().manual_seed(0)) * 0.02

    def values(offset: int, count: int) -> torch.Tensor:
        start = offset * 7919 % (NOISE // 2)
        return noise[start : start + NOISE // 2].repeat(-(-count // (NOISE // 2)))[:count]

    files = []
    for index in range(EXPERTS + 1):
        weights = {}
        for number, (name, shape) in enumerate(shapes.items()):
            count = torch.Size(shape).numel()
            tensor = values(number, count)
            if index:
                tensor.add_(values(number + 1000 * index, count), alpha=RELATIVE_CHANGE)
            weights[name] = tensor.view(shape)
        home = folder / f"model{index}"
        home.mkdir(parents=True)
        model.save_config(home)
        save_file(weights, home / FILE)
        files.append(home / FILE)
    return files, sum(torch.Size(shape).numel() for shape in shapes.values())


def run(python: str, script: str, arguments: list[str]) -> tuple[float, float]:
    """Seconds that the script says it took, and the peak of its anonymous memory in MiB."""
    process = subprocess.Popen(
        [python, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    peak = 0.0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, _anonymous(process.pid))
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, errors = process.communicate()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{errors[-3000:]}")
    return float(out.strip().splitlines()[-1]), peak


def _anonymous(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def contest(files: list[Path], method: str, args: argparse.Namespace) -> dict[str, Any]:
    """Interleaved rounds of all contestants for one method."""
    parameters = [f"{name}={value}" for name, value in METHODS[method].items()]
    listed = ",".join(map(str, files))
    contestants = {"copy": (sys.executable, COPY), "deme": (sys.executable, DEME)}
    if args.mergekit_python:
        contestants["mergekit"] = (args.mergekit_python, MERGEKIT)
    if args.in_memory and method == "task_arithmetic":
        contestants["in memory"] = (sys.executable, IN_MEMORY)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for round_number in range(args.repeats + 1):
        for name, (python, script) in contestants.items():
            with tempfile.TemporaryDirectory(dir=files[0].parent.parent) as out:
                result = run(python, script, [method, listed, f"{out}/out", *parameters])
            if round_number:  # the first round reads the files into the page cache
                found[name].append(result)
            print(f"  {method} {name}: {result[0]:.2f} s, {result[1]:.0f} MiB", file=sys.stderr)
    return {
        name: {
            "seconds": statistics.median(seconds for seconds, _ in results),
            "all_seconds": [round(seconds, 3) for seconds, _ in results],
            "peak_mib": max(peak for _, peak in results),
        }
        for name, results in found.items()
    }


def main() -> None:
    """Parses the options, runs the contest, prints ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one object on standard output")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the 860 M parameters")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--method", action="append", choices=METHODS, help="task_arithmetic")
    parser.add_argument("--mergekit-python", help="an interpreter that has mergekit")
    parser.add_argument("--in-memory", action="store_true", help="the whole-model way too")
    parser.add_argument("--folder", type=Path, help="where the models go; removed afterwards")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        files, parameters = make_models(Path(folder), args.scale)
        bytes_read = sum(file.stat().st_size for file in files)
        methods = args.method or ["task_arithmetic"]
        results = {method: contest(files, method, args) for method in methods}
    first = results[methods[0]]
    summary: dict[str, Any] = {
        "parameters": parameters,
        "bytes_read": bytes_read,
        "time_over_copy": first["deme"]["seconds"] / first["copy"]["seconds"],
        "time_over_mergekit": None,
        "peak_mib": first["deme"]["peak_mib"],
    }
    if "mergekit" in first:
        summary["time_over_mergekit"] = first["deme"]["seconds"] / first["mergekit"]["seconds"]
    if args.json:
        print(json.dumps({**summary, "methods": results}, indent=2))
        return
    read = f"{bytes_read / 1e9:.2f} GB read"
    print(f"{EXPERTS} experts of {parameters / 1e6:.0f} M parameters, {read}")
    for method, contestants in results.items():
        for name, row in contestants.items():
            ratio = row["seconds"] / contestants["copy"]["seconds"]
            print(
                f"  {method:<16} {name:<10} {row['seconds']:8.2f} s   {ratio:6.2f} × copy   "
                f"{row['peak_mib']:8.0f} MiB"
            )


if __name__ == "__main__":
    main()
