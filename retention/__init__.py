"""What may be recorded, logged or deleted, and why: the policy model, pure decisions, the one deletion gate."""
