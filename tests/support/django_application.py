"""An application whose organizations' databases have a schema by Django, which `make interop` installs."""

import os
import shlex
import subprocess
from pathlib import Path

PYTHON = Path(__file__).parents[2] / ".venv" / "django" / "bin" / "python"
MODELS = 25

MANAGE = """
import os, sys
from urllib.parse import unquote, urlsplit
from django.conf import settings
from django.core.management import execute_from_command_line

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
url = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "clinic"],
    DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""), "HOST": url.hostname, "PORT": url.port}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
execute_from_command_line(sys.argv)
"""


def django_release(folder: Path, number: int) -> str:
    """Write a release with its migrations, and return its ORGANIZATION_MIGRATIONS.

    It has 25 models, and Django adds two tables. The second release adds a field to each.
    """
    models = "from django.db import models\n"
    for model in range(MODELS):
        models += f"class Record{model}(models.Model):\n    text = models.TextField()\n"
        models += "    note = models.TextField(null=True)\n" if number == 2 else ""
    (folder / "clinic").mkdir(exist_ok=True)
    (folder / "clinic/__init__.py").touch()
    (folder / "clinic/models.py").write_text(models)
    (folder / "manage.py").write_text(MANAGE)
    manage = (str(PYTHON), str(folder / "manage.py"))
    unused = os.environ | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    made = (*manage, "makemigrations", "clinic", "--name", f"release_{number}")
    subprocess.run(made, env=unused, check=True, capture_output=True)
    return f"2027.{number}: {shlex.join((*manage, 'migrate', '--noinput'))}"
