"""What needs a package that is not installed by default, and the extra of this package that brings it."""

from __future__ import annotations

from importlib.util import find_spec

from tadicodec.errors import InputError

EXTRAS = {  # package as imported: extra
    "huggingface_hub": "hub",
    "transformers": "tts",
    "accelerate": "train",
    "pyarrow": "train",
    "tensorboard": "train",
    "datasets": "corpora",
    "lhotse": "corpora",
    "ray": "ray",
    "jiwer": "eval",
    "librosa": "eval",
    "whisper_normalizer": "eval",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "av": "formats",
    "matplotlib": "plot",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "python_multipart": "serve",
    "gradio": "demo",
}


def need(package: str, purpose: str) -> None:
    """Raise InputError that names the extra to install unless `package` is there. `purpose`, such as "models of the
    hub", begins the sentence."""
    try:
        found = find_spec(package) is not None
    except (ImportError, ValueError):  # a parent that is no package, or a module half set up
        found = False
    if not found:
        raise InputError(missing(package, purpose))


def missing(package: str, purpose: str = "this command") -> str:
    """The sentence about a package that is not installed."""
    return f'{purpose} needs {package}, which is not installed: pip install "tadicodec[{EXTRAS[package]}]"'
