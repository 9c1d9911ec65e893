"""Where the waves of an evaluation come from: the codec, the speech models, recordings, other codecs."""
