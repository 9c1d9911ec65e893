"""Model folders: config.json, model.safetensors, vocoder/model.safetensors, text_tokenizer/ (the published layout).

Loading is strict: every tensor of the file is used and every tensor of the network is in the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tadicodec.config import CodecConfig, read_config
from tadicodec.errors import InputError, reason
from tadicodec.guards import arguments
from tadicodec.guards.extras import need
from tadicodec.integers.layout import restore
from tadicodec.integers.stored_matrix import SCALE, from_integers, scales_of
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.vocoder import Vocoder
from tadicodec.outputs import writing

# Tables the published files carry although they follow from the configuration.
RECOMPUTED = ("bsq.basis", "bsq.group_basis", "head.istft.window")
RECOMPUTED_ENDINGS = ("rotary_emb.inv_freq",)
FLOATING = ("F64", "F32", "F16", "BF16")  # types of safetensors that weights may be stored in
BUNDLED = "bundled"  # the model that comes with the package, where a name is asked for
PREPROCESSOR = "preprocessor_config.json"  # by which transformers knows how to make a batch of recordings
ENCODER = ("encoder.", "vq_in_linear.")  # where the names of the tensors begin that decide the codes
MODEL_FILES = (
    *("config.json", PREPROCESSOR, "model.safetensors", "vocoder", "text_tokenizer", "README.md"),
    "__pycache__",
)
HUB_FILES = ("config.json", PREPROCESSOR, "*.safetensors", "vocoder/*", "text_tokenizer/*")


def find_model(name: str | os.PathLike | None, hub_files: Sequence[str] = HUB_FILES) -> Path:
    """The folder of a model: None or "bundled" is the one that comes with the package, an existing folder is itself,
    and anything else a Hugging Face id, whose files that match `hub_files` are fetched.

    Raises:
        InputError: neither a model folder nor an id that can be fetched.
    """
    if name is None or isinstance(name, str) and name == BUNDLED:
        return arguments.packaged("assets")
    folder = arguments.path("a model", name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(f"{folder}: no config.json in this folder, so it is not a model")
        return folder
    if folder.exists() or str(name).count("/") != 1 or str(name).startswith((".", "/", "~")):
        raise InputError(f"{name}: no such model folder, and not a Hugging Face id such as amphion/TaDiCodec")
    return fetch(str(name), hub_files)


def fetch(name: str, hub_files: Sequence[str]) -> Path:
    """Download a published model by its id, or find it in the cache. Only called when the user has named one. Raises
    InputError."""
    need("huggingface_hub", f"fetching {name}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(hub_files)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"{name}: cannot be fetched from the hub and is not in its cache ({reason(error)})") from error


def load_config(folder: Path) -> CodecConfig:
    """The configuration of a model folder. Raises InputError where it has none, or one that is not supported."""
    return read_config(folder / "config.json")


INITIALISERS = (nn.init.__name__, "transformers.initialization")  # while it builds, transformers puts its own there
FILLERS = (Tensor.zero_, Tensor.fill_)


class Unfilled(TorchFunctionMode):
    """While it is active, initial weights are not drawn. (torch's meta device would do the same, and import its
    compiler for seconds.)"""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensor = kwargs["tensor"] if "tensor" in kwargs else next(iter(args), None)
        filled = function in FILLERS and isinstance(tensor, nn.Parameter)  # what `nn.init.zeros_` and `ones_` call
        if filled or getattr(function, "__module__", "") in INITIALISERS:
            return tensor
        return function(*args, **kwargs)


@contextmanager
def unfilled() -> Iterator[None]:
    """Networks made within have no weights yet; memory is theirs but not used before `load_weights`.

    Raises:
        InputError: sizes that this machine cannot even reserve memory for.
    """
    try:
        with Unfilled():
            yield
    except (RuntimeError, OverflowError, MemoryError) as error:
        raise InputError(f"config: a model of these sizes cannot be built ({reason(error)})") from error


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file, whose tensors are read one by one.

    Raises:
        InputError: missing, truncated or not a safetensors file.
    """
    if not path.is_file():
        raise InputError(f"{path}: missing; a model folder holds config.json, model.safetensors and vocoder/")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({reason(error)})") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, without the recomputable ones. Raises InputError as `opened`."""
    with opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys() if not recomputed(name)}  # noqa: SIM118


def recomputed(name: str) -> bool:
    """Whether a tensor of this name can be computed again, as windows and filters can; such tensors are not loaded."""
    return name in RECOMPUTED or name.endswith(RECOMPUTED_ENDINGS)


def check_fits(module: nn.Module, path: Path) -> None:
    """Make sure, without reading a tensor, that a safetensors file holds exactly the tensors of a network (which may be
    `unfilled`), and that they fit the memory of this machine.

    Raises:
        InputError: a tensor is missing, left over, or of another shape; the message names the first.
    """
    own = module.state_dict()
    with opened(path) as file:
        found = {name: file.get_slice(name) for name in file.keys() if not recomputed(name)}  # noqa: SIM118
    scales = scales_of(found)
    problems = [f"{name} is missing" for name in own if name not in found]
    problems += [f"{name} is not part of the model" for name in found.keys() - own.keys() - set(scales.values())]
    problems += [
        f"{scale} is {found[scale].get_shape()}, not one for each row"
        for name, scale in scales.items()
        if found[scale].get_shape() != [*found[name].get_shape()[:1], 1] or found[scale].get_dtype() not in FLOATING
    ]
    problems += [
        f"{name} is {found[name].get_shape()}, the configuration says {list(tensor.shape)}"
        for name, tensor in own.items()
        if name in found and found[name].get_shape() != list(tensor.shape)
    ]
    problems += [
        f"{name} is of type {found[name].get_dtype()}, the configuration says {tensor.dtype}"
        for name, tensor in own.items()
        if name in found and (found[name].get_dtype() in FLOATING or name in scales) != tensor.is_floating_point()
    ]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{path}: does not fit its config.json: {problems[0]}{more}")
    needed, there = sum(tensor.nbytes for tensor in own.values()), memory_bytes()
    if needed > there:
        raise InputError(f"{path}: takes {needed / 1e9:.1f} GB of memory, this machine has {there / 1e9:.1f} GB")


