"""Model configuration: frozen dataclasses, read from and written as config.json in the published layout.

The published file has the sections `preprocess`, `model.tadicodec` and `model.vocos`. Ours are the same sections with a
few more keys (`name`, `text_tokenizer`, `inference`, and the fields below marked "ours"); published files lack them and
get the default, which is what the published code does.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tadicodec.errors import InputError
from tadicodec.guards.documents import read_config_file
from tadicodec.guards.fields import build, require_positive, require_sizes

MODEL_TYPE = "tadicodec"  # in config.json, by which transformers knows a codec once tadicodec.hf is imported
SAMPLE_RATE, HOP_SIZE, DOWN_SAMPLE_FACTOR = 24000, 480, 8  # what .tdc files count in
CODE_BITS = 14  # a code takes in .tdc files, and in models that do not say otherwise
METHODS = ("euler", "midpoint", "heun", "ab2")  # of solving the path from noise to mel
LOWEST_LEVEL = -60.0  # dB
LARGEST_SWAY = 1.75  # 2 / (pi - 2): beyond, steps would go backwards
HIGHEST_TEMPERATURE = 2.0
WIDEST_CODE = 24  # bits; a codebook beyond that cannot be listed
# The largest sizes that are built: far above every model there is, far below what never ends or overflows.
MOST_LAYERS, WIDEST, LARGEST_VOCABULARY, LONGEST_WINDOW, MOST_BINS = 512, 1 << 17, 1 << 21, 1 << 16, 1024
MOST_STEPS, MOST_TEXT, LONGEST_PIECE, MOST_GUIDANCE = 10_000, 1 << 20, 3600, 100


@dataclass(frozen=True)
class MelConfig:
    """The spectrogram: 24 kHz, 128 mel bands, 50 frames a second.

    Raises:
        InputError: a value out of range.
    """

    sample_rate: int = 24000
    n_fft: int = 1920
    win_size: int = 1920
    hop_size: int = 480
    num_mels: int = 128
    fmin: float = 0.0
    fmax: float = 12000.0
    mel_mean: float = -4.92
    mel_var: float = 8.14

    def __post_init__(self) -> None:
        require_positive("preprocess", self, "mel_var")
        require_sizes("preprocess", self, LONGEST_WINDOW, "n_fft", "win_size", "sample_rate", "hop_size")
        require_sizes("preprocess", self, MOST_BINS, "num_mels")
        if self.n_fft < self.win_size:
            raise InputError("config: preprocess needs n_fft >= win_size")
        if not 0 <= self.fmin < self.fmax:
            raise InputError("config: preprocess needs 0 <= fmin < fmax")


@dataclass(frozen=True)
class AutoencoderConfig:
    """Encoder, quantizer and flow-matching decoder; the defaults are the published full size.

    Raises:
        InputError: a value out of range, or one that this package does not support.
    """

    mel_dim: int = 128
    hidden_size: int = 1024
    encoder_num_layers: int = 8
    decoder_num_layers: int = 16
    num_heads: int = 16
    intermediate_size: int = 0  # ours; 0 means 4 x hidden_size, as published
    down_sample_factor: int = 8
    vq_emb_dim: int = CODE_BITS
    vq_type: str = "bsq"
    use_text_cond: bool = True
    text_vocab_size: int = 32100
    sigma: float = 1e-5
    time_scheduler: str = "linear"
    encoder_conv_layers: int = 0  # ours; convolution blocks before the encoder's others, all at 25 Hz; 0: none, 50 Hz
    encoder_conformer: bool = False  # ours; a convolution behind every block of the encoder, as Conformer has
    patch_size: int = 1  # ours; mel frames a decoder position covers
    prior_layers: int = 0  # ours; blocks of a network that expects a mel before any noise is seen; 0: none
    voice_size: int = 0  # ours; width of what tells a prior about the voice of the whole utterance; 0: nothing does
    voice_heads: int = 0  # ours; heads that attend to the prompt's frames to sum up its voice; 0: their mean does
    text_layers: int = 2  # ours; blocks that read the characters, in models with a prior
    aligner_layers: int = 2  # ours; blocks that find where they are spoken, in models with a prior
    aligner_conformer: bool = False  # ours; a convolution behind each of those blocks
    transcriber_layers: int = 0  # ours; blocks that write down what the encoder hears; 0: no transcriber
    transcriber_conformer: bool = False  # ours; a convolution behind each of those blocks

    def __post_init__(self) -> None:
        layers = ("encoder_num_layers", "decoder_num_layers", "text_layers", "aligner_layers")
        require_sizes("tadicodec", self, MOST_LAYERS, *layers)
        none_too = ("encoder_conv_layers", "prior_layers", "transcriber_layers")
        require_sizes("tadicodec", self, MOST_LAYERS, *none_too, least=0)
        require_sizes("tadicodec", self, WIDEST, "hidden_size", "num_heads", "patch_size")
        require_sizes("tadicodec", self, WIDEST, "voice_size", "voice_heads", "intermediate_size", least=0)
        require_sizes("tadicodec", self, LARGEST_VOCABULARY, "text_vocab_size")
        require_sizes("tadicodec", self, MOST_BINS, "mel_dim")
        if self.voice_size and not self.prior_layers:
            raise InputError("config: voice_size tells a prior about the voice; give prior_layers, too")
        if self.voice_heads < 0 or self.voice_heads and not self.voice_size:
            raise InputError("config: voice_heads sum up a voice; give voice_size, too, or leave them 0")
        if type(self.down_sample_factor) is not int or self.down_sample_factor != DOWN_SAMPLE_FACTOR:
            raise InputError(f"config: down_sample_factor {self.down_sample_factor} is not supported, only 8")
        if type(self.vq_emb_dim) is not int or not 1 <= self.vq_emb_dim <= WIDEST_CODE:
            raise InputError(f"config: vq_emb_dim is 1 to {WIDEST_CODE}, not {self.vq_emb_dim}")
        if not 0 <= self.sigma < 1:
            raise InputError(f"config: sigma is 0 to below 1, not {self.sigma}")
        if self.vq_type != "bsq":
            raise InputError(f"config: vq_type {self.vq_type!r} is not supported; this package implements 'bsq'")
        if self.time_scheduler != "linear":
            raise InputError(f"config: time_scheduler {self.time_scheduler!r} is not supported, only 'linear'")
        if self.hidden_size % self.num_heads or (self.hidden_size // self.num_heads) % 2:
            raise InputError("config: hidden_size must be an even multiple of num_heads")
        if self.down_sample_factor % self.patch_size:
            raise InputError("config: patch_size must divide down_sample_factor")

    @property
    def aligned(self) -> bool:
        """Whether characters are laid where they are spoken."""
        return self.use_text_cond and self.prior_layers > 0

    @property
    def frames_per_state(self) -> int:
        """Mel frames that one of the encoder's states stands for."""
        return 2 if self.encoder_conv_layers else 1

    def states(self, frames: Any) -> Any:
        """Encoder states (a number or a tensor of them) of so many mel frames."""
        return (frames + self.frames_per_state - 1) // self.frames_per_state

    @property
    def ffn_size(self) -> int:
        """The width of the feed-forward networks."""
        return self.intermediate_size or 4 * self.hidden_size

    @property
    def codebook_size(self) -> int:
        """How many codes there are."""
        return 2**self.vq_emb_dim


