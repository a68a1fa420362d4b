"""Alerts: what is worth one (pure), who is told and how, and the desk that sees to it."""
