"""Capture, encode, seal, store, open, play: the key hierarchy and the sealed files."""
