"""The kinds of files that `fuzz.py` damages, and how this package reads each."""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz_mutations import bytes_of, document_of, odd, tensors_of
from safetensors.torch import load_file, save

from tadicodec.checkpoint import load_config, load_networks
from tadicodec.config import AutoencoderConfig, CodecConfig, InferenceConfig, SolverConfig, VocoderConfig
from tadicodec.data.feature_maker import prepare_features
from tadicodec.data.features import Features
from tadicodec.data.manifest import read_manifest
from tadicodec.data.shard_writer import Mark, write_shard
from tadicodec.data.shards import TokenCorpus, arrow, schema
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.vocoder import Vocoder
from tadicodec.speech import Prompt, Speech
from tadicodec.tdc.container import FIXED, MAGIC, VERSION, Checksum, from_bytes, to_bytes
from tadicodec.tdc.saved_prompt import prompt_from_bytes, prompt_to_bytes
from tadicodec.tdc.token_stream import TokenStream
from tadicodec.tts.folder import build_network, load_tts, save_tts
from tadicodec.tts.model_config import parse_tts_config, read_tts_config

Attempt = Callable[[random.Random], None]
SAMPLES = Path(__file__).parents[1] / "samples"
MASKED = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "cond_codebook_size": 64, "phone_vocab_size": 256}
LLAMA = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
SPEAKING = {
    "masked": {"engine": "masked", "text": "bytes", "model": {"mgm": {**MASKED, "duration_size": 32}}},
    "ar": {
        "engine": "ar",
        "text": "bytes",
        "model": {
            "ar": {
                "transformers": {**LLAMA, "num_attention_heads": 2},
                "codebook_size": 64,
                "code_features": 8,
                "duration_size": 32,
            }
        },
    },
}


def prompt() -> Prompt:
    return Prompt(torch.zeros(8 * 6, 128), torch.arange(6), "Words.", "0123456789abcdef")


def token_files(_: Path) -> Attempt:
    """.tdc, by byte and by field with a right checksum, whole and as a stream."""
    codes = torch.arange(10)[None]
    speech = Speech(codes, torch.tensor([10]), torch.tensor([38000]), ("What is said.",), "model", "0123")
    plain, carrying = to_bytes(speech), to_bytes(speech, prompt())

    def attempt(rng: random.Random) -> None:
        data = rng.choice((plain, carrying))
        if rng.random() < 0.4:
            data = with_header(data, rng)
        data = bytes_of(data, rng) if rng.random() < 0.5 else data
        if rng.random() < 0.3:
            data = data[:-4] + Checksum(data[:-4]).bytes()
        if rng.random() < 0.3:
            list(TokenStream(io.BytesIO(data)).codes())
            return
        file = from_bytes(data)
        assert len(file.speech) == 1
        if file.prompt_data:
            assert file.prompt.hash

    return attempt


def squeezed_files(folder: Path) -> Attempt:
    """Squeezed .tdc files, by tiny models and by plain symbols: what is read is what was written."""
    config = parse_tts_config({**SPEAKING["ar"], "codec": "0123"})
    network = build_network(config, inference=True)
    save_tts(folder / "coder", config, network)
    codes = torch.arange(24)[None] % 64
    about = (torch.tensor([24]), torch.tensor([24 * 3840]))
    texts = ("Said: æ, and again.", "no", None)
    files = []
    for text in texts:
        for weights in ("0123", "4567"):
            speech = Speech(codes, *about, (text,), "model", weights)
            for kept in (None, prompt()):
                files.append((to_bytes(speech, kept, True, folder / "coder"), speech))

    def attempt(rng: random.Random) -> None:
        data, speech = rng.choice(files)
        data = bytes_of(data, rng)
        if rng.random() < 0.3:
            stream = TokenStream(io.BytesIO(data), folder / "coder")
            text, found = stream.header.text, torch.cat(list(stream.codes()) or [codes[0, :0]])
        else:
            file = from_bytes(data, folder / "coder")
            text, found = file.header.text, file.speech.codes[0]
        assert text == speech.text[0] and torch.equal(found, codes[0])

    return attempt