@dataclass(frozen=True)
class VocoderConfig:
    """The vocoder, Vocos; the defaults are the published full size.

    Raises:
        InputError: a value out of range.
    """

    input_channels: int = 128
    dim: int = 1024
    intermediate_dim: int = 4096
    num_layers: int = 30
    n_fft: int = 1920
    hop_size: int = 480
    padding: str = "same"

    def __post_init__(self) -> None:
        require_sizes("vocos", self, WIDEST, "dim", "intermediate_dim")
        require_sizes("vocos", self, MOST_LAYERS, "num_layers")
        require_sizes("vocos", self, MOST_BINS, "input_channels")
        require_sizes("vocos", self, LONGEST_WINDOW, "n_fft", "hop_size")
        if self.padding != "same":
            raise InputError(f"config: vocos padding {self.padding!r} is not supported, only 'same'")


@dataclass(frozen=True)
class SolverConfig:
    """How the path from noise to mel is walked; the defaults are the published code's.

    steps: intervals of the path (`model.flow.count_evaluations` says how often the network then runs)
    guidance: 1 is the conditional model alone, 0 too (as published)
    rescale: share of the std-matched result
    method: "euler" takes the velocity in the middle of an interval, from the state at its start (as published);
        "midpoint" and "heun" are the second-order methods of those names, two evaluations a step; "ab2" is
        Adams-Bashforth, second order for one evaluation a step by reusing the one before
    sway: 0 is even steps, -1 puts more near the noise, positive more near the mel (F5-TTS, Chen et al. 2024, eq. 7)
    guidance_from, guidance_to: guidance outside of these times is off (Kynkäänniemi et al. 2024)
    temperature: scale of the noise that the path starts from; below 1 is clearer and flatter (Grad-TTS, section 3.4)
    """

    steps: int = 32
    guidance: float = 2.0
    rescale: float = 0.75
    method: str = "euler"
    sway: float = 0.0
    guidance_from: float = 0.0
    guidance_to: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        require_sizes("inference", self, MOST_STEPS, "steps")
        if not 0 <= self.guidance <= MOST_GUIDANCE:
            raise InputError(f"config: inference guidance is 0 to {MOST_GUIDANCE}, not {self.guidance}")
        if not 0 <= self.rescale <= 1:
            raise InputError(f"config: inference rescale is 0 to 1, not {self.rescale}")
        if not 0 <= self.temperature <= HIGHEST_TEMPERATURE:
            raise InputError(f"config: inference temperature is 0 to {HIGHEST_TEMPERATURE}, not {self.temperature}")
        if self.method not in METHODS:
            raise InputError(f"config: inference method {self.method!r} is none of {', '.join(METHODS)}")
        if not -1 <= self.sway <= LARGEST_SWAY:
            raise InputError(f"config: inference sway is -1 to {LARGEST_SWAY}, not {self.sway}")

    @property
    def guided(self) -> bool:
        """Whether guidance does anything at all."""
        return self.guidance not in (0.0, 1.0) and self.guidance_from <= self.guidance_to

    def guided_at(self, time: float) -> bool:
        """Whether guidance is on at this time."""
        return self.guided and self.guidance_from <= time <= self.guidance_to

    @property
    def edges(self) -> list[float]:
        """Times between the steps, 0 to 1."""
        even = [step / self.steps for step in range(self.steps + 1)]
        return [s + self.sway * (math.cos(math.pi / 2 * s) - 1 + s) for s in even[:-1]] + [1.0]


