"""What a KDN answers about knowledge: documents in and out, blocks, search, its log of changes."""

import msgspec
from aiohttp import web

from cacheroute.errors import BadRequest
from cacheroute.incoming import query_number, read_struct
from cacheroute.kdn.library.listing import block_info, document_info
from cacheroute.kdn.role import Kdn
from cacheroute.kdn.routes.paging import cut_page, page_after, page_limit
from cacheroute.service import json_response
from cacheroute.wire.documents import AddDocument, BlockInfo, DocumentInfo, SearchBlocks
from cacheroute.wire.page import Page
from knowledge.catalogue.changes import Cursor
from knowledge.catalogue.records import BlockPlace, DocumentPlace


class DocumentRoutes:
    """The routes that read and write the library."""

    def __init__(self, kdn: Kdn) -> None:
        self._kdn = kdn

    def all(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/documents", self._add),
            web.get("/v1/documents", self._documents),
            web.delete("/v1/documents", self._delete),
            web.get("/v1/blocks", self._blocks),
            web.get("/v1/blocks/{kid}", self._block),
            web.post("/v1/search", self._search),
            web.get("/v1/changes", self._changes),
        ]

    async def _add(self, request: web.Request) -> web.Response:
        prepared = await self._kdn.documents.prepare(await read_struct(request, AddDocument))
        return json_response(await self._kdn.registrar.register(prepared))

    async def _documents(self, request: web.Request) -> web.Response:
        query, limit = request.query, page_limit(request)
        after = page_after(request, DocumentPlace)
        found = await self._kdn.documents.records(query.get("source"), query.get("collection"), after, limit + 1)
        records, following = cut_page(found, limit, lambda record: (record.collection, record.source))
        built = await self._kdn.documents.blocks_among(records, self._kdn.artifacts.by_kid().keys())
        items = tuple(document_info(record, built.get(record.document_id, 0)) for record in records)
        return json_response(Page[DocumentInfo](items=items, next=following))

    async def _delete(self, request: web.Request) -> web.Response:
        source = request.query.get("source")
        if not source:
            raise BadRequest("say which document: ?source=", param="source")
        return json_response(await self._kdn.registrar.delete(source, request.query.get("collection")))

    async def _blocks(self, request: web.Request) -> web.Response:
        query, limit = request.query, page_limit(request)
        found = await self._kdn.documents.blocks(
            query.get("source"),
            query.get("collection"),
            query.get("kid", ""),
            page_after(request, BlockPlace),
            limit + 1,
        )
        blocks, following = cut_page(found, limit, lambda block: (block.collection, block.source, block.ordinal))
        held = self._kdn.artifacts.by_kid()
        items = tuple(block_info(block, held.get(block.kid, ())) for block in blocks)
        return json_response(Page[BlockInfo](items=items, next=following))

    async def _block(self, request: web.Request) -> web.Response:
        block = await self._kdn.documents.block(request.match_info["kid"])
        held = self._kdn.artifacts.by_kid()
        return json_response(block_info(block, held.get(block.kid, ()), with_text=True))

    async def _search(self, request: web.Request) -> web.Response:
        return json_response(await self._kdn.documents.search(await read_struct(request, SearchBlocks)))

    async def _changes(self, request: web.Request) -> web.Response:
        epoch, since = request.query.get("epoch"), query_number(request, "since", 0)
        page = await self._kdn.documents.changes(Cursor(epoch, since) if epoch else None, page_limit(request))
        return web.Response(body=msgspec.msgpack.encode(page), content_type="application/msgpack")
