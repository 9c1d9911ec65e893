"""Recordings as phones, browsers and cameras make them, written with PyAV."""

from __future__ import annotations

from pathlib import Path

import numpy as np

KINDS = {  # extension -> container, codec of the sound, sample rate
    "m4a": ("ipod", "aac", 44100),
    "mp4": ("mp4", "aac", 48000),
    "aac": ("adts", "aac", 44100),
    "webm": ("webm", "libopus", 48000),
    "wma": ("asf", "wmav2", 44100),
    "amr": ("amr", "libopencore_amrnb", 8000),
    "3gp": ("3gp", "aac", 16000),
    "mkv": ("matroska", "flac", 48000),
    "mov": ("mov", "pcm_s16le", 44100),
    "avi": ("avi", "mp3", 44100),
    "caf": ("caf", "alac", 44100),
}


def record(path: Path, wave: np.ndarray, picture: bool = False, channels: int = 1, **options: str) -> Path:
    """Write wave [N] at the rate of the extension's kind; `picture` makes it a film."""
    import av

    container, codec, rate = KINDS[path.suffix[1:]]
    layout = "stereo" if channels == 2 else "mono"
    with av.open(str(path), "w", format=container, options=options) as file:
        video = file.add_stream("mpeg4", rate=10) if picture else None
        sound = file.add_stream(codec, rate=rate, layout=layout)
        sound.bit_rate = 64_000 if codec != "libopencore_amrnb" else 12_200
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for _ in range(5):
                shot = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
                file.mux(video.encode(shot))
            file.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.stack([wave.astype(np.float32)] * channels), "fltp", layout)
        frame.sample_rate = rate
        frame.pts = 0
        convert = av.AudioResampler(sound.format, layout, rate, frame_size=sound.codec_context.frame_size or 1024)
        for piece in [*convert.resample(frame), *convert.resample(None)]:
            file.mux(sound.encode(piece))
        file.mux(sound.encode(None))
    return path
