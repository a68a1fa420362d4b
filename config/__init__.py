"""Typed settings from one TOML file, and the checked data that ships with the product."""
