"""What can go wrong with a stack, as one tree.

    StackError                what the operator should read: `problems`, one sentence each
    ├── ProcfileError         lines of the Procfile that cannot be read, by number
    ├── PlanError             services that do not make a graph, or that supervisord cannot be told of
    ├── PortsTaken            addresses that others hold; nothing was started
    ├── StackBusy             another `up` or `down` is at work in this state directory
    └── SupervisorError       supervisord could not be started, or does not answer
        └── Refused           supervisord answered with a fault

Messages may quote foreign text (command lines, log lines): whoever shows them cleans them first.
"""


class StackError(Exception):
    """Every problem found, at once."""

    problems: tuple[str, ...]

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ProcfileError(StackError):
    """Some lines of a Procfile cannot be read."""


class PlanError(StackError):
    """The services do not make a plan."""


class PortsTaken(StackError):
    """Somebody holds an address that a service of the plan needs."""


class StackBusy(StackError):
    """Another process is changing this stack."""


class SupervisorError(StackError):
    """supervisord could not be started, or does not answer."""


class Refused(SupervisorError):
    """supervisord answered, and said no."""
