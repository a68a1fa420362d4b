"""The command line, one module per subject: what can be typed, and how answers look. No rule of the house is here."""