def with_header(data: bytes, rng: random.Random) -> bytes:
    size = FIXED.unpack_from(data)[2]
    head = document_of(json.loads(data[FIXED.size : FIXED.size + size]), rng).encode("utf-8", "surrogatepass")
    body = FIXED.pack(MAGIC, VERSION, len(head)) + head + data[FIXED.size + size : -4]
    return body + Checksum(body).bytes()


def saved_prompts(folder: Path) -> Attempt:
    whole = prompt_to_bytes(prompt())
    (folder / "whole").write_bytes(whole)
    tensors = load_file(folder / "whole")

    def attempt(rng: random.Random) -> None:
        data = bytes_of(whole, rng) if rng.random() < 0.4 else save(tensors_of(tensors, rng))
        assert prompt_from_bytes(data).hash

    return attempt


def configurations(folder: Path) -> Attempt:
    """config.json of codecs, published and ours, and of both speech language models."""
    codec = tiny_config().to_dict()
    published = {"preprocess": codec["preprocess"], "model": {"tadicodec": {}, "vocos": {}}}
    path = folder / "config.json"

    def attempt(rng: random.Random) -> None:
        kind = rng.randrange(4)
        document = (codec, published, SPEAKING["masked"], SPEAKING["ar"])[kind]
        path.write_bytes(document_of(document, rng).encode("utf-8", "surrogatepass"))
        load_config(folder) if kind < 2 else read_tts_config(path)

    return attempt


def tiny_config() -> CodecConfig:
    shape = {"hidden_size": 16, "encoder_num_layers": 1, "decoder_num_layers": 1, "num_heads": 2, "patch_size": 2}
    more = {"text_vocab_size": 256, "prior_layers": 1, "transcriber_layers": 1, "text_layers": 1, "aligner_layers": 1}
    return CodecConfig(
        name="tiny",
        text_tokenizer="bytes",
        autoencoder=AutoencoderConfig(**shape, **more),
        vocoder=VocoderConfig(dim=8, intermediate_dim=8, num_layers=1),
        inference=InferenceConfig(solver=SolverConfig(steps=2)),
    )


