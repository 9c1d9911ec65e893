"""The codec as transformers knows audio tokenizers.

Importing this module tells transformers' Auto classes what "tadicodec" in a config.json means: `AutoConfig`,
`AutoModel`, `AutoModelForAudioTokenization` and `AutoFeatureExtractor` then load a model folder or an id of the hub.
Nothing else of this package imports it, so transformers is only needed by those who do.
"""

from __future__ import annotations

from tadicodec.checkpoint import find_model
from tadicodec.guards.extras import need

need("transformers", "tadicodec.hf")

from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForAudioTokenization  # noqa: E402

from tadicodec.hf.configuration import TadicodecConfig  # noqa: E402
from tadicodec.hf.feature_extraction import TadicodecFeatureExtractor  # noqa: E402
from tadicodec.hf.modeling import (  # noqa: E402
    TadicodecDecoderOutput,
    TadicodecEncoderOutput,
    TadicodecModel,
    TadicodecOutput,
)
from tadicodec.hf.speech_tokens import (  # noqa: E402
    SpeechCollator,
    SpeechVocabulary,
    add_speech_tokens,
    generate_speech,
)

BUNDLED = str(find_model(None))  # the folder of the model that comes with the package

__all__ = [
    "BUNDLED",
    "SpeechCollator",
    "SpeechVocabulary",
    "TadicodecConfig",
    "TadicodecDecoderOutput",
    "TadicodecEncoderOutput",
    "TadicodecFeatureExtractor",
    "TadicodecModel",
    "TadicodecOutput",
    "add_speech_tokens",
    "generate_speech",
]

AutoConfig.register(TadicodecConfig.model_type, TadicodecConfig, exist_ok=True)
AutoModel.register(TadicodecConfig, TadicodecModel, exist_ok=True)
AutoModelForAudioTokenization.register(TadicodecConfig, TadicodecModel, exist_ok=True)
AutoFeatureExtractor.register(TadicodecConfig, TadicodecFeatureExtractor, exist_ok=True)
