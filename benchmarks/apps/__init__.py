"""What runs in a peer's own environment: its app with the tasks, and the client that feeds it."""
