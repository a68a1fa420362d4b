"""The command line, the daemon, and the one place where all is wired."""
