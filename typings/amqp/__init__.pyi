# What Celeriac uses of py-amqp, which has no types of its own.
from . import exceptions as exceptions
from . import spec as spec
from .basic_message import Message as Message
from .channel import Channel as Channel
from .connection import Connection as Connection

__version__: str
