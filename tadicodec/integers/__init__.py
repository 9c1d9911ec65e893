"""Integer weights: rounding, packing, and the layers that loading a quantized model needs. The methods that make them
are in `quant`."""
