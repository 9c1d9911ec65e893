"""The network: tensors in, tensors out, nothing but torch."""
