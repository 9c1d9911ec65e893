"""Quantization: six published methods on one set of primitives, for any network with Linear layers.

Vocabulary: `weight` [o, i] (out, in) · `groups` [o, G, g] the same numbers in the groups that share a scale · `scale`,
`zero` [o, G, 1] · `levels` the integers a weight is rounded to · `packed` those integers as bytes · `prepare` makes a
network trainable at few bits, `convert` leaves nothing but integers.
"""
