"""Speech as a language: any causal language model of transformers over text and codes.

A sequence is text, start of audio, codes, end of audio. A model with a duration network gets rotary positions in tokens
of speech: code k stands at k, and every character where it is spoken. So attention finds its text beside it, instead of
having to learn the way there (progress-monitoring positions of VoiceStar, Peng et al. 2025).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.config import CODE_BITS, MOST_LAYERS, WIDEST, WIDEST_CODE
from tadicodec.errors import InputError, reason
from tadicodec.guards.extras import need
from tadicodec.guards.fields import require_sizes
from tadicodec.integers.layout import describe, restore
from tadicodec.tts.codebook import CodeTable
from tadicodec.tts.duration import Durations
from tadicodec.tts.llama import Llama, LlamaShape, SpeakingLlama
from tadicodec.tts.stabilisers import PRESETS, attention_name, shrink_gradient, use_deep_norm
from tadicodec.tts.vocabulary import BYTE_VALUES, Vocabulary, byte_vocabulary

EMBEDDING = "embed_tokens.weight"
LARGEST = 1 << 31  # of other whole numbers in a language model's configuration
VECTOR_STD = 0.02  # as transformers initialises the other vectors; larger ones would begin with sure, wrong choices


@dataclass(frozen=True)
class ArConfig:
    """The shape of an autoregressive model of our own layout.

    Raises:
        InputError: a value out of range.
    """

    transformers: dict[str, Any] = field(default_factory=dict)  # the configuration of a causal LM, with its model_type
    codebook_size: int = 2**CODE_BITS
    code_features: int = 512  # width of the code vectors' network
    duration_size: int = 96  # width of the network that says how long text takes
    deep_norm: str = ""  # "glm" or "deepnet": post-norm blocks that many layers do not make diverge; "": pre-norm
    float32_softmax: bool = False  # attention's, with scores that fit float16

    def __post_init__(self) -> None:
        if not isinstance(self.transformers, dict) or not isinstance(self.transformers.get("model_type"), str):
            raise InputError(
                'config: ar.transformers is a causal LM\'s configuration with its model_type, such as "llama"'
            )
        check_shape(self.transformers)
        require_sizes("ar", self, 1 << WIDEST_CODE, "codebook_size", least=2)
        require_sizes("ar", self, WIDEST, "code_features", "duration_size")
        if self.codebook_size & (self.codebook_size - 1):
            raise InputError("config: ar.codebook_size is a power of two")
        if self.deep_norm not in ("", *PRESETS):
            raise InputError(f"config: ar.deep_norm is one of {', '.join(PRESETS)}, or empty")

    @property
    def llama(self) -> LlamaShape | None:
        """The shape of a plain Llama; None for everything else, which transformers computes."""
        return None if self.deep_norm or self.float32_softmax else LlamaShape.of(self.transformers)


def build_lm(config: ArConfig, vocabulary: int) -> Any:
    """A causal LM of transformers with random weights. Raises InputError for a configuration it refuses."""
    lm = build_plain(config.transformers, vocabulary, attention_name(config.float32_softmax))
    if not hasattr(lm.base_model, "embed_tokens") or not hasattr(lm.base_model, "rotary_emb"):
        raise InputError("config: ar.transformers needs a model with rotary positions, such as llama, qwen3 or phi3")
    if config.deep_norm:
        use_deep_norm(lm, PRESETS[config.deep_norm])
    return lm


def check_shape(values: dict[str, Any]) -> None:
    """Raise InputError for sizes of a causal language model that nobody builds: they would overflow or never end."""
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"config: ar.transformers {name} must be finite, not {value}")
        most = MOST_LAYERS if "layers" in name else WIDEST if name.endswith(("size", "dim", "heads")) else LARGEST
        if type(value) is int and abs(value) > most:
            raise InputError(f"config: ar.transformers {name} must be at most {most}, not {value}")


def build_plain(values: dict[str, Any], vocabulary: int, attention: str) -> Any:
    """A causal language model of transformers with these values of its configuration, this vocabulary and this kind of
    attention, with random weights. Raises InputError for values that it refuses."""
    need("transformers", "an autoregressive model")
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {key: value for key, value in values.items() if key != "model_type"}
    special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    fixed = {"vocab_size": vocabulary, "tie_word_embeddings": True, "attn_implementation": attention}
    try:
        config = AutoConfig.for_model(values["model_type"], **{**special, **shape, **fixed})
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    except (StrictDataclassError, ValueError, TypeError, KeyError, ZeroDivisionError, AttributeError) as error:
        raise InputError(f"config: transformers cannot build this language model: {reason(error)}") from error


class SpeechLM(nn.Module):
    """An autoregressive model of our own layout.

    `lm` holds the blocks and the vectors of bytes, start and end; `codes` computes those of codes from their bits.
    Input and output vectors are the same.

    inference: the blocks of a plain Llama are this package's own, so that transformers need not be imported.
    """

    def __init__(self, config: ArConfig, inference: bool = False) -> None:
        super().__init__()
        self.config, self.vocabulary = config, byte_vocabulary(config.codebook_size)
        shape = config.llama if inference else None
        self.lm = build_lm(config, BYTE_VALUES + 2).base_model if shape is None else Llama(shape, BYTE_VALUES + 2)
        width = self.lm.get_input_embeddings().embedding_dim
        self.codes = CodeTable(config.codebook_size, width, config.code_features, VECTOR_STD)
        self.duration = Durations(BYTE_VALUES, config.duration_size)
        self.embedding_gradient = 1.0  # share of it that reaches the input vectors; training sets it

    def table(self) -> Tensor:
        """The vectors of the whole vocabulary, [vocabulary, H]."""
        return torch.cat([self.lm.get_input_embeddings().weight, self.codes()])

    def forward(self, ids: Tensor, positions: Tensor, mask: Tensor, spoken: Tensor, blank: Tensor) -> Tensor:
        """Logits [n, codes + 1] (the end comes last) of what follows the n places where bool spoken [B, S] holds.

        ids, positions, mask [B, S]: what is read, where it stands, and whether it is there. blank bool [B, S]: places
        whose own vector is hidden from the model.
        """
        table = self.table()
        vectors = shrink_gradient(F.embedding(ids, table), self.embedding_gradient)
        vectors = vectors.masked_fill(blank[..., None], 0.0)
        if isinstance(self.lm, Llama):
            hidden = self.lm(vectors, positions, mask.bool())[spoken]
        else:
            given = {"attention_mask": mask, "position_ids": positions, "use_cache": False}
            hidden = self.lm(inputs_embeds=vectors, **given).last_hidden_state[spoken]
        speech = torch.cat([table[self.vocabulary.codes[0] :], table[self.vocabulary.ends[0]][None]])
        return F.linear(hidden, speech.to(hidden.dtype))

    @torch.no_grad()
    def expanded(self) -> Any:
        """The same model with a plain table of vectors and a `generate` as transformers' models have."""
        if isinstance(self.lm, Llama):
            return SpeakingLlama(self.lm, self.table()).eval()
        lm = build_lm(self.config, self.vocabulary.size)
        restore(lm.base_model, describe(self.lm))
        lm.base_model.load_state_dict(self.lm.state_dict() | {EMBEDDING: self.table()})
        lm.tie_weights()
        return lm.to(self.table().device, self.table().dtype).eval().requires_grad_(False)


