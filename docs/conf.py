"""Settings of Sphinx, which builds the documentation site: `make docs`.

The source folder is the repository, so that links between docs/ and the pages at its top work.
"""

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "Signpost"
extensions = ["myst_parser"]
include_patterns = ["docs/**.md", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
exclude_patterns = [".*", "dist", "**/node_modules"]
root_doc = "docs/index"
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # a block may mix SQL with commands of psql

html_theme = "furo"
html_title = "Signpost"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False

# The navigation is added here, because GitHub would show a toctree in a page as code.
NAVIGATION = {
    "Tutorial": ["tutorial"],
    "Guides": [
        "guides/systemd",
        "guides/containers",
        "guides/providers",
        "guides/providers/*",
        "guides/operations",
        "guides/*",
    ],
    "Reference": ["reference/settings", "reference/commands", "reference/http", "reference/*"],
    "Explanation": ["explanation/architecture", "explanation/*"],
    "Decisions": ["decisions/*"],
    "Project": ["../README", "../CONTRIBUTING", "../SECURITY", "../CHANGELOG"],
}


def add_navigation(_app: Sphinx, page: str, source: list[str]) -> None:
    """Append a hidden table of contents to the start page."""
    if page == root_doc:
        for caption, pages in NAVIGATION.items():
            listed = "\n".join(pages)
            source[0] += f"\n\n```{{toctree}}\n:hidden:\n:glob:\n:titlesonly:\n:caption: {caption}\n\n{listed}\n```\n"


def setup(app: Sphinx) -> None:
    """Add the navigation, and accept Mermaid blocks as plain text."""
    app.connect("source-read", add_navigation)
    app.add_lexer("mermaid", TextLexer)
