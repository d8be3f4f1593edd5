"""nginx as a proxy that keeps its connections to a service, where it is installed."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.forwarding import is_open, unused_port

# One process, because killing its parent would leave a worker.
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream service {{ server 127.0.0.1:{service_port}; keepalive 16; keepalive_timeout 100ms; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


@contextmanager
def nginx(service_port: int) -> Iterator[str]:
    """Run an nginx in front of that port of loopback, and yield its URL."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("this machine has no nginx")
    port = unused_port()
    with tempfile.TemporaryDirectory(prefix="signpost-nginx-") as folder:
        path = Path(folder) / "nginx.conf"
        path.write_text(CONFIGURATION.format(folder=folder, port=port, service_port=service_port))
        with subprocess.Popen([program, "-e", f"{folder}/error.log", "-c", path], stderr=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: is_open(port))
                yield f"http://127.0.0.1:{port}"
            finally:
                process.kill()
