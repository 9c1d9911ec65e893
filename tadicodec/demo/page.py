"""The page: two tabs, their controls, and what their buttons do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
import torch

from tadicodec.codec import Codec
from tadicodec.demo.broadcast import Station
from tadicodec.demo.reconstruct_tab import hear, picture_html, read
from tadicodec.errors import InputError
from tadicodec.tts.synthesize import Options, Speaker

TITLE = "tadicodec: speech at 6.25 tokens a second"
MOST_STEPS = 16
MOST_LETTERS = 1000
KEPT_SECONDS = 3600  # recordings are deleted after that
STYLE = """
.picture { overflow-x: auto; } .picture img { max-width: none; }
footer { display: none !important; }
.live audio { width: 100%; }
#summary td { white-space: nowrap; } #summary td:first-child { white-space: normal; }
"""
HELLO = "Good morning. This sentence was never recorded: it was written, and spoken in your voice."


def build_page(codec: Codec, speakers: dict[str, Speaker], station: Station) -> gr.Blocks:
    """speakers: engines by name, the first one chosen at first."""
    steps = codec.config.inference.solver.steps
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as page:
        gr.Markdown(f"# {TITLE}\nEverything happens on this machine; recordings are deleted after an hour.")
        with gr.Tab("Hear it from its tokens"):
            recording = reconstruct_tab(codec, steps)
        with gr.Tab("Speak a text"):
            speak_tab(codec, speakers, station, recording, steps)
    page.queue(default_concurrency_limit=1, max_size=16)
    return page


def sound_input(label: str, name: str) -> gr.Audio:
    """Where a recording is made or dropped; `name` is its id in the page."""
    return gr.Audio(sources=["microphone", "upload"], type="filepath", label=label, elem_id=name, buttons=["download"])


def sound_output(label: str, name: str) -> gr.Audio:
    """Where a sound is played; `name` is its id in the page."""
    return gr.Audio(label=label, interactive=False, elem_id=name, buttons=["download"])


def controls(prefix: str, steps: int) -> tuple[gr.Slider, gr.Slider]:
    """Steps and seed of the decoder."""
    with gr.Row():
        return (
            gr.Slider(1, MOST_STEPS, value=steps, step=1, label="Steps", elem_id=f"{prefix}-steps"),
            gr.Slider(0, 99, value=0, step=1, label="Seed", elem_id=f"{prefix}-seed"),
        )


def reconstruct_tab(codec: Codec, usual: int) -> gr.Audio:
    """Recording in; the sound of its tokens, a picture and the bits out. Returns the recording's component."""
    with gr.Row():
        with gr.Column():
            recording = sound_input("Your speech", "recording")
            text = gr.Textbox(label="What is said (empty: what the model hears)", elem_id="words", max_length=2000)
            with gr.Accordion("Voice for the decoder, optional", open=False):
                voice = sound_input("A few seconds of the same speaker", "decoder-voice")
            steps, seed = controls("hear", usual)
            button = gr.Button("Encode and decode", variant="primary", elem_id="hear")
        with gr.Column():
            original = gr.Audio(label="Original", interactive=False, elem_id="original", buttons=["download"])
            decoded = gr.Audio(
                label="After 6.25 tokens a second", interactive=False, elem_id="decoded", buttons=["download"]
            )
            summary = gr.Markdown(elem_id="summary")
    picture = gr.HTML(elem_id="picture")

    def run(path: str | None, words: str, prompt: str | None, count: float, number: float) -> list[Any]:
        try:
            found = hear(codec, path, words or "", prompt, int(count), int(number))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None
        rate = found.sample_rate
        sounds = [(rate, to_16_bits(wave)) for wave in (found.original, found.decoded)]
        return [*sounds, found.summary(), picture_html(found.picture)]

    button.click(
        run, [recording, text, voice, steps, seed], [original, decoded, summary, picture], api_visibility="private"
    )
    return recording


def speak_tab(codec: Codec, speakers: dict[str, Speaker], station: Station, recording: gr.Audio, usual: int) -> None:
    """Text and voice in; sound out, sentence by sentence while it is made."""
    with gr.Row():
        with gr.Column():
            text = gr.Textbox(HELLO, label="Text", lines=3, elem_id="text", max_length=MOST_LETTERS)
            voice = sound_input("Voice (empty: your speech)", "voice")
            engine = gr.Radio(list(speakers), value=next(iter(speakers)), label="Engine", elem_id="engine")
            steps, seed = controls("speak", usual)
            button = gr.Button("Speak", variant="primary", elem_id="speak")
        with gr.Column():
            live = gr.HTML(elem_id="live", elem_classes="live")
            spoken = sound_output("Spoken", "spoken")
            summary = gr.Markdown(elem_id="spoken-summary")

    def run(
        words: str, own: str | None, first: str | None, name: str, count: float, number: float
    ) -> Iterator[list[Any]]:
        try:
            wave, _ = read(own or first, codec.sample_rate)
            speaker = speakers[name]
            prompt = speaker.prompt(wave, codec.sample_rate)
            generator = torch.Generator().manual_seed(int(number))
            pieces = speaker.stream(words or "", prompt, Options(steps=int(count)), generator)
            yield from broadcast(station, codec.sample_rate, pieces)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None

    outputs = [live, spoken, summary]
    button.click(run, [text, voice, recording, engine, steps, seed], outputs, api_visibility="private")


def broadcast(station: Station, sample_rate: int, pieces: Iterator[torch.Tensor]) -> Iterator[list[Any]]:
    """Updates of the page: a player as soon as the first sentence is there, at the end the whole."""
    began = time.monotonic()
    waves = [next(pieces).numpy()]
    waited = time.monotonic() - began
    name, sound = station.open(sample_rate)
    try:
        sound.add(waves[0])
        yield [f'<audio controls autoplay src="live/{name}"></audio>', None, "speaking ..."]
        for wave in pieces:
            waves.append(wave.numpy())
            sound.add(waves[-1])
    finally:
        sound.finish()
    whole = np.concatenate(waves)
    took, seconds = time.monotonic() - began, len(whole) / sample_rate
    said = f"{seconds:.1f} s of speech in {took:.1f} s; the first sound came after {waited:.1f} s"
    yield [gr.skip(), (sample_rate, to_16_bits(whole)), said]


def to_16_bits(wave: np.ndarray) -> np.ndarray:
    """Samples [N] in [-1, 1], clipped, as integers of 16 bits [N]."""
    return np.round(np.clip(wave, -1.0, 1.0) * 32767).astype(np.int16)


def theme() -> gr.Theme:
    """Fonts of the machine: none is fetched."""
    return gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
