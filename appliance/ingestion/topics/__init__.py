"""Kafka as a source: records of a topic into the lake, by the commit protocol."""
