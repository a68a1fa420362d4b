"""Conversation workers: zygote, pool, protocol, and the pjsua2 child."""