def model_folders(folder: Path) -> Attempt:
    """A codec's or a speech model's folder with a damaged configuration or damaged weights."""
    config = tiny_config()
    kinds: list[tuple[Any, dict[str, dict[str, torch.Tensor]]]] = [
        (config.to_dict(), {"model": Autoencoder(config.autoencoder).state_dict(), "vocoder/model": vocoder_of(config)})
    ]
    for document in SPEAKING.values():
        from tadicodec.tts.folder import build_network

        network = build_network(parse_tts_config(document), inference=True)
        kinds.append((document, {"model": network.state_dict()}))
    (folder / "vocoder").mkdir()

    def attempt(rng: random.Random) -> None:
        document, weights = rng.choice(kinds)
        damaged = rng.choice(("config.json", *weights))
        text = document_of(document, rng) if damaged == "config.json" else json.dumps(document)
        (folder / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
        for name, tensors in weights.items():
            data = save(tensors_of(tensors, rng) if name == damaged else tensors)
            if name == damaged and rng.random() < 0.4:
                data = bytes_of(data, rng)
            (folder / f"{name}.safetensors").write_bytes(data)
        if document is kinds[0][0]:
            load_networks(folder, load_config(folder))
        else:
            load_tts(folder)

    return attempt


def vocoder_of(config: CodecConfig) -> dict[str, torch.Tensor]:
    return Vocoder(config.vocoder).state_dict()


def token_corpora(folder: Path) -> Attempt:
    row = {"id": "a", "speaker": "s", "text": "hi", "split": "train", "codes": [1, 2, 3], "seconds": 0.5}
    rows = [{**row, "codec": "x", "starts": [0.0, 1.0]}, {**row, "id": "b", "codec": "x", "starts": None}]
    path = folder / "00000.parquet"
    write_shard(path, rows, Mark("mark", shards=1))
    whole, metadata = path.read_bytes(), arrow().parquet.read_schema(path).metadata

    def attempt(rng: random.Random) -> None:
        if rng.random() < 0.5:
            path.write_bytes(bytes_of(whole, rng))
        else:
            write_odd_table(path, rows, metadata, rng)
        corpus = TokenCorpus(folder, "train")
        assert [corpus[i].text for i in range(len(corpus))] and corpus.top_code() >= 0

    return attempt


def write_odd_table(path: Path, rows: list[dict[str, Any]], metadata: dict[bytes, bytes], rng: random.Random) -> None:
    """A shard with a column of another type, without one, with nulls, or of another length."""
    pa = arrow()
    name = rng.choice(schema().names)
    value = rng.choice((None, 1, -1, 2**40, 1.5, float("nan"), "x", "\x1b[1m", [1], [-5], [2**30], [None], ["a"], [[]]))
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    columns[name] = [value] * len(rows) if rng.random() < 0.7 else [columns[name][0], value]
    if rng.random() < 0.15:
        del columns[name]
    try:
        table = pa.table(columns)
    except (pa.ArrowException, OverflowError):  # not even a table
        table = pa.table({"id": ["a"]})
    pa.parquet.write_table(table.replace_schema_metadata(metadata), path)


def features(folder: Path) -> Attempt:
    """The index, and the arrays it speaks of."""
    line = json.dumps({"id": "a", "audio": str(SAMPLES / "austen_2.flac"), "text": "hi", "speaker": "s"})
    (folder / "manifest.jsonl").write_text(line + "\n")
    prepare_features(folder / "manifest.jsonl", folder / "out")
    out = folder / "out"
    index = json.loads((out / "index.jsonl").read_text())
    arrays = {name: (out / f"00000.{name}.npy").read_bytes() for name in ("mel", "wave")}

    def attempt(rng: random.Random) -> None:
        damaged = rng.choice(("index", "index", "mel", "wave"))
        text = document_of(index, rng) if damaged == "index" else json.dumps(index)
        (out / "index.jsonl").write_bytes(text.encode("utf-8", "surrogatepass") + b"\n")
        for name, data in arrays.items():
            changed = bytes_of(data[:256], rng) + data[256 : rng.choice((len(data), 300))] if name == damaged else data
            (out / f"00000.{name}.npy").write_bytes(changed)
        found = Features(out, "train")
        for clip in found.clips:
            assert len(found.mel(clip)) and len(found.wave(clip, 0, 1, 480))

    return attempt


def manifests(folder: Path) -> Attempt:
    row = {"id": "a", "audio": str(SAMPLES / "austen_1.flac"), "text": "hi", "speaker": "s", "seconds": 7.1}
    row |= {"sample_rate": 16000, "split": "train", "source": "x"}
    path = folder / "manifest.jsonl"

    def attempt(rng: random.Random) -> None:
        lines = [json.dumps({**row, "id": "b"}), document_of(row, rng)]
        rng.shuffle(lines)
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        assert read_manifest(path)

    return attempt


def audio(folder: Path) -> Attempt:
    """The beginnings of wav, flac, ogg and mp3 files, where their headers are."""
    from tadicodec.audio.files import audio_bytes, inspect_audio, read_audio

    wave = (0.1 * np.sin(np.arange(24000) / 20)).astype(np.float32)
    whole = {end: audio_bytes(wave, 24000, end) for end in (".wav", ".flac", ".ogg", ".mp3")}

    def attempt(rng: random.Random) -> None:
        end, data = rng.choice(list(whole.items()))
        head = rng.choice((64, 256, len(data)))
        changed = bytes_of(data[:head], rng) + data[head:]
        if end == ".wav" and rng.random() < 0.3:
            place = rng.choice((4, 16, 20, 22, 24, 28, 32, 34, 40))
            number = odd(rng)
            changed = bytearray(data)
            changed[place : place + 4] = struct.pack("<I", int(number) % 2**32 if type(number) is int else 0)
        path = folder / f"a{end}"
        path.write_bytes(changed)
        inspect_audio(path)
        read_audio(path)

    return attempt


SUBJECTS: dict[str, tuple[Callable[[Path], Attempt], int]] = {  # how many of 100
    "token files": (token_files, 26),
    "squeezed files": (squeezed_files, 4),
    "saved prompts": (saved_prompts, 15),
    "configurations": (configurations, 25),
    "model folders": (model_folders, 5),
    "token corpora": (token_corpora, 4),
    "features": (features, 5),
    "manifests": (manifests, 11),
    "audio": (audio, 5),
}
