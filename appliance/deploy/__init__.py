"""When and where the servers of a site run: their files, certificates and secrets, start, readiness and stop."""
