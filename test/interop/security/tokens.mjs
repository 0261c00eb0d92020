/**
 * A small OpenID Connect provider: signed tokens for `client_credentials`, its keys, and faults.
 */
import { createSign, generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { listenAnywhere } from "../../../scripts/lib/program.mjs";

const lifeS = 60;

/** Starts it. Each fault is an endpoint of its own: `endpoint(name)`, one of those below; "good" has none. */
export async function startTokens() {
  const [own, strange] = [newKey("own"), newKey("own")];
  const audience = "kafka";
  const clientSecret = `client-secret-${randomUUID()}`;
  let address = "";
  const claims = (more = {}) => {
    const nowS = Math.floor(Date.now() / 1_000);
    return { iss: address, aud: audience, sub: "oscar", scope: "write", iat: nowS, exp: nowS + lifeS, ...more };
  };
  const answers = {
    good: () => tokenBody(own, claims()),
    "wrong signer": () => tokenBody(strange, claims()),
    "wrong audience": () => tokenBody(own, claims({ aud: "somebody else" })),
    "wrong issuer": () => tokenBody(own, claims({ iss: "http://elsewhere.example" })),
    expired: () => tokenBody(own, claims({ exp: Math.floor(Date.now() / 1_000) - 120 })),
    rubbish: () => [200, "<html>"],
    refusing: () => [400, JSON.stringify({ error: "invalid_client", error_description: "who are you?" })],
    slow: () => undefined,
  };
  const issued = { count: 0 };
  const server = createServer((request, response) => {
    const send = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(body);
    const path = decodeURIComponent(new URL(request.url, "http://x").pathname.slice(1));
    if (path === "keys") return send(200, JSON.stringify({ keys: [own.jwk] }));
    const basic = Buffer.from((request.headers.authorization ?? "").replace(/^Basic /, ""), "base64").toString();
    if (basic !== `sluice:${clientSecret}`) return send(401, JSON.stringify({ error: "invalid_client" }));
    const answer = answers[path]?.();
    issued.count++;
    if (answer !== undefined) send(...answer);
  });
  const port = await listenAnywhere(server);
  address = `http://127.0.0.1:${port}`;
  return {
    audience,
    issued,
    issuer: address,
    keysUrl: `${address}/keys`,
    clientSecret,
    endpoint: (name) => `${address}/${encodeURIComponent(name)}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function newKey(kid) {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { kid, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, alg: "RS256", use: "sig" } };
}

function tokenBody({ kid, privateKey }, claims) {
  const [header, payload] = [{ alg: "RS256", typ: "JWT", kid }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString("base64url")
  );
  const signature = createSign("sha256").update(`${header}.${payload}`).sign(privateKey, "base64url");
  const body = { access_token: `${header}.${payload}.${signature}`, token_type: "Bearer", expires_in: lifeS };
  return [200, JSON.stringify(body)];
}
