"""Spool files and drops become table rows: decode, judge, commit; nothing is lost and nothing comes in twice."""
