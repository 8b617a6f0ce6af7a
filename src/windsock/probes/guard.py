"""Keeps a process away from forbidden addresses: each is checked at the moment that a socket connects to it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from windsock.probes import Failed

#: Audit events of CPython, raised before the system call, with the address as their second argument.
_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NAT64, _COMPATIBLE = ip_network("64:ff9b::/96"), ip_network("::/96")


class Forbidden(Failed):
    """The configuration forbids the address. It is no OSError, so nothing goes on to try another one."""

    def __init__(self) -> None:
        super().__init__("The address of the host is forbidden by [windsock] test_connection_deny")


class Guard:
    """Which addresses are forbidden, and whether one was asked for."""

    def __init__(self, denied: Iterable[str]) -> None:
        """`denied` are networks such as `10.0.0.0/8`; raises ValueError for anything else."""
        self._networks = [ip_network(network) for network in denied]
        self.refused = False

    def watch(self) -> None:
        """Check every connection that Python code of this process makes from now on; it cannot be undone."""
        sys.addaudithook(self._heard)

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host, for a library that opens its sockets in C. Raises Forbidden if one of them is."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(peer[0]) for *_, peer in found))
        for address in addresses:
            self._check(address)
        return addresses

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _EVENTS and arguments[1] is not None:
            peer = arguments[1]
            self._check(peer[0] if isinstance(peer, tuple) else None)

    def _check(self, address: Any) -> None:
        try:
            forms = list(_forms(ip_address(address)))
        except ValueError:  # a socket of this machine, or a name that would be looked up once more
            forms = []
        if not forms or any(form in network for form in forms for network in self._networks):
            self.refused = True
            raise Forbidden


def _forms(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """An address and those that a packet to it may reach as well."""
    yield address
    if address.is_unspecified:  # connects to this machine
        yield from (IPv4Address("127.0.0.1"), IPv6Address("::1"))
    if isinstance(address, IPv4Address):
        yield IPv6Address(f"::ffff:{address}")
        return
    inner = [address.ipv4_mapped, address.sixtofour, (address.teredo or (None, None))[1]]
    if address in _NAT64 or address in _COMPATIBLE:
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    for form in inner:
        if form is not None:
            yield from _forms(form)
