"""Puts the samples, before and after, beside the pages, so that they can be heard there."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
AUDIO = {"samples": "audio/before", "recipes/codec/after": "audio/after"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for folder, target in AUDIO.items():
        for path in sorted((ROOT / folder).glob("*.flac")):
            files.append(File.generated(config, f"{target}/{path.name}", abs_src_path=str(path)))
    return files
