"""Celeriac on real RabbitMQ nodes: faults, security, queues as they are found."""
