"""The verbs: what an operator can ask of CacheRoute, as values. The command line is made from this table, and the
console's `:` bar, palette and help can be. Knows how a verb is called, not how it is done.
"""

from types import MappingProxyType

from cacheroute.knowledge_verbs import KNOWLEDGE_VERBS
from cacheroute.verb import Parameter, Verb

_ONLY = Parameter("only", "Only this process and what it needs; may be repeated.", repeated=True)
_SIZES = Parameter("size", "Length of a document in tokens; may be repeated.", kind="int", repeated=True, minimum=64)
_REPEATS = Parameter("repeats", "How often each state is measured.", kind="int", default=5, minimum=1)


ROLES = ("kvstore", "embedder", "scheduler", "kdn", "engine", "proxy", "instance")
"""Each can be served, and is a line of the Procfile."""

VERBS: tuple[Verb, ...] = (
    Verb("up", "Start the stack in order, and wait until all of it is ready.", "stack", (_ONLY,)),
    Verb(
        "down",
        "Stop the stack in reverse order; nothing is left behind.",
        "stack",
        (Parameter("only", "Only this process and what needs it; may be repeated.", repeated=True),),
        danger=True,
    ),
    Verb("status", "Show every process, and what the scheduler knows. Fails if something is not ready.", "stack",
         read_only=True),
    Verb("run", "Set up everything: start, sample knowledge, its KV, one question; then the console or the demo.",
         "stack", (_REPEATS,)),
    Verb(
        "ask",
        "Ask a question through the OpenAI endpoint; show the answer and how it came about.",
        "answers",
        (
            Parameter("question", "The question; - reads it from standard input.", positional=True, required=True),
            Parameter("mode", "How knowledge reaches the model.", default="auto", choices=("auto", "text", "kv")),
            Parameter("rag", "Look for knowledge that fits.", kind="flag", default=True),
            Parameter("stream", "Show the answer as it comes.", kind="flag", default=True),
            Parameter("max-tokens", "Longest answer, in tokens.", kind="int", default=128, minimum=1),
            Parameter("knowledge", "A kid or a source that must be used; may be repeated.", repeated=True),
            Parameter("model", "The model's name; the first that is served if left out."),
        ),
        read_only=True,
    ),
    Verb(
        "demo",
        "Measure the time to the first token: by text, by injected KV, from the kv store, from the prefix cache.",
        "answers",
        (_SIZES, _REPEATS),
    ),
    Verb(
        "bench",
        "Run a benchmark.",
        "answers",
        (
            Parameter(
                "name",
                "Which: `corpus`, `demo`, `forward`, `retrieval`, `sets`, or `all`.",
                positional=True,
                required=True,
            ),
        ),
    ),
    *KNOWLEDGE_VERBS,
    *(
        Verb(f"serve {role}", f"Run one {role} in the foreground.", "roles",
             (Parameter("name", "Its name in the configuration.", variable="CACHEROUTE_NAME"),))
        for role in ROLES
    ),
)  # fmt: skip

GROUPS = MappingProxyType(
    {
        "knowledge": "What is known, and where its KV is.",
        "kdn": "The KDNs, each by itself and as one library.",
        "serve": "Run one role; what the Procfile starts.",
    }
)
"""The first words of verbs of two words."""

BY_NAME = MappingProxyType({verb.name: verb for verb in VERBS})
