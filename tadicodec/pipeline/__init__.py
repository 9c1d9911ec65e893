"""Between waves and the model: cutting long audio, batching, encoding, decoding and streaming."""
