"""What happens is told to places that the configuration names: signed, without content, and to nobody else."""
