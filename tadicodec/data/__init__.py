"""Manifests, corpora of every kind, prepared features and batches: everything between audio files and a training
step."""
