"""RabbitMQ as broker."""

from celeriac.brokers.rabbitmq.broker import RabbitBroker

__all__ = ["RabbitBroker"]
