"""From a transcript to the ids the decoder reads."""
