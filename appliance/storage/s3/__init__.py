"""Objects on an S3 server; the only owner of its client library."""
