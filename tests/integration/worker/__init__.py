"""Real workers in processes of their own, on a real SQLite file."""
