"""Where a Redis store is, and connections to it.

`reading.read_location` makes a `Location` of a URL, transport options and settings. What is behind it is one of

- one server: `redis://`, `rediss://` (TLS), `valkey://`, `valkeys://`,
- a socket file: `redis+socket:///path?virtual_host=0`, `unix:///path?db=0`,
- sentinels that know the master: `sentinel://h1:26379;sentinel://h2:26379/0`, with the transport option `master_name`,
- a cluster: `redis+cluster://h1:6379;h2:6379`, `rediss+cluster://` with TLS. Celery and kombu have no such scheme, it
  is Celeriac's own. All keys of an app bear one hash tag, by default `{celeriac}`, and so live on one node.

With sentinels and clusters each connect asks anew who takes writes.

Knows nothing of queues, results and pools.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from redis.crc import key_slot
from redis.exceptions import RedisError

from celeriac.exceptions import OperationalError
from celeriac.storage.redis.addresses import RedisURL, Server
from celeriac.storage.redis.cluster import find_owner
from celeriac.storage.redis.dialling import Dialler, atalk, talk
from celeriac.storage.redis.errors import translate_error
from celeriac.storage.redis.search import Answer, Question, Search, text
from celeriac.storage.redis.sentinel import find_master

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection as AsyncConnection
    from redis.connection import AbstractConnection

#: Seconds that one of several sentinels or seeds gets at the least.
_LEAST_ASKING_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Location:
    """One Redis store. Immutable; opens nothing by itself.

    Attributes:
        address: for people: a URL with the user, without any password.
        db: the number of the database.
        prefix: before every key and channel (`global_keyprefix`); in a cluster it has a hash tag.
        connect_timeout: seconds for a connection to one server, and for each answer of the login.
        socket_timeout: seconds for any other answer.
        pool_limit: most connections of one pool; None for no limit.
        pool_timeout: seconds to wait for one of them; None for as long as it takes.
        url: what the URL says.
        dialler: how to connect to the server.
        scout: how to connect to sentinels, and to seeds of a cluster.
        master_name: under which sentinels know the master; empty where there are none.
        min_other_sentinels: a sentinel that sees fewer others is not believed.
    """

    address: str
    db: int
    prefix: str
    connect_timeout: float
    socket_timeout: float
    pool_limit: int | None
    pool_timeout: float | None
    url: RedisURL = field(repr=False)
    dialler: Dialler = field(repr=False)
    scout: Dialler = field(repr=False)
    master_name: str = ""
    min_other_sentinels: int = 0

    @property
    def is_cluster(self) -> bool:
        """The store is a Redis Cluster."""
        return self.url.kind == "cluster"

    def connect(self) -> AbstractConnection:
        """A new blocking connection to the server that takes writes now: logged in, database selected, RESP2, bytes.

        The caller closes it (`disconnect`).

        Raises:
            OperationalError: there is none to be had; it may be later.
        """
        server = self._find_server()
        try:
            connection = self.dialler.open(server, self.db)
        except (RedisError, OSError) as error:
            raise translate_error(error, self._address_of(server)) from error
        try:
            if self.url.kind == "sentinel":
                self._check_role(talk(connection, ("ROLE",)), server)
        except BaseException as error:
            connection.disconnect()
            if isinstance(error, RedisError | OSError):
                raise translate_error(error, self._address_of(server)) from error
            raise
        return connection

    async def aconnect(self) -> AsyncConnection:
        """The same for asyncio. The caller closes it (`await disconnect()`).

        Raises:
            OperationalError: there is none to be had; it may be later.
        """
        server = await self._afind_server()
        try:
            connection = await self.dialler.aopen(server, self.db)
        except (RedisError, OSError) as error:
            raise translate_error(error, self._address_of(server)) from error
        try:
            if self.url.kind == "sentinel":
                self._check_role(await atalk(connection, ("ROLE",)), server)
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if isinstance(error, RedisError | OSError):
                raise translate_error(error, self._address_of(server)) from error
            raise
        return connection

    def same_store(self, other: Location) -> bool:
        """Whether one script can touch keys of both: the same servers and database, in a cluster the same slot.

        Host names are compared as they are written.
        """
        if self.db != other.db or self.url.kind != other.url.kind:
            return False
        if self.is_cluster and key_slot(self.prefix.encode()) != key_slot(other.prefix.encode()):
            return False
        mine, theirs = set(self.url.servers), set(other.url.servers)
        if self.url.kind == "sentinel":
            return self.master_name == other.master_name and bool(mine & theirs)
        return bool(mine & theirs)

    def with_prefix(self, prefix: str) -> Location:
        """The same store with another key prefix."""
        return replace(self, prefix=prefix)

    # -- who takes writes ------------------------------------------------------------------------------------

    def _search(self) -> Search:
        servers = self.url.servers
        if self.url.kind == "sentinel":
            return find_master(servers, self.master_name, self.min_other_sentinels)
        return find_owner(servers, self.prefix)

    def _find_server(self) -> Server:
        if self.url.kind not in {"sentinel", "cluster"}:
            return self.url.servers[0]
        search = self._search()
        question = next(search)
        while True:
            try:
                question = search.send(self._answer(question))
            except StopIteration as end:
                found: Server = end.value
                return found
            except OperationalError as error:
                raise OperationalError(f"{self.address}: {error}") from None

    async def _afind_server(self) -> Server:
        if self.url.kind not in {"sentinel", "cluster"}:
            return self.url.servers[0]
        search = self._search()
        question = next(search)
        while True:
            answer = await self._aanswer(question)
            try:
                question = search.send(answer)
            except StopIteration as end:
                found: Server = end.value
                return found
            except OperationalError as error:
                raise OperationalError(f"{self.address}: {error}") from None

    def _answer(self, question: Question) -> Answer:
        try:
            return self.scout.ask(question.server, question.commands)
        except (RedisError, OSError) as error:
            return error

    async def _aanswer(self, question: Question) -> Answer:
        try:
            return await self.scout.aask(question.server, question.commands)
        except (RedisError, OSError) as error:
            return error

    def _check_role(self, reply: Any, server: Server) -> None:
        """A sentinel may be behind the times."""
        if text(reply[0]) != "master":
            raise OperationalError(
                f"{self._address_of(server)} is not the master any more; try again when the failover is through"
            )

    def _address_of(self, server: Server) -> str:
        """For errors: the store, and the server where that is not the same."""
        return f"{self.address} (at {server})" if self.url.kind in {"sentinel", "cluster"} else self.address


def asking_seconds(connect_timeout: float, count: int) -> float:
    """Seconds for each of several sentinels or seeds, so that all together cost little more than one connect."""
    return max(connect_timeout / max(count, 1), min(connect_timeout, _LEAST_ASKING_SECONDS))
