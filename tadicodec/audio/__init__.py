"""Recordings: files of many kinds, blocks of any length, sample rates, levels, and the mel spectrogram."""
