"""Mail in and out: texts that are ordered by mail, and notices that tell nothing."""
