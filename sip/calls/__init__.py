"""Call control: the script of a call and the state machines under it."""
