"""Entropy coding of codes and text by language models in exact arithmetic: the same bits on every machine."""
