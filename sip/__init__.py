"""Calls: the Kamailio edge, call control, and the conversation workers."""
