"""What runs a compiled model: kernel cache, native code, threads."""
