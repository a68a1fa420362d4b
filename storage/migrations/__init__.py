"""Schema steps, in order. Run by `storage.schema` at open; names are four digits, so that they sort."""
