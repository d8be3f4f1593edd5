"""A test's own certificate authority, made with the openssl command."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Authority:
    """Signs certificates; ``file`` is the certificate that a client must trust."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "ca.pem"

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.file))

    def server_context(self, name: str) -> ssl.SSLContext:
        """Make the context of a server whose certificate is for ``name``, such as ``IP:127.0.0.1``."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server_certificate(name))
        return context

    def server_certificate(self, name: str) -> Path:
        """Make a file with a certificate for ``name`` and its key."""
        key, request, certificate, extensions = (self.folder / f"server.{end}" for end in ("key", "csr", "pem", "ext"))
        extensions.write_text(f"subjectAltName={name}\n")
        _openssl("req", "-new", *NEW_KEY, "-subj", "/CN=server", "-keyout", key, "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-days", "2", "-extfile", extensions),
            *("-CA", self.file, "-CAkey", self.folder / "ca.key", "-CAcreateserial", "-out", certificate),
        )
        certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
        return certificate


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_authority(folder: Path) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("this machine has no openssl command to make certificates with")
    authority = Authority(folder)
    subject = ("-subj", "/CN=Test authority", "-days", "2")
    _openssl("req", "-x509", *NEW_KEY, *subject, "-keyout", folder / "ca.key", "-out", authority.file)
    return authority


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
