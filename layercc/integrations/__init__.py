"""Other programs that run layercc: PyTorch's compiler."""
