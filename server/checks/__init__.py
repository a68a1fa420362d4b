"""What `beffroi doctor` looks at."""
