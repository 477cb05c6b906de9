"""What brokers and result backends of one kind share: the memory store and the SQLite file."""
