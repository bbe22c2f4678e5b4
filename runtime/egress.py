"""The one way out: every call that Axiom makes to an address that a user named goes through here.

A user's address is hostile until proved otherwise. Before a connection is made, its host is resolved, **every** address
found is judged, and the connection goes to one of exactly those (a second resolution could answer differently);
``Host`` and the certificate check keep the name. Refused are all but global unicast addresses, in whatever spelling
(decimal, octal, hex, IPv4 inside IPv6), unless the operator allows the network or the name; the metadata services of
clouds are refused even then. Redirects are not followed, proxies of the environment are not used, the answer's body
is read up to a bound and thrown away.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

import httpx

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""``(host, port)`` → addresses as text; raises ``OSError`` if there are none."""

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 15.0
"""How long a receiver may take over its answer, from the first byte sent."""
RESPONSE_BYTES: Final = 64 << 10
"""What is read of an answer: it is not stored, only drained."""
ADDRESSES_TRIED: Final = 2

METADATA: Final = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # AWS, GCP, Azure, OpenStack, DigitalOcean
            "169.254.170.2",  # AWS ECS
            "169.254.170.23",  # AWS EKS
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fe80::a9fe:a9fe",  # OpenStack
            "168.63.129.16",  # Azure's host
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
        ),
    )
)
METADATA_NAMES: Final = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})

SPECIAL: Final = tuple(
    map(
        ip_network,
        [
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
        ],
    )
)
"""IANA's special-purpose networks, spelled out: what ``ipaddress`` calls global differs between Pythons."""
_UNICAST = IPv6Network("2000::/3")
"""All that IPv6 has handed out."""
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")


class Refused(ValueError):
    """The address is one that users may not name. It stays so until the operator allows it."""

    code = "address_refused"


