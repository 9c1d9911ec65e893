"""What scores a wave: transcription and word errors, speaker similarity, naturalness."""
