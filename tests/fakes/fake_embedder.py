"""The embedder role with the hashing embedder behind it: its edge on a real socket, without a model."""

import base64

from aiohttp import web
from fakes.hash_embedder import HashEmbedder

from cacheroute.service import Plane, json_response, read_struct
from cacheroute.wire.embedding import EMBEDDINGS_PATH, Embedding, EmbeddingAnswer, EmbeddingRequest


def embedder_plane(port: int) -> Plane:
    """Answers in base64 only, as roles ask."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post(EMBEDDINGS_PATH, _embed)
    return Plane("127.0.0.1", port, app)


async def _embed(request: web.Request) -> web.Response:
    asked = await read_struct(request, EmbeddingRequest)
    vectors = HashEmbedder().embed(asked.texts, asked.kind)
    data = [
        Embedding(embedding=base64.b64encode(vector.tobytes()).decode(), index=index)
        for index, vector in enumerate(vectors)
    ]
    return json_response(EmbeddingAnswer(data=data, model="hash"))
