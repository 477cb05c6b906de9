"""The SQLite file: connections, schema, transactions and wake-ups between processes."""
