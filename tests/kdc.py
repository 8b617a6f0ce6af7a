"""A real MIT Kerberos: `kdc(home)` starts a KDC for two realms that trust each other, on a loopback port.

Needs krb5kdc, kadmin.local, kdb5_util, kinit and kvno (Debian: krb5-kdc krb5-admin-server krb5-user).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from databases import free_port

REALM, OTHER = "WINDSOCK.TEST", "OTHER.TEST"
HOST = "localhost"
PASSWORD = "correct horse"
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/local/sbin"])

_KRB5_CONF = """
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    clockskew = {skew}
[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
    }}
    {other} = {{
        kdc = 127.0.0.1:{port}
    }}
[domain_realm]
    {host} = {realm}
[capaths]
    {other} = {{
        {realm} = .
    }}
"""
_KDC_CONF = """
[kdcdefaults]
    kdc_listen = ""
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {realm} = {{
        database_name = {home}/{realm}
        key_stash_file = {home}/{realm}.stash
        acl_file = {home}/acl
    }}
    {other} = {{
        database_name = {home}/{other}
        key_stash_file = {home}/{other}.stash
        acl_file = {home}/acl
    }}
"""


def missing() -> list[str]:
    """The programs that are not installed."""
    wanted = ("krb5kdc", "kadmin.local", "kdb5_util", "kinit", "kvno")
    return [name for name in wanted if not shutil.which(name, path=_PATH)]


@dataclass
class Kdc:
    """A running KDC, and the files of its clients."""

    home: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, text: str = "", **environment: str) -> str:
        """What a command prints. Raises RuntimeError with its words when it fails."""
        everything = {**os.environ, **self.environment, **environment, "PATH": _PATH}
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, env=everything, check=False, timeout=60
        )
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def admin(self, realm: str, query: str) -> None:
        """Change the database of a realm."""
        complaint = "\n".join(line for line in self.run("kadmin.local", "-r", realm, "-q", query).splitlines()[1:])
        if "while" in complaint:
            raise RuntimeError(f"{query}: {complaint}")

    def keytab(self, name: str, *principals: str) -> Path:
        """A file with the present keys of the principals, which are made if there are none."""
        file = self.home / name
        for principal in principals:
            realm = principal.rpartition("@")[2]
            if principal not in self.run("kadmin.local", "-r", realm, "-q", "list_principals").splitlines():
                self.admin(realm, f"add_principal -randkey {principal}")
            self.admin(realm, f"ktadd -norandkey -k {file} {principal}")
        return file

    def sign_in(self, principal: str, *options: str) -> Path:
        """The file with a ticket-granting ticket for a principal, which is made if there is none."""
        realm = principal.rpartition("@")[2]
        if principal not in self.run("kadmin.local", "-r", realm, "-q", "list_principals").splitlines():
            self.admin(realm, f"add_principal -pw {PASSWORD.replace(' ', '-')} {principal}")
        cache = self.home / f"cache-{time.monotonic_ns()}"
        command = ("kinit", *options, "-c", str(cache), principal)
        self.run(*command, text=PASSWORD.replace(" ", "-") + "\n")
        return cache

    def configuration(self, name: str = "krb5.conf", skew: int = 300) -> Path:
        """A file for $KRB5_CONFIG; clocks may differ by `skew` seconds."""
        file = self.home / name
        file.write_text(_KRB5_CONF.format(realm=REALM, other=OTHER, host=HOST, port=self.port, skew=skew))
        return file


@contextmanager
def kdc(home: Path) -> Iterator[Kdc]:
    """Yield the KDC, with $KRB5_CONFIG and the replay cache of this process set to its own, and end it afterwards."""
    found = Kdc(home, free_port())
    profile = home / "kdc.conf"
    profile.write_text(_KDC_CONF.format(realm=REALM, other=OTHER, home=home, port=found.port))
    (home / "acl").touch()
    (home / "replays").mkdir()
    found.environment = {"KRB5_CONFIG": str(found.configuration()), "KRB5RCACHEDIR": str(home / "replays")}
    with mock.patch.dict(os.environ, {**found.environment, "KRB5_KDC_PROFILE": str(profile)}):
        for realm in (REALM, OTHER):
            found.run("kdb5_util", "-r", realm, "create", "-s", "-P", "a master password")
            found.admin(realm, f"add_principal -pw shared-by-both krbtgt/{REALM}@{OTHER}")
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                ["krb5kdc", "-n", "-r", REALM, "-r", OTHER], stdout=log, stderr=log, env={**os.environ, "PATH": _PATH}
            )
        try:
            _wait(server, found)
            yield found
        finally:
            server.terminate()
            server.wait(10)


def _wait(server: subprocess.Popen[bytes], found: Kdc) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", found.port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"krb5kdc did not start: {(found.home / 'log').read_text()}")
