"""Lowering of attention and rotary position embeddings."""
