"""What happens to speech before anyone encodes it: rooms, noise, microphones, levels, narrow bands, telephones, codecs.

Everything is done to waves [N] at 24 kHz, with numpy alone. The encoder hears the result, the decoder is still asked
for the clean speech.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RATE = 24000
FULL_SCALE = 1.0
MU = 255  # of G.711
CODER_SIZE = 512  # samples of a coder's frame, 21 ms

Wave = np.ndarray
Damage = Callable[[Wave, np.random.Generator], Wave]


def damaged(wave: Wave, draw: np.random.Generator) -> Wave:
    """[N] as a random room, surrounding, microphone and line deliver it [N]: each with probability 0.4, in the order in
    which sound meets them."""
    chain: list[Damage] = [
        lambda x, r: room(x, r, seconds=r.uniform(0.15, 0.9), below=r.uniform(-3, 15)),
        lambda x, r: noise(x, r, below=r.uniform(3, 35), tilt=r.uniform(0, 2)),
        lambda x, r: coloured(x, r, most=r.uniform(3, 15)),
        lambda x, r: level(x, r.uniform(-35, 6)),
        lambda x, r: band(x, r.uniform(0, 400), r.uniform(2500, 9000)),
        lambda x, r: companded(x) if r.random() < 0.5 else coded(x, below=r.uniform(12, 30)),
    ]
    for step in chain:
        if draw.random() < 0.4:
            wave = step(wave, draw)
    return wave.astype(np.float32)


KINDS: dict[str, Damage] = {  # fixed ones, to validate with
    "soft": lambda x, r: level(x, -30),
    "noisy": lambda x, r: noise(x, r, below=15, tilt=1),
    "room": lambda x, r: room(x, r, seconds=0.5, below=3),
    "telephone": lambda x, r: telephone(x),
}


def room(wave: Wave, draw: np.random.Generator, *, seconds: float, below: float) -> Wave:
    """Adds a tail that decays by 60 dB in `seconds`, `below` dB under the direct sound."""
    time = np.arange(int(seconds * RATE)) / RATE
    tail = draw.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    tail[: RATE // 200] = 0  # 5 ms until the first wall
    size = 1 << (len(wave) + len(tail) - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(tail, size), size)[: len(wave)]
    return wave + wet * (rms(wave) / rms(wet) * decibel(-below))


def noise(wave: Wave, draw: np.random.Generator, *, below: float, tilt: float) -> Wave:
    """Adds noise `below` dB under the speech, whose power falls with frequency to the `tilt` (0 white, 1 pink, 2 brown)
    and swells and fades by some dB within a second or two."""
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    spectrum = draw.standard_normal((2, len(hertz))) * np.maximum(hertz, 50.0) ** (-tilt / 2)
    sound = np.fft.irfft(spectrum[0] + 1j * spectrum[1], len(wave))
    knots = draw.uniform(-3, 3, len(wave) // RATE + 2)
    swell = np.interp(np.arange(len(wave)) / RATE, np.arange(len(knots)), knots)
    sound = sound * decibel(swell)
    return wave + sound * (rms(wave) / rms(sound) * decibel(-below))


def coloured(wave: Wave, draw: np.random.Generator, *, most: float) -> Wave:
    """[N] by a microphone that is up to `most` dB too loud or too soft at each of 8 frequencies, 60 Hz to 12 kHz in
    equal ratios, and what lies on straight lines between them."""
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    knots = np.geomspace(60, RATE / 2, 8)
    gain = np.interp(np.log(np.maximum(hertz, knots[0])), np.log(knots), draw.uniform(-most, most, len(knots)))
    return np.fft.irfft(np.fft.rfft(wave) * decibel(gain), len(wave))


def level(wave: Wave, gain: float) -> Wave:
    """Louder or softer by `gain` dB; what exceeds full scale is clipped."""
    return (wave * decibel(gain)).clip(-FULL_SCALE, FULL_SCALE)


def band(wave: Wave, low: float, high: float) -> Wave:
    """Nothing outside of low to high Hz; the edges are 100 Hz wide."""
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    inside = np.clip((hertz - low) / 100 + 1, 0, 1) * np.clip((high - hertz) / 100 + 1, 0, 1)
    return np.fft.irfft(np.fft.rfft(wave) * inside, len(wave))


def companded(wave: Wave) -> Wave:
    """8 bits a sample, finer for soft sounds (mu-law of G.711)."""
    pressed = np.sign(wave) * np.log1p(MU * np.abs(wave).clip(max=1)) / np.log1p(MU)
    coarse = np.round(pressed * 127) / 127
    return np.sign(coarse) * np.expm1(np.abs(coarse) * np.log1p(MU)) / MU


def telephone(wave: Wave) -> Wave:
    """0.3 to 3.4 kHz with 8 bits a sample."""
    return band(companded(band(wave, 300, 3400)), 0, 4000)


def coded(wave: Wave, *, below: float) -> Wave:
    """What a transform coder short of bits leaves: of each 21 ms, the partials down to `below` dB under the loudest,
    their sizes in steps of 3 dB."""
    hop = CODER_SIZE // 2
    window = np.sin(np.pi * (np.arange(CODER_SIZE) + 0.5) / CODER_SIZE)
    padded = np.pad(wave, (hop, hop + -len(wave) % hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, CODER_SIZE)[::hop] * window
    spectrum = np.fft.rfft(frames)
    size = np.abs(spectrum) + 1e-9
    steps = 2 ** (np.round(2 * np.log2(size)) / 2) * (size > size.max(1, keepdims=True) * decibel(-below))
    halves = (np.fft.irfft(spectrum / size * steps) * window).reshape(len(frames), 2, hop)
    return (halves[1:, 0] + halves[:-1, 1]).ravel()[: len(wave)]


def resampled(wave: Wave, factor: float) -> Wave:
    """[N] -> about [N / factor], `factor` times as fast and as high: pitch and formants of another speaker."""
    size = max(round(len(wave) / factor / 480), 1) * 480
    spectrum = np.fft.rfft(wave)[: size // 2 + 1]
    return (np.fft.irfft(spectrum, size) * (size / len(wave))).astype(np.float32)


def rms(wave: Wave) -> float:
    """The root mean square of a wave [N]."""
    return float(np.sqrt(np.mean(np.square(wave)))) or 1.0


def decibel(gain: float | np.ndarray) -> float | np.ndarray:
    """Decibels as a factor of amplitude."""
    return 10 ** (gain / 20)
