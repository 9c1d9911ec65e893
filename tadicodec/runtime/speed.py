"""How fast this machine is at what: measured once in half a second, and kept in the user's cache, beside what else is
found once a machine.

Processors differ: bfloat16 products are several times slower than float32's where a CPU has only AVX2, and several
times faster where it has AMX.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

BUDGET = 0.5  # seconds that all candidates of one comparison take together
Call = Callable[[], object]
CLEARLY = 1.1  # times faster, below which the simpler choice stays
ROWS, SIZE = 256, 1024  # of the product that precisions are compared by
PRODUCTS = ("avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")  # instructions for products of few bits


def cache_folder() -> Path:
    """Where this package keeps what it can make again: $XDG_CACHE_HOME/tadicodec, or ~/.cache/tadicodec."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tadicodec"


def machine() -> str:
    """What speeds and roundings depend on: processor, what it can compute in, threads, and the versions of torch and
    ONNX Runtime."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    able = [torch.backends.cpu.get_cpu_capability(), *(f for f in PRODUCTS if f in known.get("flags", "").split())]
    where = f"{known.get('model name', platform.machine())}, {' '.join(able)}, {torch.get_num_threads()} threads"
    return f"{where}, torch {torch.__version__}, ONNX Runtime {runtime_version()}"


def runtime_version() -> str:
    """ONNX Runtime's version, or "none" where it is not installed; nothing of it is loaded."""
    try:
        return version("onnxruntime")
    except PackageNotFoundError:
        return "none"


def measured(what: str, candidates: Mapping[str, Call], *, place: Path | None = None) -> dict[str, float]:
    """Seconds of each candidate by name, the fastest of several calls in turn, as `remembered`."""
    return remembered(what, candidates, lambda: compare(candidates), place)


def remembered(
    what: str, names: Collection[str], find: Callable[[], dict[str, float]], place: Path | None = None
) -> dict[str, float]:
    """Numbers by name: from the cache where they were found on this machine before, or else found now and kept. A cache
    that cannot be read or written is done without."""
    path = (place or cache_folder()) / "speed.json"
    known = read(path)
    found = known.get(machine(), {}).get(what, {})
    if set(found) == set(names):
        return found
    found = find()
    known.setdefault(machine(), {})[what] = found
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        draft.replace(path)
    return found


def read(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """What was measured before: machine -> comparison -> candidate -> seconds; nothing where the file is damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(where): {str(what): {str(k): float(v) for k, v in row.items()} for what, row in rows.items()}
            for where, rows in document.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def compare(candidates: Mapping[str, Call], clock: Callable[[], float] = time.perf_counter) -> dict[str, float]:
    """Seconds of the fastest call of each candidate, by a clock; they take turns, so that what else the machine does
    hits all."""
    best = {name: float("inf") for name in candidates}
    for call in candidates.values():
        call()  # warm up
    started = time.perf_counter()
    while True:
        for name, call in candidates.items():
            before = clock()
            call()
            best[name] = min(best[name], clock() - before)
        if time.perf_counter() - started > BUDGET:
            return best


def fastest(seconds: Mapping[str, float], usual: str) -> str:
    """The fastest candidate, or the usual one where none is clearly faster."""
    name = min(seconds, key=lambda key: seconds[key])
    return name if seconds[usual] > CLEARLY * seconds[name] else usual


def precisions() -> dict[str, float]:
    """Seconds of one wide product on this CPU in float32 and in bfloat16."""
    x, weight = torch.randn(ROWS, SIZE), torch.randn(SIZE, SIZE)
    low_x, low = x.bfloat16(), weight.bfloat16()
    return measured("product", {"float32": lambda: x @ weight.T, "bfloat16": lambda: low_x @ low.T})


def faster_precision() -> torch.dtype:
    """bfloat16 where this CPU is clearly faster in it, else float32."""
    return getattr(torch, fastest(precisions(), "float32"))
