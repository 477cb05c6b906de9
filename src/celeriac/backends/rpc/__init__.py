"""Results as messages to the process that sent the task, in the format of Celery's `rpc://`."""

from celeriac.backends.rpc.backend import RpcBackend

__all__ = ["RpcBackend"]
