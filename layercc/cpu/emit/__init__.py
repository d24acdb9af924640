"""Emission: jobs become kernel calls. Each family of jobs has a file of the same name, which
picks kernels, packs weights and splits tasks."""
