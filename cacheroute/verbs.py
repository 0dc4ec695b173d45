"""The verbs: what an operator can ask of CacheRoute, as values. The command line is made from this table, and the
console's `:` bar, palette and help can be. Knows how a verb is called, not how it is done.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

Kind = Literal["text", "path", "int", "float", "flag"]
Panel = Literal["stack", "knowledge", "answers", "roles"]

PANELS: dict[Panel, str] = {
    "stack": "The stack",
    "knowledge": "Knowledge",
    "answers": "Answers and figures",
    "roles": "Roles (what the Procfile starts)",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that a verb takes. `positional` is given by place, else by `--name`."""

    name: str
    help: str
    kind: Kind = "text"
    default: str | int | float | bool | None = None
    choices: tuple[str, ...] = ()
    positional: bool = False
    repeated: bool = False
    required: bool = False
    minimum: int | None = None
    variable: str = ""
    """The environment variable that gives it where the caller does not."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. `read_only` ones change nothing; `danger` ones destroy something and ask first."""

    name: str
    """One word, or a group and a word: `knowledge add`."""
    help: str
    panel: Panel
    parameters: tuple[Parameter, ...] = ()
    read_only: bool = False
    danger: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.name.split())


_ONLY = Parameter("only", "Only this process and what it needs; may be repeated.", repeated=True)
_SIZES = Parameter("size", "Length of a document in tokens; may be repeated.", kind="int", repeated=True, minimum=64)
_REPEATS = Parameter("repeats", "How often each state is measured.", kind="int", default=5, minimum=1)
_KDN = Parameter("kdn", "Name of the KDN; the first of the configuration if left out.")
_WHICH = Parameter("what", "A kid (its first 6 digits are enough) or a source.", positional=True, required=True)

_ANY_KDN = Parameter("kdn", "Only this KDN; all of them if left out.")
_ARTIFACT = Parameter("what", "A kid, a source, or an artifact's id.", positional=True, required=True)
_YES = Parameter("yes", "Do not ask.", kind="flag", default=False)
_FILE = Parameter("file", "The file.", positional=True, required=True)

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
        (Parameter("name", "Which one: `demo`, or `all` of them.", positional=True, required=True),),
    ),
    Verb(
        "knowledge add",
        "Register files, folders or standard input (-). A source that is known is replaced.",
        "knowledge",
        (
            Parameter("path", "A file, a folder, or -.", positional=True, repeated=True, required=True),
            Parameter("collection", "The collection that it belongs to.", default="default"),
            Parameter("title", "Its title; only with a single document."),
            Parameter("source", "Where it came from, its lasting name; only with a single document."),
            _KDN,
        ),
    ),
    Verb(
        "knowledge list",
        "List what is registered.",
        "knowledge",
        (
            Parameter("collection", "Only this collection."),
            Parameter("blocks", "Each block, not each document.", kind="flag", default=False),
            _ANY_KDN,
        ),
        read_only=True,
    ),
    Verb("knowledge show", "Show a document or a block, with its text.", "knowledge", (_WHICH, _KDN), read_only=True),
    Verb(
        "knowledge search",
        "Search as the scheduler does: scores, the threshold, and the reason.",
        "knowledge",
        (
            Parameter("query", "The words to search for.", positional=True, required=True),
            Parameter("k", "How many to show.", kind="int", default=5, minimum=1),
        ),
        read_only=True,
    ),
    Verb(
        "knowledge why",
        "Show which knowledge was considered for a request, with scores, and why it was used or not.",
        "knowledge",
        (Parameter("what", "A request's id, `last`, or a question.", positional=True, required=True),),
        read_only=True,
    ),
    Verb(
        "knowledge edit",
        "Change a document's text in your editor ($VISUAL, $EDITOR), and register it as the new version.",
        "knowledge",
        (_WHICH, Parameter("file", "Take the new text from this file; - is standard input."), _KDN),
    ),
    Verb(
        "knowledge build",
        "Compute the KV of blocks or documents, so that it can be injected.",
        "knowledge",
        (
            replace(_WHICH, required=False, repeated=True),
            Parameter("all", "Every block that is registered.", kind="flag", default=False),
            Parameter("together", "As one set: for prompts that hold all of them.", kind="flag", default=False),
            Parameter("rendering", "For which endpoint.", default="chat", choices=("chat", "completions")),
            Parameter("wait", "Follow the builds to their end.", kind="flag", default=True),
            Parameter("cancel", "Take out of the queue what has not begun.", kind="flag", default=False),
            _KDN,
        ),
    ),
    Verb(
        "knowledge verify",
        "Read KV artifacts whole and check them; what is rotten is dropped and built again.",
        "knowledge",
        (replace(_ARTIFACT, required=False), Parameter("all", "Every artifact.", kind="flag", default=False), _KDN),
    ),
    Verb(
        "knowledge pin",
        "Keep KV from being evicted for others.",
        "knowledge",
        (_ARTIFACT, Parameter("off", "Let it go again.", kind="flag", default=False), _KDN),
    ),
    Verb(
        "knowledge evict",
        "Drop the KV of a block or a document; its text stays.",
        "knowledge",
        (_ARTIFACT, _YES, _ANY_KDN),
        danger=True,
    ),
    Verb(
        "knowledge delete",
        "Remove a document for good: its text, its vectors, its KV wherever it is. Shows that nothing is left.",
        "knowledge",
        (_WHICH, _YES, _ANY_KDN),
        danger=True,
    ),
    Verb(
        "knowledge calibrate",
        "Fit the threshold to questions whose answers are known.",
        "knowledge",
        (Parameter("file", "One JSON object a line: question, document, phrase.", positional=True, required=True),),
    ),
    Verb(
        "knowledge export",
        "Write a KDN's documents and vectors to one file.",
        "knowledge",
        (
            _FILE,
            Parameter("collection", "Only this collection."),
            Parameter("force", "Replace the file.", kind="flag", default=False),
            _KDN,
        ),
        read_only=True,
    ),
    Verb("knowledge import", "Register what an export holds.", "knowledge", (_FILE, _KDN)),
    Verb("kdn status", "Show each KDN: what it holds, what it does, what it cannot.", "knowledge", (_ANY_KDN,),
         read_only=True),
    Verb("kdn sync", "Have each KDN take over what the others have newer.", "knowledge", (_ANY_KDN,)),
    Verb(
        "kdn advise",
        "Show which KV to build next, by requests and tokens saved.",
        "knowledge",
        (
            Parameter("top", "How many to show.", kind="int", default=10, minimum=1),
            Parameter("build", "Build the best so many now.", kind="int", default=0, minimum=0),
            _ANY_KDN,
        ),
    ),
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
