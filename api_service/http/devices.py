"""Name the device of a client from its User-Agent header, as coarsely as a person would.

All names are from the lists here: a stranger chooses the header, and a notice must not contain a stranger's text.
"""

# The first match counts: Edge also claims to be Chrome, Chrome to be Safari, and Android to be Linux.
PROGRAMS = (
    *(("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("YaBrowser/", "Yandex")),
    *(("Firefox/", "Firefox"), ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"), ("Chrome/", "Chrome")),
    *(("Safari/", "Safari"), ("okhttp/", "okhttp"), ("Dart/", "Dart"), ("CFNetwork/", "CFNetwork")),
    *(("python-", "Python"), ("curl/", "curl"), ("Java/", "Java"), ("Go-http-client/", "Go"), ("node", "Node.js")),
)
SYSTEMS = (
    *(("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS")),
    *(("Windows", "Windows"), ("Macintosh", "macOS"), ("Darwin/", "Apple"), ("Linux", "Linux")),
)


def device_of(user_agent: str) -> str | None:
    """Return program and system, such as ``Firefox (Linux)``, or None if both are unknown. Versions are left out."""
    program, system = _first(PROGRAMS, user_agent), _first(SYSTEMS, user_agent)
    if program and system:
        return f"{program} ({system})"
    return program or system


def _first(names: tuple[tuple[str, str], ...], user_agent: str) -> str | None:
    return next((name for mark, name in names if mark in user_agent), None)
