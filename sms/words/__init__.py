"""What a text says, as far as a machine on this side has to know it: stop, what is set aside, one-time codes."""
