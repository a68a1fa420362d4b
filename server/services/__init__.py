"""What can be asked of the house, one module per subject: the only way to personal data, each look in the ledger.

Every function takes `(services, actor, ...)` and returns records. Command line, control socket and API call the same.
"""
