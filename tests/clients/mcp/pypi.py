"""One MCP session by the client from PyPI. Prints what it found when it connected, then for each line that it reads,
`{"name": …, "arguments": …}`, the result of that tool call. Anything unforeseen ends it with an error.

Arguments: URL, transport (http or sse), and the protocol revision if that is not left to the client. The API key is
in API_KEY.
"""

import json
import os
import sys

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

HEADERS = {"Authorization": f"Bearer {os.environ['API_KEY']}"}
TIMEOUT_S = 20


def show(value):
    print(json.dumps(value), flush=True)


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def call(client, name, arguments=None):
    try:
        return plain(await client.call_tool(name, arguments))
    except MCPError as error:
        return {"error": {"code": error.code, "message": error.message}}


async def converse(transport, mode):
    async with Client(transport, mode=mode, read_timeout_seconds=TIMEOUT_S) as client:
        tools = [plain(tool) for tool in (await client.list_tools()).tools]
        # A client that is told the revision asks nothing when it connects, and so does not learn who serves.
        server = plain(client.server_info) if client.server_info else None
        show({"server": server, "revision": client.protocol_version, "tools": tools})
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            show(await call(client, **json.loads(line)))


async def main(url, transport, revision="auto"):
    # Of the revisions with a handshake this client only offers the newest.
    mode = "legacy" if revision == "2025-11-25" else revision
    if transport == "sse":
        await converse(sse_client(url, headers=HEADERS), mode)
        return
    async with httpx2.AsyncClient(headers=HEADERS, timeout=TIMEOUT_S) as http:
        await converse(streamable_http_client(url, http_client=http), mode)


anyio.run(main, *sys.argv[1:])
