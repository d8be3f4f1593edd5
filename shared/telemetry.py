"""Whether a process records traces: if OpenTelemetry's own variables in its environment say so."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec

from shared.settings import SettingsError
from shared.tracing import record_with

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether traces have somewhere to go, and are not switched off."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    is_none = environment.get("OTEL_TRACES_EXPORTER", "otlp") == "none"
    return any(environment.get(name) for name in ENDPOINTS) and not (is_off or is_none)


def check_recording(environment: Mapping[str, str]) -> None:
    """Raise SettingsError where traces are wanted, and the extra is not installed."""
    if is_wanted(environment) and find_spec("opentelemetry") is None:
        wanted = next(name for name in ENDPOINTS if environment.get(name))
        raise SettingsError([f"{wanted} is set, and signpost[traces] is not installed"])


def begin_recording(service: str, environment: Mapping[str, str]) -> None:
    """Record traces from now on, if they are wanted.

    To be called after a fork: the background thread that sends them would stay behind.
    """
    if is_wanted(environment):
        # By its name: a process that records nothing must not even import it.
        record_with(import_module("shared.otel").exporting_recorder(service))
