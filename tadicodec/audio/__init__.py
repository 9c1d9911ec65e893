"""Files, sample rates and the mel spectrogram."""
