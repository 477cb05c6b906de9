"""Reads the URLs of RabbitMQ: which servers, which virtual host, who logs in.

Owns the forms of these URLs, which are kombu's, and the words for what is wrong with them. Opens nothing. No text that
it makes has a password in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from celeriac.config.censor import mask_url
from celeriac.exceptions import ImproperlyConfigured

#: Each scheme, and whether it means TLS.
SCHEMES: Final[dict[str, bool]] = {"amqp": False, "pyamqp": False, "py-amqp": False, "amqps": True}
DEFAULT_PORT: Final = 5672
DEFAULT_TLS_PORT: Final = 5671


@dataclass(frozen=True, slots=True)
class RabbitURL:
    """What one URL says; None for what it leaves out.

    Attributes:
        scheme: in lower case, one of `SCHEMES`.
        virtual_host: decoded; `//` at the end of a URL means `/`.
        query: the options in the URL, decoded.
        text: as it was written.
    """

    scheme: str
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    virtual_host: str | None = None
    query: dict[str, str] = field(default_factory=dict, repr=False)
    text: str = field(default="", repr=False)

    @property
    def is_tls(self) -> bool:
        """The scheme asks for TLS."""
        return SCHEMES[self.scheme]


@dataclass(frozen=True, slots=True)
class Server:
    """Where one server listens, who logs in, and to which virtual host.

    Attributes:
        tls: it is spoken to by TLS.
        url: the URL that names it, for functions that choose among URLs.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    virtual_host: str
    tls: bool = False
    url: str = field(default="", repr=False, compare=False)

    @property
    def address(self) -> str:
        """A URL of it to show to people, without the password; the default virtual host has two slashes."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        name = self.virtual_host if self.virtual_host == "/" else quote(self.virtual_host, safe="")
        return f"amqp{'s' if self.tls else ''}://{quote(self.user, safe='')}@{host}:{self.port}/{name}"


def read_urls(url: str, setting: str) -> list[RabbitURL]:
    """Take a URL apart, or several joined by `;`.

    Of several, one without a scheme is a host, with or without a port; all else it has from the first.

    Args:
        url: with a scheme out of `SCHEMES`. Without `://` it is a scheme alone: everything else is in settings.
        setting: whose value it is, for errors.

    Raises:
        ImproperlyConfigured: it can not be read.

    Example:
        >>> read_urls("amqp://me@one/jobs;two:5673", "broker_url")[1]
        RabbitURL(scheme='amqp', host='two', port=5673, user='me', virtual_host='jobs')
    """
    if "://" not in url:
        return [RabbitURL(url.lower())]
    urls: list[RabbitURL] = []
    for part in filter(None, (part.strip() for part in url.split(";"))):
        if "://" in part or not urls:
            urls.append(_read_one(part, url, setting))
        else:
            urls.append(_beside(urls[0], part, url, setting))
    return urls


def wrong(setting: str, url: str, what: str) -> ImproperlyConfigured:
    """The error that a URL deserves; it shows the URL without its passwords."""
    return ImproperlyConfigured(f"{setting} is {mask_url(url)!r}: {what}")


def _beside(first: RabbitURL, part: str, url: str, setting: str) -> RabbitURL:
    other = _read_one(f"{first.scheme}://{part}", url, setting)
    return RabbitURL(
        first.scheme,
        other.host,
        other.port,
        other.user or first.user,
        other.password or first.password,
        other.virtual_host or first.virtual_host,
        first.query | other.query,
        part,
    )


def _read_one(text: str, url: str, setting: str) -> RabbitURL:
    """One URL of `url`. What Python says of it would show the password, so it is not passed on."""
    scheme = text.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise wrong(setting, url, f"{scheme}:// does not lead to RabbitMQ; write amqp:// or amqps://")
    try:
        split = urlsplit(text)
        port = split.port
        host = unquote(split.hostname or "")
        host.encode("idna")  # as the look-up of the name will do
    except ValueError:
        raise wrong(
            setting,
            url,
            "it can not be taken apart; write amqp://user:password@host:port/virtual-host, and characters such as "
            "/ ? # @ : % in user and password percent-encoded (urllib.parse.quote)",
        ) from None
    if split.fragment:
        raise wrong(setting, url, "it has a '#'; write %23 for one that belongs to the password or the virtual host")
    user = unquote(split.username) if split.username else None
    password = unquote(split.password) if split.password else None
    virtual_host = unquote(split.path.removeprefix("/")) or None
    query = dict(parse_qsl(split.query, keep_blank_values=True))
    return RabbitURL(scheme, host or None, port, user, password, virtual_host, query, text)
