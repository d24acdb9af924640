"""Where the time of a compiled model goes: by kernel call, layer and kind of work."""
