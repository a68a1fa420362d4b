"""What happens in the house, as it happens: for whoever listens and may know. Nothing is kept of it."""
