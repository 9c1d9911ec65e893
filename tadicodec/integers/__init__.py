"""Integer weights: grids, packing and the layers that loading a quantized model needs. Methods are in `quant`."""
