"""`cacheroute serve ROLE`: what the Procfile names. Runs one process until it is told to stop."""

from importlib import import_module

from cacheroute.cli.invocation import Invocation
from cacheroute.errors import ConfigError
from stack.guard import die_with_parent


def serve(invocation: Invocation, name: str | None) -> None:
    """The role that the verb names. Raises ConfigError for a name that is not configured, or is not ours to run."""
    die_with_parent()
    role = invocation.verb.words[-1]
    name = _checked(invocation, role, name)
    if role == "kvstore":
        from cacheroute.kvstore.launch import launch

        return launch(name, invocation.config.kvstore[name], invocation.tokens, invocation.config.paths.state_dir)
    from cacheroute import service, telemetry

    telemetry.log_to_stderr(name)
    app = import_module(f"cacheroute.{role}.app")
    service.run(name, lambda: app.planes(invocation.config, name))
    return None


def _checked(invocation: Invocation, role: str, name: str | None) -> str:
    if role in ("scheduler", "embedder"):  # there is one of each
        return role
    from cacheroute.formation import is_started

    name, settings = invocation.config.named(role, name)
    if role in ("kvstore", "engine") and not is_started(settings):
        raise ConfigError([f"[{role}.{name}] is a server of somebody else's ({settings.url}): there is nothing to run"])
    return name
