"""Token files (.tdc): the container, its header, 14-bit packing, saved prompts and reading while bytes arrive."""
