"""nginx and Caddy with the samples of deploy/, where they are installed. Only names, ports and networks differ."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import Authority, make_authority
from tests.support.commands import ROOT
from tests.support.eventually import eventually
from tests.support.forwarding import is_open, unused_port

DEPLOY = ROOT / "deploy"
OPERATOR = "127.0.0.2"
"""The one client that the tests count among the operators' networks."""

# One process, because killing its parent would leave a worker.
NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/client; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/signpost*.conf;
}}
"""


@dataclass(frozen=True)
class TlsProxy:
    """A proxy that serves the API, the console and the receiver of callbacks on a port each."""

    authority: Authority
    api: int
    console: int
    callbacks: int
    plain: int

    def client(self, address: str, *, of: int | None = None) -> httpx.Client:
        """Return a client of the API, or of another port, that connects from an address of loopback."""
        transport = httpx.HTTPTransport(local_address=address, verify=self.authority.client_context())
        return httpx.Client(base_url=f"https://127.0.0.1:{of or self.api}", transport=transport, timeout=30)


@contextmanager
def nginx(api: int, console: int, callbacks: int = 1) -> Iterator[TlsProxy]:
    """Run nginx in front of these ports of loopback."""
    program = _program("nginx")
    with _proxy() as (folder, proxy):
        sites = {
            "signpost": proxy.api,
            "signpost-console": proxy.console,
            "signpost-callbacks": proxy.callbacks,
        }
        for name, service in sites.items():
            text = re.sub(r" *listen \[::\].*\n", "", (DEPLOY / "nginx" / f"{name}.conf").read_text())
            changes = {
                "listen 80;": f"listen 127.0.0.1:{proxy.plain};",
                "listen 443 ssl;": f"listen 127.0.0.1:{service} ssl;",
                "127.0.0.1:8000": f"127.0.0.1:{api}",
                "127.0.0.1:8001": f"127.0.0.1:{console}",
                "127.0.0.1:8006": f"127.0.0.1:{callbacks}",
                "127.0.0.0/8": OPERATOR,
            }
            text = re.sub(r"/etc/letsencrypt/\S+/fullchain\.pem", f"{folder}/server.pem", _changed(text, changes))
            text = re.sub(r"/etc/letsencrypt/\S+/privkey\.pem", f"{folder}/server.key", text)
            (folder / f"{name}.conf").write_text(text)
        main = folder / "nginx.conf"
        main.write_text(NGINX.format(folder=folder))
        command = [program, "-e", f"{folder}/error.log", "-c", str(main)]
        _check([*command, "-t"])
        with _running(command, proxy, folder):
            yield proxy


@contextmanager
def caddy(api: int, console: int, callbacks: int = 1) -> Iterator[TlsProxy]:
    """Run Caddy in front of these ports of loopback."""
    program = _program("caddy")
    with _proxy() as (folder, proxy):
        sites = {"signup": proxy.api, "console": proxy.console, "callbacks": proxy.callbacks}
        certificate = f"tls {folder}/server.pem {folder}/server.key"
        changes = {
            f"{name}.example.org {{": f"https://127.0.0.1:{port} {{\n\t{certificate}" for name, port in sites.items()
        } | {
            "{\n\tservers": "{\n\tadmin off\n\tauto_https disable_redirects\n\tservers",
            "127.0.0.1:8000": f"127.0.0.1:{api}",
            "127.0.0.1:8001": f"127.0.0.1:{console}",
            "127.0.0.1:8006": f"127.0.0.1:{callbacks}",
            "127.0.0.0/8": OPERATOR,
        }
        text = _changed((DEPLOY / "caddy" / "Caddyfile").read_text(), changes)
        if _output([program, "version"]).removeprefix("v").startswith("2.6."):  # Debian 12
            text = text.replace("request_buffers 32KiB", "buffer_requests")
        configuration = folder / "Caddyfile"
        configuration.write_text(text)
        options = ["--config", str(configuration), "--adapter", "caddyfile"]
        _check([program, "validate", *options])
        with _running([program, "run", *options], proxy, folder, {"HOME": str(folder)}):
            yield proxy


PROXIES = {"nginx": nginx, "caddy": caddy}


@contextmanager
def _proxy() -> Iterator[tuple[Path, TlsProxy]]:
    """Yield a folder with a certificate, and the ports of a proxy."""
    with tempfile.TemporaryDirectory(prefix="signpost-proxy-") as name:
        folder = Path(name)
        authority = make_authority(folder)
        authority.server_context("IP:127.0.0.1")
        yield folder, TlsProxy(authority, *(unused_port() for _ in range(4)))


@contextmanager
def _running(
    command: Sequence[str], proxy: TlsProxy, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    with process:
        try:
            eventually(lambda: is_open(proxy.api) and is_open(proxy.console))
            yield
        finally:
            process.kill()


def _program(name: str) -> str:
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is None:
        pytest.skip(f"this machine has no {name}")
    return program


def _changed(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _check(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