def memory_bytes() -> int:
    """Memory that this process may have: the machine's, or what its control group is limited to."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return there
    return min(there, int(limit)) if limit.isdecimal() else there


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a network from one safetensors file, strictly.

    Raises:
        InputError: a tensor is missing, left over, of another shape, or holds what is no number; the message names the
            first.
    """
    check_fits(module, path)
    own = module.state_dict()
    with opened(path) as file:
        # Weights may be stored in half precision; the network decides what it computes in.
        tensors = {name: stored_tensor(file, name, tensor).to(tensor.dtype) for name, tensor in own.items()}
    check_numbers(tensors, path)
    module.load_state_dict(tensors, assign=False)


def stored_tensor(file: Any, name: str, own: Tensor) -> Tensor:
    """A tensor of an open safetensors file; a matrix that is stored as integers is multiplied out."""
    value = file.get_tensor(name)
    if value.dtype == torch.int8 and own.is_floating_point():
        return from_integers(value, file.get_tensor(name + SCALE))
    return value


def check_numbers(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises InputError naming the first tensor that holds NaN or infinity: what it computes would be noise."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(f"{path}: {name} holds NaN or infinite weights; the file is damaged, fetch it again")


def load_networks(folder: Path, config: CodecConfig) -> tuple[Autoencoder, Vocoder]:
    """The codec's network and its vocoder, filled from a model folder; layers stored as integers stay so.

    Raises:
        InputError: a file is missing or does not fit its configuration.
    """
    with unfilled():
        model, vocoder = Autoencoder(config.autoencoder), Vocoder(config.vocoder)
        restore(model, config.quantization.get("model", []))
        restore(vocoder, config.quantization.get("vocoder", []))
    load_weights(model, folder / "model.safetensors")
    load_weights(vocoder, vocoder_file(folder))
    return model, vocoder


def vocoder_file(folder: Path) -> Path:
    """The one safetensors file under vocoder/ of a model folder. Raises InputError where there is none, or more."""
    found = sorted((folder / "vocoder").glob("*.safetensors"))
    if len(found) != 1:
        raise InputError(f"{folder / 'vocoder'}: holds {len(found)} safetensors files; a model has exactly one")
    return found[0]


def content_hash(module: nn.Module, prefixes: tuple[str, ...]) -> str:
    """A hash of the tensors whose names begin so, as 16 hexadecimal digits. It is the same for every dtype that stores
    the same values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if name.startswith(prefixes):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:16]


class Described(Protocol):
    """A configuration of any kind of model, which can be written as config.json."""

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain values."""


def save_model(
    folder: Path,
    config: Described,
    weights: dict[str, dict[str, Tensor]],
    *,
    tokenizer: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model folder: `weights` maps file names within it ("model.safetensors") to their tensors.

    The folder is built beside its destination and renamed into place, so a failure leaves nothing half-written.

    Raises:
        InputError: the destination exists (without overwrite) or cannot be written.
    """
    folder = Path(folder).resolve()
    check_replaceable(folder, overwrite)
    with writing(folder), replaced(folder) as draft:
        for name, tensors in weights.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, draft / name)
            (draft / name).chmod(0o644)  # safetensors writes files that only their owner can read
        documents = {"config.json": config.to_dict()}
        if isinstance(config, CodecConfig):
            documents[PREPROCESSOR] = config.preprocessor()
        for name, document in documents.items():
            (draft / name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        if tokenizer is not None and tokenizer.is_dir():
            weights_beside = shutil.ignore_patterns("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf")
            shutil.copytree(tokenizer, draft / "text_tokenizer", ignore=weights_beside)


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, renamed to the absolute path `folder` at the end; a failure changes nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield draft
        draft.chmod(0o755)
        old = draft.with_name(draft.name + ".old")
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_replaceable(folder: Path, overwrite: bool) -> None:
    """Raise InputError for a folder that must not be replaced: a model may replace a model, never anything else."""
    if not folder.exists():
        return
    if not overwrite:
        raise InputError(f"{folder}: exists; choose another folder or overwrite it explicitly")
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; a model is a folder")
    strange = sorted(path.name for path in folder.iterdir() if path.name not in MODEL_FILES)
    if strange:
        raise InputError(f"{folder}: holds {strange[0]}, which is no part of a model; choose another folder")


def to_dtype(tensors: dict[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Floating tensors in another precision (half for a smaller download); None leaves them as they are."""
    if dtype is None:
        return tensors
    check_dtype(dtype)
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}


def check_dtype(dtype: torch.dtype) -> torch.dtype:
    """The precision itself. Raises InputError for one in which networks cannot compute."""
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise InputError(f"dtype is torch.float32, torch.bfloat16 or torch.float16, not {arguments.described(dtype)}")
    return dtype


def move(device: str | torch.device, *modules: nn.Module) -> torch.device:
    """Put networks on a device. Raises InputError for one that is not there or computes nothing."""
    try:
        target = torch.device(device)
        if target.type == "meta":
            raise RuntimeError("it computes nothing")
        for module in modules:
            module.to(target)
    except (RuntimeError, AssertionError, TypeError) as error:
        why = str(error).splitlines()[0]
        raise InputError(f"device {arguments.described(device)} cannot be used: {why}") from error
    return target
