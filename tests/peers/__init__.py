"""Real clients and servers that are not ours, driven by tests, and the ears that judge what they hear."""