class ExtendedLM(nn.Module):
    """A causal language model of transformers whose tables were extended by codes: pretrained folders and the published
    models."""

    def __init__(self, lm: Any, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.lm, self.vocabulary = lm, vocabulary
        tied = getattr(lm, "_tied_weights_keys", None) if lm.config.tie_word_embeddings else None
        self.tied = dict(tied) if isinstance(tied, dict) else {}
        self.register_state_dict_post_hook(drop_tied)  # files hold every tensor once
        self.register_load_state_dict_pre_hook(fill_tied)

    def forward(self, ids: Tensor, positions: Tensor, mask: Tensor, spoken: Tensor, blank: Tensor) -> Tensor:
        """As `SpeechLM.forward`. Hidden places are not attended to, because every model embeds in its own way."""
        logits = self.lm(input_ids=ids, attention_mask=mask & ~blank, position_ids=positions, use_cache=False).logits
        columns = torch.cat([self.vocabulary.entries, torch.tensor(self.vocabulary.ends[:1])])
        return logits[spoken][:, columns.to(ids.device)]

    def expanded(self) -> Any:
        """The model itself, which has a plain table and a `generate`."""
        return self.lm


def drop_tied(module: ExtendedLM, tensors: dict[str, Tensor], prefix: str, _: Any) -> None:
    """A hook on saving: leave out tensors that are others under a second name."""
    for name in module.tied:
        tensors.pop(f"{prefix}lm.{name}", None)


def fill_tied(module: ExtendedLM, tensors: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """A hook on loading: put back what `drop_tied` left out."""
    for name, source in module.tied.items():
        if f"{prefix}lm.{source}" in tensors:
            tensors.setdefault(f"{prefix}lm.{name}", tensors[f"{prefix}lm.{source}"])


def lay_out(vocabulary: Vocabulary, text: Tensor, codes: Tensor, starts: Tensor | None) -> tuple[Tensor, Tensor]:
    """One utterance as the model reads it, without its end.

    text [L], codes [T] -> ids [L + 1 + T] and their positions, in tokens of speech where starts [L] are given,
    otherwise counted from 0.
    """
    ids = torch.cat([text, torch.tensor([vocabulary.start]), vocabulary.entries[codes]])
    if starts is None:
        return ids, torch.arange(len(ids))
    return ids, torch.cat([starts.float(), torch.arange(-1, len(codes)).float()])
