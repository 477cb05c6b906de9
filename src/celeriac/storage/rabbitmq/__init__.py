"""RabbitMQ: where its servers are, connections to them, and confirmed publishing."""
