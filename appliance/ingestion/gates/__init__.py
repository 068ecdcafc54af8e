"""Gates between stages: contracts of tables, compiled to one pass over a snapshot, with results kept in the lake."""
