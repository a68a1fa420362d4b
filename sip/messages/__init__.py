"""Texts by SIP MESSAGE (RFC 3428): from phones and trunks, and to them. What becomes of a text is decided elsewhere."""
