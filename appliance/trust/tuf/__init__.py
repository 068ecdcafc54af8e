"""Trust roots on media: a TUF 1.0 repository in a folder, and a client that believes no clock. Owns `tuf`."""
