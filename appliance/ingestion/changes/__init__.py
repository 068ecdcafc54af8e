"""Change data capture: rows of a PostgreSQL database into typed tables, by Debezium in Kafka Connect."""
