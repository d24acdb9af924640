"""Emission: jobs become kernel calls. Each family of jobs has a file, which picks kernels, packs
weights and splits tasks. `layercc.cpu.programs` brings them all."""
