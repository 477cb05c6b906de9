"""Reads the URLs of Redis: which servers, which database, who logs in.

Owns the forms of these URLs and the words for what is wrong with them. Knows nothing of options beside the URL, and
opens nothing. No text that it makes has a password in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from celeriac.config.censor import mask_url
from celeriac.exceptions import ImproperlyConfigured

#: Where each scheme leads: one server, a socket file, sentinels that know the master, or the nodes of a cluster.
SCHEMES: Final[dict[str, str]] = {
    "redis": "server",
    "rediss": "server",
    "valkey": "server",
    "valkeys": "server",
    "redis+socket": "socket",
    "valkey+socket": "socket",
    "unix": "socket",
    "sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
_TLS_SCHEMES: Final = frozenset({"rediss", "valkeys", "rediss+cluster"})
#: The port of those who name none.
DEFAULT_PORTS: Final = {"server": 6379, "cluster": 6379, "sentinel": 26379}


@dataclass(frozen=True, slots=True)
class Server:
    """Where one server listens: host and port, or a socket file. Of a URL that was just read, parts may be empty."""

    host: str = ""
    port: int = 0
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RedisURL:
    """What a URL says.

    Attributes:
        scheme: in lower case, one of `SCHEMES`.
        servers: one, or the sentinels, or nodes of the cluster; none for a URL that names no host.
        user: who logs in; None if the URL does not say.
        password: and with which word.
        db: the number of the database; None if the URL does not say.
        query: the options in the URL, decoded.
    """

    scheme: str
    servers: tuple[Server, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int | None = None
    query: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str:
        """`server`, `socket`, `sentinel` or `cluster`."""
        return SCHEMES[self.scheme]

    @property
    def is_tls(self) -> bool:
        """The scheme asks for TLS."""
        return self.scheme in _TLS_SCHEMES


def read_url(url: str, setting: str) -> RedisURL:
    """Take a URL apart, or several joined by `;` for sentinels and clusters.

    Args:
        url: with a scheme out of `SCHEMES`. Without `://` it is a scheme alone: everything else is in settings.
        setting: whose value it is, for errors.

    Raises:
        ImproperlyConfigured: it can not be read, or its parts contradict each other.

    Example:
        >>> read_url("redis://me@db:6380/2", "broker_url")
        RedisURL(scheme='redis', servers=(Server(host='db', port=6380, path=None),), user='me', db=2)
    """
    scheme = url.partition("://")[0].lower()
    if "://" not in url:
        return RedisURL(scheme)
    parts = [part for part in url.split(";") if part]
    urls = [_read_one(part if "://" in part else f"{scheme}://{part}", url, setting) for part in parts]
    if len(urls) == 1:
        return urls[0]
    return _joined(urls, bare=any("://" not in part for part in parts), url=url, setting=setting)


def wrong(setting: str, url: str, what: str) -> ImproperlyConfigured:
    """The error that a URL deserves; it shows the URL without its passwords."""
    return ImproperlyConfigured(f"{setting} is {mask_url(url)!r}: {what}")


def address_of(url: RedisURL, servers: tuple[Server, ...], user: str | None, db: int) -> str:
    """A URL of the same store to show to people: with the user, without any password."""
    login = f"{quote(user, safe='')}@" if user else ""
    if url.kind == "socket":
        return f"{url.scheme}://{login}{quote(str(servers[0].path))}?virtual_host={db}"
    database = "" if url.kind == "cluster" else f"/{db}"
    return f"{url.scheme}://{login}{';'.join(map(str, servers))}{database}"


def _read_one(text: str, url: str, setting: str) -> RedisURL:
    """One URL of `url`. What Python says of it would show the password, so it is not passed on."""
    try:
        split = urlsplit(text)
        port = split.port
        unquote(split.hostname or "").encode("idna")  # as the look-up of the name will do
    except ValueError:
        raise wrong(
            setting,
            url,
            "it can not be taken apart; write scheme://user:password@host:port/database, and characters such as "
            "/ ? # @ : % in user and password percent-encoded (urllib.parse.quote)",
        ) from None
    scheme = split.scheme.lower()
    if SCHEMES.get(scheme) is None:
        raise wrong(setting, url, f"{scheme}:// does not go together with the scheme of the first one")
    if split.fragment:
        raise wrong(setting, url, "it has a '#'; write %23 for one that belongs to the password")
    query = dict(parse_qsl(split.query, keep_blank_values=True))
    kind = SCHEMES[scheme]
    server = _socket(split, url, setting) if kind == "socket" else _host(split, port)
    user = unquote(split.username) if split.username else None
    password = unquote(split.password) if split.password else None
    return RedisURL(scheme, server, user, password, _database(split, query, kind, url, setting), query)


def _host(split: SplitResult, port: int | None) -> tuple[Server, ...]:
    if not split.hostname and port is None:
        return ()
    return (Server(unquote(split.hostname or ""), port or 0),)


def _socket(split: SplitResult, url: str, setting: str) -> tuple[Server, ...]:
    if split.hostname:
        raise wrong(setting, url, f"{split.scheme}:// has no host; write {split.scheme}:///path/of/redis.sock")
    if not split.path.strip("/"):
        raise wrong(setting, url, f"it names no socket; write {split.scheme}:///path/of/redis.sock")
    return (Server("", 0, unquote(split.path)),)


def _database(split: SplitResult, query: dict[str, str], kind: str, url: str, setting: str) -> int | None:
    """The number of the database: redis-py has `db`, kombu `virtual_host`, and the path is the common form."""
    texts = [query.pop("virtual_host", ""), query.pop("db", "")]
    if kind != "socket":
        texts.insert(0, unquote(split.path).strip("/"))
    given = [text.strip("/") for text in texts if text.strip("/")]
    if not given:
        return None
    if any(not (text.isascii() and text.isdigit()) for text in given):
        raise wrong(setting, url, "the database must be a number, as in redis://localhost:6379/0")
    numbers = {int(text) for text in given}
    if len(numbers) > 1:
        raise wrong(setting, url, "it names two databases")
    number = numbers.pop()
    if kind == "cluster" and number:
        raise wrong(setting, url, f"a cluster has the database 0 only, not {number}; leave it out")
    return number


def _joined(urls: list[RedisURL], *, bare: bool, url: str, setting: str) -> RedisURL:
    """Several URLs as one. The first counts for all that is not an address, as in Celery."""
    first = urls[0]
    if first.kind in {"server", "socket"}:
        raise wrong(
            setting,
            url,
            "several Redis servers do not share what they hold, so a worker can not go from one to the other without "
            "losing sight of its tasks; name one, or use sentinel:// (or redis+cluster://), which have one master",
        )
    query: dict[str, str] = {}
    for other in urls:
        if other.scheme != first.scheme:
            raise wrong(setting, url, f"{other.scheme}:// does not go together with {first.scheme}://")
        query |= other.query
    logins = {(other.user, other.password) for other in urls if other.user or other.password}
    if len(logins) > 1:
        raise wrong(
            setting,
            url,
            "the logins differ; the one in the URL is for the master. That of the sentinels goes into the transport "
            "option sentinel_kwargs",
        )
    user, password = logins.pop() if logins else (None, None)
    databases = {other.db for other in urls if other.db is not None}
    if len(databases) > 1 or (databases - {0, first.db} and not bare):
        raise wrong(setting, url, "the first one says which database it is; write the same behind each, or behind it")
    db = databases.pop() if databases else None
    servers = tuple(server for other in urls for server in other.servers)
    return RedisURL(first.scheme, servers, user, password, db, query)
