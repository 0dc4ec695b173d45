"""The embedder's edge: OpenAI's `/v1/embeddings`, with one field of ours that says what the text is for."""

from typing import Literal

from msgspec import Struct

EMBEDDINGS_PATH = "/v1/embeddings"

Kind = Literal["query", "passage"]
Encoding = Literal["float", "base64"]


class EmbeddingRequest(Struct, frozen=True, kw_only=True):
    """`POST /v1/embeddings`. Unknown fields pass, as OpenAI clients send some that mean nothing here."""

    input: str | list[str]
    model: str = ""
    """One model is served, whatever the caller names."""
    kind: Kind = "passage"
    """Which prompt a model is given that wants one; queries are also served first."""
    encoding_format: Encoding = "float"
    """`base64`: little-endian float32, a tenth of the work of writing decimals."""

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class Embedding(Struct, frozen=True, kw_only=True):
    embedding: list[float] | str
    index: int
    object: Literal["embedding"] = "embedding"


class EmbeddingUsage(Struct, frozen=True, kw_only=True):
    prompt_tokens: int = 0
    total_tokens: int = 0


class EmbeddingAnswer(Struct, frozen=True, kw_only=True):
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage = EmbeddingUsage()
    object: Literal["list"] = "list"
