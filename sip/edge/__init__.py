"""The Kamailio edge: template, process, event socket, RPC."""
