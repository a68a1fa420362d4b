"""Ways out of the house and into it: SMPP, a modem, SIP MESSAGE."""