@dataclass(frozen=True)
class InferenceConfig:
    """What `decode` does when it is not told otherwise. In config.json the solver's fields stand beside the others."""

    solver: SolverConfig = field(default_factory=SolverConfig)
    max_text_tokens: int = 2048  # a piece of speech may carry
    piece_seconds: float = 30.0  # longer audio is taken in pieces of at most this
    level: float = 0.0  # dB of full scale; speech far from it is brought there to be encoded (audio/level.py); 0: never

    def __post_init__(self) -> None:
        require_sizes("inference", self, MOST_TEXT, "max_text_tokens")
        if not 0 < self.piece_seconds <= LONGEST_PIECE:
            raise InputError(f"config: inference piece_seconds must be positive and at most {LONGEST_PIECE}")
        if not LOWEST_LEVEL <= self.level <= 0:
            raise InputError(f"config: inference level is {LOWEST_LEVEL:.0f} to 0 dB, not {self.level}")

    @classmethod
    def from_dict(cls, section: dict[str, Any]) -> InferenceConfig:
        """Read the flat section of config.json. Raises InputError for a value of the wrong type or out of range."""
        return replace(build(cls, section), solver=build(SolverConfig, section))

    def to_dict(self) -> dict[str, Any]:
        """The flat section that `from_dict` reads."""
        section = asdict(self)
        return {**section.pop("solver"), **section}


