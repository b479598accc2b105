// The reference shows our document, asks no other server for anything, and keeps no key.
Scalar.createApiReference("#reference", {
    url: "/openapi.json",
    servers: [{ url: location.origin, description: "This gateway" }],
    authentication: { preferredSecurityScheme: "bearer" },
    persistAuth: false,
    telemetry: false,
    withDefaultFonts: false,
    agent: { disabled: true },
    mcp: { disabled: true },
    hideClientButton: true,
    showDeveloperTools: "never",
    documentDownloadType: "direct",
});
