"""The codec as a model of transformers: waves to `audio_codes` and back, the same numbers as `Codec` gives."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import PreTrainedAudioTokenizerBase
from transformers.utils import ModelOutput

from tadicodec.checkpoint import HUB_FILES
from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.hf.configuration import TadicodecConfig
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.vocoder import Vocoder
from tadicodec.speech import Prompt
from tadicodec.text.tokens import ByteTokenizer

HUB_OPTIONS = ("revision", "token", "cache_dir", "local_files_only", "force_download")  # handed on to the hub
FOR_LOADERS = ("trust_remote_code", "use_safetensors", "low_cpu_mem_usage", "attn_implementation", "weights_only")


@dataclass
class TadicodecEncoderOutput(ModelOutput):
    """audio_codes [B, 1, T] int64, zeros behind each item's own; audio_codes_mask [B, 1, T], 1 where codes are;
    text: what each item says, as it was given or as the model's own transcriber heard it."""

    audio_codes: Tensor | None = None
    audio_codes_mask: Tensor | None = None
    text: list[str] | None = None


@dataclass
class TadicodecDecoderOutput(ModelOutput):
    """audio_values [B, 1, N] at 24 kHz, zeros behind each item's own."""

    audio_values: Tensor | None = None


@dataclass
class TadicodecOutput(ModelOutput):
    """audio_values [B, 1, N], audio_codes and audio_codes_mask [B, 1, T]."""

    audio_values: Tensor | None = None
    audio_codes: Tensor | None = None
    audio_codes_mask: Tensor | None = None


