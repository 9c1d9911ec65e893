"""Teach any causal language model of transformers to speak, on a token corpus, with transformers' own Trainer.

python recipes/own_lm/train.py tokens Qwen/Qwen2.5-0.5B runs/own_lm --say "Good morning." good_morning.wav
"""

from __future__ import annotations

import argparse

import datasets
import soundfile
import torch
from transformers import Trainer, TrainingArguments

from tadicodec import Codec, InputError
from tadicodec.data.shards import TokenCorpus
from tadicodec.guards.pretrained import load_network, load_pretrained
from tadicodec.hf import SpeechCollator, add_speech_tokens, generate_speech

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("corpus", help="folder made by `tadicodec tokenize`")
parser.add_argument("base", help="a causal language model: a folder or a Hugging Face id")
parser.add_argument("out", help="folder for the model")
parser.add_argument("--model", help="the codec that made the tokens (default: the bundled one)")
parser.add_argument("--steps", type=int, default=1000)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--lr", type=float, default=3e-4)
parser.add_argument("--say", nargs=2, metavar=("TEXT", "WAV"), help="speak with the model when it is trained")


def main() -> None:
    args = parser.parse_args()
    codec = Codec.from_pretrained(args.model)
    found = TokenCorpus(args.corpus, "train")  # refuses a corpus that is not whole
    if found.codec != codec.weights:
        raise InputError(f"{args.corpus}: tokens of codec {found.codec_name} ({found.codec}); name it with --model")
    rows = datasets.load_dataset("parquet", data_files=f"{args.corpus}/*.parquet", split="train")
    rows = rows.filter(lambda split: split == "train", input_columns="split")

    tokenizer = load_pretrained("AutoTokenizer", args.base)
    model, _ = load_network("AutoModelForCausalLM", args.base, dtype=torch.float32)
    vocabulary = add_speech_tokens(tokenizer, model, codec.config.autoencoder.codebook_size)

    settings = TrainingArguments(
        output_dir=args.out,
        max_steps=args.steps,
        per_device_train_batch_size=args.batch,
        learning_rate=args.lr,
        warmup_steps=min(100, args.steps // 10),
        logging_steps=max(args.steps // 20, 1),
        save_strategy="no",
        remove_unused_columns=False,
        report_to="none",
    )
    Trainer(model, settings, SpeechCollator(tokenizer, vocabulary), rows).train()
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    if args.say:
        wave = generate_speech(model.eval(), tokenizer, vocabulary, codec, args.say[0])
        soundfile.write(args.say[1], wave.numpy(), codec.sample_rate)


if __name__ == "__main__":
    main()