@dataclass(frozen=True)
class CodecConfig:
    """Everything that config.json holds.

    Raises:
        InputError: values that do not belong together, or that this package does not support.
    """

    mel: MelConfig = field(default_factory=MelConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    name: str = ""
    text_tokenizer: str = "folder"  # "folder": text_tokenizer/ beside the weights; "bytes": UTF-8 bytes
    quantization: dict[str, Any] = field(default_factory=dict)  # which layers are stored as integers (quant/layout.py)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise InputError(f"config: name must be a string, not {self.name!r}")
        if not isinstance(self.quantization, dict):
            raise InputError(f"config: quantization is a section, not {self.quantization!r}")
        if self.mel.sample_rate != SAMPLE_RATE:
            raise InputError(f"config: sample_rate {self.mel.sample_rate} is not supported, only {SAMPLE_RATE}")
        for hop in (self.mel.hop_size, self.vocoder.hop_size):
            if hop != HOP_SIZE:
                raise InputError(f"config: hop_size {hop} is not supported, only {HOP_SIZE}")
        if self.text_tokenizer not in ("folder", "bytes"):
            raise InputError("config: text_tokenizer is 'folder' or 'bytes'")
        if not self.mel.num_mels == self.autoencoder.mel_dim == self.vocoder.input_channels:
            raise InputError("config: num_mels, mel_dim and the vocoder's input_channels must agree")

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> CodecConfig:
        """Read the published sections; keys this package does not know are training history and are passed over.

        Raises:
            InputError: a section is missing or holds a value of the wrong type or an unsupported choice.
        """
        try:
            model = document["model"]
            return cls(
                mel=build(MelConfig, document["preprocess"]),
                autoencoder=build(AutoencoderConfig, model["tadicodec"]),
                vocoder=build(VocoderConfig, model.get("vocos", {})),
                inference=InferenceConfig.from_dict(document.get("inference", {})),
                name=document.get("name", ""),
                text_tokenizer=document.get("text_tokenizer", "folder"),
                quantization=document.get("quantization", {}),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"config.json is not a TaDiCodec configuration: {error!r}") from error

    def to_dict(self) -> dict[str, Any]:
        """The document that `from_dict` reads."""
        return {
            "model_type": MODEL_TYPE,
            "name": self.name,
            "text_tokenizer": self.text_tokenizer,
            "inference": self.inference.to_dict(),
            "preprocess": asdict(self.mel),
            "model": {"tadicodec": asdict(self.autoencoder), "vocos": asdict(self.vocoder)},
            **({"quantization": self.quantization} if self.quantization else {}),
        }

    def preprocessor(self) -> dict[str, Any]:
        """preprocessor_config.json, from which transformers makes the feature extractor of `tadicodec.hf`."""
        return {
            "feature_extractor_type": "TadicodecFeatureExtractor",
            "feature_size": 1,
            "sampling_rate": self.mel.sample_rate,
            "padding_value": 0.0,
            "padding_side": "right",
            "return_attention_mask": True,
        }


def read_config(path: Path) -> CodecConfig:
    """Read a config.json that may carry // comments, as the published ones do.

    Raises:
        InputError: missing, not UTF-8, not JSON, or not a configuration this package supports.
    """
    return CodecConfig.from_dict(read_config_file(path))
