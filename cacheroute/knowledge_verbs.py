"""The verbs for knowledge and for the KDNs that keep it."""

from dataclasses import replace

from cacheroute.verb import Parameter, Verb

_KDN = Parameter("kdn", "Name of the KDN; the first of the configuration if left out.")
_ANY_KDN = Parameter("kdn", "Only this KDN; all of them if left out.")
_WHICH = Parameter("what", "A kid (its first 6 digits are enough) or a source.", positional=True, required=True)
_ARTIFACT = Parameter("what", "A kid, a source, or an artifact's id.", positional=True, required=True)
_YES = Parameter("yes", "Do not ask.", kind="flag", default=False)
_FILE = Parameter("file", "The file.", positional=True, required=True)

KNOWLEDGE_VERBS: tuple[Verb, ...] = (
    Verb(
        "knowledge add",
        "Register text, Markdown, HTML, PDF, reStructuredText, JSONL: files, folders, or standard input (-).",
        "knowledge",
        (
            Parameter("path", "A file, a folder, or -.", positional=True, repeated=True, required=True),
            Parameter("collection", "The collection that it belongs to; else what a line of JSONL says, or `default`."),
            Parameter("title", "Its title; only with a single document."),
            Parameter("source", "Its lasting name, whose document it replaces; only with a single file."),
            Parameter("version", "Its version: a date, a tag, a commit."),
            Parameter("tag", "A tag; may be repeated.", repeated=True),
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
)  # fmt: skip