class TadicodecModel(PreTrainedAudioTokenizerBase):
    """A codec that transformers loads, saves and pushes. Its folders are those of `Codec.save_pretrained`, loaded as
    strictly; `codec` is the Codec itself, for whatever transformers has no name for."""

    config_class = TadicodecConfig
    base_model_prefix = "tadicodec"
    main_input_name = "input_values"
    input_modalities = "audio"
    _no_split_modules: list[str] = []

    def __init__(self, config: TadicodecConfig, codec: Codec | None = None) -> None:
        """codec: None makes one with random weights."""
        super().__init__(config)
        if codec is None:
            shape = config.to_codec()
            if shape.text_tokenizer != "bytes":
                raise InputError("a codec with a text tokenizer of its own is loaded, not made; use from_pretrained")
            codec = Codec(shape, Autoencoder(shape.autoencoder), Vocoder(shape.vocoder), ByteTokenizer())
        self.codec = codec
        self.model, self.vocoder = codec.model, codec.vocoder
        self.post_init()
        self.eval()

    @classmethod
    def from_codec(cls, codec: Codec) -> TadicodecModel:
        """The same codec, weights and all, for transformers."""
        return cls(TadicodecConfig.from_codec(codec.config), codec)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *args: Any,
        config: TadicodecConfig | None = None,
        dtype: torch.dtype | str | None = None,
        device_map: str | torch.device | dict[str, Any] | None = None,
        output_loading_info: bool = False,
        subfolder: str = "",
        **options: Any,
    ) -> Any:
        """A model folder or an id of the Hugging Face hub, loaded strictly.

        dtype: precision of decoder and vocoder; codes are always computed in float32. device_map: one device for the
        whole model, or {"": device}. Of transformers' other options those of the hub count (revision, token,
        cache_dir, local_files_only, force_download).

        Raises:
            InputError: no such model, files that do not fit together, or an option that this model does not have.
        """
        hub = {name: options.pop(name) for name in HUB_OPTIONS if name in options}
        options = {
            name: value
            for name, value in options.items()
            if value is not None and not name.startswith("_") and name not in FOR_LOADERS
        }
        if args or options:
            raise InputError(f"{cls.__name__}.from_pretrained has no option {next(iter(options), 'without a name')!r}")
        folder = fetched(pretrained_model_name_or_path, hub) / subfolder
        codec = Codec.from_pretrained(folder, device_of(device_map), dtype_of(dtype))
        model = cls(TadicodecConfig.from_codec(codec.config) if config is None else config, codec)
        model.config._name_or_path = str(pretrained_model_name_or_path)
        nothing: dict[str, Any] = {name: set() for name in ("missing_keys", "unexpected_keys", "mismatched_keys")}
        return (model, {**nothing, "error_msgs": []}) if output_loading_info else model

    def save_pretrained(
        self, save_directory: str | os.PathLike, *, push_to_hub: bool = False, repo_id: str | None = None, **hub: Any
    ) -> None:
        """Write config.json, preprocessor_config.json, model.safetensors and vocoder/model.safetensors into a folder,
        beside whatever else is there; with push_to_hub to the hub too, as `repo_id` or the folder's name.

        Raises:
            InputError: the folder cannot be written.
        """
        folder = Path(save_directory).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as draft:
            self.codec.save_pretrained(Path(draft) / "model")
            for path in sorted((Path(draft) / "model").rglob("*")):
                place = folder / path.relative_to(Path(draft) / "model")
                if path.is_dir():
                    place.mkdir(exist_ok=True)
                else:
                    shutil.move(path, place)
        if push_to_hub:
            hub.pop("max_shard_size", None)
            self.push_to_hub(repo_id or folder.name, **hub)

    @torch.inference_mode()
    def encode(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        text: str | list[str] | None = None,
        return_dict: bool | None = None,
    ) -> TadicodecEncoderOutput | tuple[Any, ...]:
        """Waves to codes.

        input_values: [B, 1, N] or [B, N] at 24 kHz. padding_mask: [B, N] or [B, 1, N], 1 where there is sound; padding
        never changes a code. text: what is said, which travels beside the codes; None: what the model's own
        transcriber hears, if it has one.

        Raises:
            InputError: anything but mono waves, or not one text an item.
        """
        waves = list(mono(input_values, "input_values"))
        if padding_mask is not None:
            waves = [wave[kept.bool()] for wave, kept in zip(waves, mono(padding_mask, "padding_mask"), strict=True)]
        speech = self.codec.encode(waves, self.config.sampling_rate, text)
        kept = torch.arange(speech.codes.shape[1])[None] < speech.lengths[:, None]
        found = TadicodecEncoderOutput(
            audio_codes=speech.codes[:, None].to(input_values.device),
            audio_codes_mask=kept[:, None].to(input_values.device, torch.int32),
            text=[words or "" for words in speech.text],
        )
        return found.to_tuple() if return_dict is False else found

    @torch.inference_mode()
    def decode(
        self,
        audio_codes: Tensor,
        audio_codes_mask: Tensor | None = None,
        text: str | list[str] | None = None,
        *,
        padding_mask: Tensor | None = None,
        prompt: Prompt | list[Prompt | None] | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool | None = None,
    ) -> TadicodecDecoderOutput | tuple[Any, ...]:
        """Codes to waves.

        audio_codes: [B, 1, T] or [B, T]. audio_codes_mask: of the same shape, 1 where codes are. text: what they say;
        the words help the decoder. padding_mask: of the waves that were encoded; the result is cut to its length.
        prompt, steps, guidance and generator are those of `Codec.decode`.

        Raises:
            InputError: as `Codec.decode`.
        """
        codes = mono(audio_codes, "audio_codes")
        lengths = None if audio_codes_mask is None else mono(audio_codes_mask, "audio_codes_mask").sum(1)
        waves = self.codec.decode(codes, prompt, steps, guidance, generator, text=text, lengths=lengths)
        if padding_mask is not None:
            sounds = mono(padding_mask, "padding_mask").sum(1)
            waves = waves[:, : int(sounds.max())]
            waves = waves * (torch.arange(waves.shape[1]) < sounds[:, None].cpu())
        found = TadicodecDecoderOutput(audio_values=waves[:, None].to(audio_codes.device))
        return found.to_tuple() if return_dict is False else found

    def forward(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        audio_codes: Tensor | None = None,
        audio_codes_mask: Tensor | None = None,
        text: str | list[str] | None = None,
        *,
        return_dict: bool | None = None,
        **decoding: Any,
    ) -> TadicodecOutput | tuple[Any, ...]:
        """`decode(encode(input_values))`, as long as what went in; with audio_codes given, only `decode`."""
        if audio_codes is None:
            audio_codes, audio_codes_mask, text = self.encode(input_values, padding_mask, text, return_dict=False)
        sounds = torch.ones_like(mono(input_values, "input_values")) if padding_mask is None else padding_mask
        given = {"padding_mask": sounds, "return_dict": False, **decoding}
        (values,) = self.decode(audio_codes, audio_codes_mask, text, **given)
        output = TadicodecOutput(values, audio_codes, audio_codes_mask)
        return output.to_tuple() if return_dict is False else output

    def to(self, *args: Any, **kwargs: Any) -> TadicodecModel:
        """Move to a device, and choose the precision of decoder and vocoder (codes stay float32), as `Codec.to`."""
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        self.codec.to(self.codec.device if device is None else device, dtype or self.codec.dtype)
        return self

    def cpu(self) -> TadicodecModel:
        """Move the model to the CPU."""
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> TadicodecModel:
        """Move the model to a GPU."""
        return self.to("cuda" if device is None else f"cuda:{device}")

    def float(self) -> TadicodecModel:
        """Compute in float32."""
        return self.to(torch.float32)

    def half(self) -> TadicodecModel:
        """Compute decoder and vocoder in float16; codes stay those of float32."""
        return self.to(torch.float16)

    def bfloat16(self) -> TadicodecModel:
        """Compute decoder and vocoder in bfloat16; codes stay those of float32."""
        return self.to(torch.bfloat16)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of decoder and vocoder."""
        return self.codec.dtype

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.codec.device

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Networks initialise themselves."""


def mono(values: Tensor, name: str) -> Tensor:
    """[B, 1, N] or [B, N] -> [B, N]. Raises InputError."""
    if not isinstance(values, Tensor) or values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[1] != 1):
        shape = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise InputError(f"{name} is a tensor [B, 1, N] or [B, N], not {shape}")
    return values[:, 0] if values.ndim == 3 else values


def fetched(name: str | os.PathLike, hub: dict[str, Any]) -> Path:
    """The folder of a model. Raises InputError for one that is neither here nor on the hub."""
    folder = Path(name)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), allow_patterns=list(HUB_FILES), **hub))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{name}: no model folder, and cannot be fetched from the hub ({reason})") from error


def device_of(device_map: Any) -> str | torch.device:
    """One device of what transformers calls a map. Raises InputError for a model in pieces."""
    if device_map is None:
        return "cpu"
    if device_map == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if isinstance(device_map, dict):
        if set(device_map) != {""}:
            raise InputError("the codec is one piece; device_map is a device, auto, or {'': device}")
        device_map = device_map[""]
    return f"cuda:{device_map}" if isinstance(device_map, int) else device_map


def dtype_of(dtype: torch.dtype | str | None) -> torch.dtype:
    """Raises InputError for a name that is no precision."""
    if dtype is None or dtype == "auto":
        return torch.float32
    found = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype):
        raise InputError(f"dtype is torch.float32, torch.bfloat16 or torch.float16, not {dtype!r}")
    return found
