"""Runs a Procfile: plan -> supervised processes -> events. Knows nothing of what the processes do.

    procfile   reads `name: command` lines               plan     who needs whom, and in which order
    probe      how a service shows that it is ready      prober   asks it
    ports      what is taken, and by whom                conf     supervisord's configuration as text
    statedir   what one stack remembers on disk          daemon   begins, finds and ends one supervisord
    rpc        speaks to it                              events   states, changes and their why (journal: on disk)
    starter    up along the graph                        stopper  down in reverse
    status     how it is now                             conductor  up, down, status: what a command line calls
    guard      for the children: end with the supervisor

Here are the values to write a plan with, light to import; `stack.conductor` brings HTTP and the rest.
"""

from stack.errors import PlanError, PortsTaken, ProcfileError, StackBusy, StackError, SupervisorError
from stack.events import Event, State
from stack.plan import Plan, Service
from stack.probe import ExecProbe, HttpProbe, Probe, RedisProbe, TcpProbe, Verdict
from stack.procfile import Entry, parse

__all__ = [
    "Entry",
    "Event",
    "ExecProbe",
    "HttpProbe",
    "Plan",
    "PlanError",
    "PortsTaken",
    "Probe",
    "ProcfileError",
    "RedisProbe",
    "Service",
    "StackBusy",
    "StackError",
    "State",
    "SupervisorError",
    "TcpProbe",
    "Verdict",
    "parse",
]
