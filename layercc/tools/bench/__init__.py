"""What `layercc bench` and `lc.benchmark` are made of."""
