"""Text to codes in a prompt's voice: one language model that goes from left to right, one that fills in masks."""
