"""What a corpus may be: manifest, folder, tar shards, Hugging Face dataset, lhotse cuts. All of them become
recordings."""
