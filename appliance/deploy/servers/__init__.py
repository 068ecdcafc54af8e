"""The servers of a site on one machine: one module a server, and what starts, watches and stops them."""
