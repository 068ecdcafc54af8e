"""The command line: parse, call, print, exit. Decisions live in the rooms below."""