class Unreachable(OSError):
    """Nobody answered, in time and in form. ``code`` says in which way."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class Answer(NamedTuple):
    """What came back."""

    status: int
    retry_after: str | None


def embedded(address: Address) -> list[Address]:
    """Return the address and every IPv4 address that it carries inside (mapped, compatible, 6to4, NAT64, Teredo)."""
    found: list[Address] = [address]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            found.append(address.ipv4_mapped)
        if address.sixtofour is not None:
            found.append(address.sixtofour)
        if address.teredo is not None:
            found.extend(address.teredo)
        if any(address in network for network in _NAT64) or (address in _COMPATIBLE and int(address) > 1):
            found.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return found


def literal(host: str) -> Address | None:
    """Return the address that ``host`` spells, in any spelling that a C library takes; ``None`` for a name.

    >>> literal("2130706433"), literal("0177.0.0.1"), literal("example.org")
    (IPv4Address('127.0.0.1'), IPv4Address('127.0.0.1'), None)
    """
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host)) if host[:1].isdigit() else None
    except (OSError, ValueError):
        return None


async def system_resolver(host: str, port: int) -> list[str]:
    """Ask the operating system."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def _public(address: Address) -> bool:
    if any(address.version == network.version and address in network for network in SPECIAL):
        return False
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class Egress:
    """See the top of the file. ``allow`` holds networks (CIDR), addresses and host names that may be private."""

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        resolver: Resolver = system_resolver,
        verify: ssl.SSLContext | bool = True,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        self._names: set[str] = set()
        for entry in allow:
            try:
                self._networks.append(ip_network(entry, strict=False))
            except ValueError:
                self._names.add(entry.lower().rstrip("."))
        self._resolver: Final = resolver
        self._verify: Final = verify
        self._answer_seconds: Final = answer_seconds
        self._client: httpx.AsyncClient | None = None

    # --- judging ------------------------------------------------------------------------------------------------

    def target(self, url: str) -> httpx.URL:
        """Return a URL that may be asked for as far as its text tells. ``Refused`` says what is wrong with it."""
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise Refused(f"this is no URL: {error}") from error
        if parsed.scheme not in ("http", "https"):
            raise Refused("the URL must begin with http:// or https://")
        if not parsed.host:
            raise Refused("the URL names no host")
        if parsed.port is not None and not 0 < parsed.port < 65_536:
            raise Refused(f"there is no port {parsed.port}")
        if parsed.userinfo:
            raise Refused("a URL with a user or a password is not taken; use a header")
        if "%" in parsed.host:
            raise Refused("an address with a zone is not taken")
        host = parsed.host.lower().rstrip(".")
        if host in METADATA_NAMES:
            raise Refused(f"{host} is a metadata service")
        address = literal(host)
        if address is not None:
            self.judge(address, host)
        elif (host == "localhost" or host.endswith(".localhost")) and host not in self._names:
            loopback = ip_address("127.0.0.1")
            self.judge(loopback, host)
        return parsed

    def judge(self, address: Address, host: str) -> None:
        """Raise ``Refused`` unless ``address``, which ``host`` stands for, may be connected to."""
        carried = embedded(address)
        if any(one in METADATA for one in carried):
            raise Refused(f"{host} is the address of a metadata service")
        if host in self._names or self._allowed(address):
            return
        mapped = getattr(address, "ipv4_mapped", None)
        if any(not _public(one) and not self._allowed(one) for one in ([mapped] if mapped else carried)):
            raise Refused(f"{host} is an address inside a private, local or reserved network ({address})")

    def _allowed(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)

    async def resolve(self, url: httpx.URL) -> list[Address]:
        """Return the addresses that may be connected to for ``url``: all that it has. ``Refused``, ``Unreachable``."""
        host = url.host.lower().rstrip(".")
        spelled = literal(host)
        if spelled is not None:
            self.judge(spelled, host)
            return [spelled]
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                texts = await self._resolver(host, url.port or (443 if url.scheme == "https" else 80))
        except TimeoutError as error:
            raise Unreachable("dns", f"{host} was not resolved in {CONNECT_SECONDS:g} s") from error
        except (OSError, UnicodeError) as error:
            raise Unreachable("dns", f"{host} can't be resolved") from error
        found: list[Address] = []
        for text in texts:
            address = ip_address(text.partition("%")[0])
            if "%" in text:
                raise Refused(f"{host} resolves to an address with a zone")
            self.judge(address, host)
            if address not in found:
                found.append(address)
        if not found:
            raise Unreachable("dns", f"{host} has no address")
        return found

    async def check(self, url: str) -> httpx.URL:
        """Judge a URL at a door, as far as can be told now: a name that doesn't resolve yet is let through."""
        parsed = self.target(url)
        try:
            await self.resolve(parsed)
        except Unreachable:
            pass
        return parsed

    # --- calling ------------------------------------------------------------------------------------------------

    async def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Send ``content`` and return the answer's status, whatever it is. ``Refused``, ``Unreachable``."""
        parsed = self.target(url)
        last: Unreachable | None = None
        for address in (await self.resolve(parsed))[:ADDRESSES_TRIED]:
            try:
                return await self._send(parsed, address, content, headers)
            except Unreachable as error:
                last = error
                if error.code != "connect":
                    break
        assert last is not None
        raise last

    async def _send(
        self, url: httpx.URL, address: Address, content: bytes, headers: Mapping[str, str]
    ) -> Answer:
        client = self._opened()
        pinned = url.copy_with(host=str(address))
        request = client.build_request(
            "POST",
            pinned,
            content=content,
            headers={**headers, "Host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.host} if url.scheme == "https" else {},
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS + self._answer_seconds):
                response = await client.send(request, stream=True)
                try:
                    await _drain(response)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise Unreachable("timeout", f"{url.host} did not answer in time") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable("connect", f"{url.host} takes no connection: {error}") from error
        except httpx.TimeoutException as error:
            raise Unreachable("timeout", f"{url.host} did not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable("protocol", f"{url.host} answered in no form of HTTP: {error}") from error
        return Answer(response.status_code, response.headers.get("retry-after"))

    def _opened(self) -> httpx.AsyncClient:
        """One client for all. It keeps no idle connection: pooled by address, one could serve another's name."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=httpx.Timeout(self._answer_seconds, connect=CONNECT_SECONDS),
                limits=httpx.Limits(max_connections=256, max_keepalive_connections=0),
                follow_redirects=False,
                trust_env=False,
                verify=self._verify,
            )
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None


async def _drain(response: httpx.Response) -> None:
    read = 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        if read > RESPONSE_BYTES:
            return
