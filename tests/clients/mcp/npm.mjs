// One MCP session by a client from npm. Prints what it found when it connected, then for each line that it reads,
// `{"name": …, "arguments": …}`, the result of that tool call. Anything unforeseen ends it with an error.
//
// Arguments: package (sdk: the 1.x line, client: 2.x), URL, transport (http or sse), and the protocol revision if
// that is not left to the client. The API key is in API_KEY.
import { createInterface } from "node:readline";

const [name, url, transportName, revision] = process.argv.slice(1);
const load = {
    sdk: async () => ({
        ...(await import("@modelcontextprotocol/sdk/client/index.js")),
        ...(await import("@modelcontextprotocol/sdk/client/sse.js")),
        ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")),
    }),
    client: () => import("@modelcontextprotocol/client"),
};
const { Client, SSEClientTransport, StreamableHTTPClientTransport } = await load[name]();

// The 1.x line knows no such options and always offers the newest revision that it has.
function pinned(revision) {
    if (!revision) return {};
    if (revision === "auto") return { versionNegotiation: { mode: "auto" } };
    if (revision >= "2026") return { versionNegotiation: { mode: { pin: revision } } };
    return { supportedProtocolVersions: [revision] };
}

const Transport = { http: StreamableHTTPClientTransport, sse: SSEClientTransport }[transportName];
const headers = { Authorization: `Bearer ${process.env.API_KEY}` };
const transport = new Transport(new URL(url), { requestInit: { headers } });

// The only place where every client, on every transport, says what was negotiated.
let negotiated;
const setProtocolVersion = transport.setProtocolVersion.bind(transport);
transport.setProtocolVersion = (version) => setProtocolVersion((negotiated = version));

const client = new Client({ name: "pg_topup-tests", version: "0" }, pinned(revision));
client.onerror = (error) => console.error(error);
await client.connect(transport);
const { tools } = await client.listTools();
print({ server: client.getServerVersion(), revision: negotiated, tools });

for await (const line of createInterface({ input: process.stdin })) {
    print(await client.callTool(JSON.parse(line)).catch(protocolError));
}
await client.close();

// Codes of JSON-RPC are negative; whatever else was thrown is not the server's answer.
function protocolError(error) {
    if (!(error.code < 0)) throw error;
    return { error: { code: error.code, message: error.message } };
}

function print(value) {
    console.log(JSON.stringify(value));
}
