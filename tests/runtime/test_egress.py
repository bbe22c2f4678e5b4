"""The way out: no address that a user names leads inside, however it is written and whatever a name resolves to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axiom.runtime.egress import METADATA, RESPONSE_BYTES, Egress, Refused, Unreachable, literal

PRIVATE = [
    ip_network(text)
    for text in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16",
        "172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.168.0.0/16 198.18.0.0/15",
        "198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4",
    )
    for text in text.split(" ")
]
PRIVATE_6 = [
    ip_network(text)
    for text in ("::/128", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8", "2001:db8::/32", "100::/64")
]
inside = st.sampled_from(PRIVATE).flatmap(
    lambda net: st.integers(int(net.network_address), int(net.broadcast_address)).map(IPv4Address)
)
inside_6 = st.sampled_from(PRIVATE_6).flatmap(
    lambda net: st.integers(int(net.network_address), int(net.broadcast_address)).map(IPv6Address)
)


def spellings(address: IPv4Address) -> list[str]:
    """Every way to write an IPv4 address that something on the way may understand."""
    a, b, c, d = address.packed
    number = int(address)
    return [
        str(address),
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a:#o}.{b:#o}.{c:#o}.{d:#o}".replace("0o", "0"),
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}",
        f"[::ffff:{address}]",
        f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]",
        f"[::{address}]" if number > 1 else "[::1]",
        f"[64:ff9b::{address}]",
        f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]",
    ]


@given(inside, st.integers(0, 12), st.sampled_from(["http://{}/", "https://{}:8443/x?y", "http://{}./"]))
def test_no_spelling_of_a_private_address_is_let_through(address: IPv4Address, n: int, form: str) -> None:
    async def case() -> None:
        with pytest.raises((Refused, Unreachable)):
            await never().resolve(never().target(form.format(spellings(address)[n])))

    asyncio.run(case())


@given(inside_6)
def test_no_private_ipv6_address_is_let_through(address: IPv6Address) -> None:
    with pytest.raises(Refused):
        never().target(f"http://[{address}]/")


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_only_global_unicast_is_let_through(address: IPv6Address) -> None:
    try:
        never().judge(address, "host")
    except Refused:
        return
    assert address.is_global or address.ipv4_mapped is not None
    assert not address.is_multicast


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_a_metadata_service_is_refused_whatever_the_operator_allows(address: str) -> None:
    text = f"[{address}]" if ":" in address else address
    generous = Egress(["0.0.0.0/0", "::/0", text, "evil.example"], resolver=answers(address))
    with pytest.raises(Refused, match="metadata"):
        generous.target(f"http://{text}/latest/meta-data")
    with pytest.raises(Refused, match="metadata"):
        asyncio.run(generous.check("http://evil.example/"))


def test_a_metadata_name_is_refused() -> None:
    with pytest.raises(Refused, match="metadata"):
        Egress(["0.0.0.0/0"]).target("http://metadata.google.internal./computeMetadata/v1/")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org",
        "http://",
        "//example.org",
        "http://user:pw@example.org/",
        "http://127.0.0.1@example.org/",
        "http://[fe80::1%25eth0]/",
        "http://exa mple.org/",
        "http://example.org:99999/",
        "http://example.org\r\nHost: x/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://x.localhost/",
    ],
)
def test_what_is_no_address_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        never().target(url)


@given(st.text(max_size=60))
def test_any_text_is_judged_and_none_breaks_it(text: str) -> None:
    for url in (text, f"http://{text}/"):
        try:
            never().target(url)
        except Refused:
            pass


@pytest.mark.parametrize(
    "found", [["93.184.216.34", "10.0.0.1"], ["::1"], ["fe80::1%2"], ["::ffff:127.0.0.1"]]
)
def test_one_bad_address_of_a_name_spoils_it(found: list[str]) -> None:
    with pytest.raises(Refused):
        asyncio.run(Egress(resolver=answers(*found)).check("http://two-faced.example/"))


def test_the_operator_may_allow_a_network_or_a_name() -> None:
    assert Egress(["10.0.0.0/8"]).target("http://10.1.2.3/").host == "10.1.2.3"
    with pytest.raises(Refused):
        Egress(["10.0.0.0/8"]).target("http://192.168.0.1/")
    asyncio.run(Egress(["hooks.internal"], resolver=answers("10.0.0.1")).check("http://hooks.internal/"))
    with pytest.raises(Refused):
        asyncio.run(Egress(["hooks.internal"], resolver=answers("10.0.0.1")).check("http://else.internal/"))


def test_literal_knows_names_from_numbers() -> None:
    assert literal("example.org") is None
    assert literal("1.2.3.4.example") is None
    assert literal("0x7f.1") == ip_address("127.0.0.1")


# --- calling ---------------------------------------------------------------------------------------------------------


def test_the_address_that_was_judged_is_the_one_that_is_called() -> None:
    """A name that answers otherwise the second time (rebinding) is asked once; Host keeps the name."""

    async def case() -> None:
        asked: list[str] = []

        async def rebinding(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["10.9.9.9"]

        async with receiver(b"HTTP/1.1 204 No Content\r\n\r\n") as (port, requests):
            egress = Egress(["127.0.0.0/8"], resolver=rebinding)
            answer = await egress.post(f"http://hooks.example:{port}/a?b=c", b"{}", {"x-y": "z"})
            await egress.close()
        assert answer.status == 204
        assert asked == ["hooks.example"]
        head = requests[0].decode().lower()
        assert head.startswith("post /a?b=c http/1.1")
        assert f"host: hooks.example:{port}\r\n" in head
        assert "x-y: z" in head

    asyncio.run(case())


def test_a_redirect_is_not_followed() -> None:
    async def case() -> None:
        reply = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
        async with receiver(reply) as (port, requests):
            egress = Egress(["127.0.0.1"])
            assert (await egress.post(f"http://127.0.0.1:{port}/", b"", {})).status == 302
            await egress.close()
        assert len(requests) == 1

    asyncio.run(case())


def test_an_endless_answer_is_left_and_a_silent_one_is_given_up() -> None:
    async def case() -> None:
        flood = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (RESPONSE_BYTES * 4)
        async with receiver(flood) as (port, _):
            egress = Egress(["127.0.0.1"])
            assert (await egress.post(f"http://127.0.0.1:{port}/", b"", {})).status == 200
            await egress.close()
        async with receiver(b"") as (port, _):
            egress = Egress(["127.0.0.1"], answer_seconds=0.2)
            with pytest.raises(Unreachable) as caught:
                await egress.post(f"http://127.0.0.1:{port}/", b"", {})
            assert caught.value.code == "timeout"
            await egress.close()

    asyncio.run(case())


def test_nobody_there_and_nonsense_are_told_apart() -> None:
    async def case() -> None:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        egress = Egress(["127.0.0.1"])
        with pytest.raises(Unreachable) as caught:
            await egress.post(f"http://127.0.0.1:{port}/", b"", {})
        assert caught.value.code == "connect"
        async with receiver(b"SSH-2.0-OpenSSH\r\n") as (port, _):
            with pytest.raises(Unreachable) as caught:
                await egress.post(f"http://127.0.0.1:{port}/", b"", {})
            assert caught.value.code == "protocol"
        await egress.close()

    asyncio.run(case())


# --- parts -----------------------------------------------------------------------------------------------------------


def answers(*addresses: str) -> Callable[[str, int], Coroutine[Any, Any, Sequence[str]]]:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolver


def never() -> Egress:
    async def resolver(host: str, port: int) -> Sequence[str]:
        raise OSError(host)

    return Egress(resolver=resolver)


@asynccontextmanager
async def receiver(reply: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers ``reply`` to everything; empty: nothing at all."""
    requests: list[bytes] = []
    release = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            if reply:
                writer.write(reply)
                await writer.drain()
            else:
                await release.wait()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        release.set()
        server.close()
        await server.wait_closed()
