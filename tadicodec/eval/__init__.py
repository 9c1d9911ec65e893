"""Evaluation: word errors, speaker similarity, naturalness and bits, with the protocols others use."""
