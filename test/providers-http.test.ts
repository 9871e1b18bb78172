import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createHttpClient, HttpFailure, SEND_REFUSED, type HttpRequest } from '../src/providers/http.js';

const TIMEOUT_MS = 400;
const GET: HttpRequest = { method: 'GET', path: '/', headers: {} };
const POST: HttpRequest = { method: 'POST', path: '/', headers: {}, body: '{}' };

/** Made for this test, for localhost; nothing trusts it. */
const SELF_SIGNED_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgyXdJnM9NqvA6VFj+
YsHxS2V7hTL4lDpVCYZMk3rq7m+hRANCAATrzxI5sZ50p+wEv39k2fBFBknRBx+F
UdZ7cONT87ouF8adYCwch7r5mMlcc5Tw5e/ZQbfc1vQfYQTL0De93zuB
-----END PRIVATE KEY-----`;
const SELF_SIGNED = `-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUSUqJnFOBpOHjwIku73F5TLE350wwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTIzMjg0MloYDzIxMjYxMDI4
MjMyODQyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATrzxI5sZ50p+wEv39k2fBFBknRBx+FUdZ7cONT87ouF8adYCwch7r5
mMlcc5Tw5e/ZQbfc1vQfYQTL0De93zuBo2kwZzAdBgNVHQ4EFgQUAzGajs+BXwXC
8sd6s4fH5KwIW8EwHwYDVR0jBBgwFoAUAzGajs+BXwXC8sd6s4fH5KwIW8EwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIgGnw/Th2gqaA24mz7k7Xed/daqn9hozSkBHKYlRObvTgCIQC2Vl/C5qsE
bJ/iqOjNpVCpGoxJeSsaqzRsA4mmau9dSA==
-----END CERTIFICATE-----`;

const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => {
    if ('closeAllConnections' in server) {
      (server as unknown as { closeAllConnections(): void }).closeAllConnections();
    }
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

function clientOf(origin: string, timeoutMs = TIMEOUT_MS) {
  const clients = createHttpClient({ timeoutMs });
  cleanups.push(() => clients.close());
  return clients(origin);
}

/** A server that counts what reaches it, and a client for it. */
async function serve(listener: (request: IncomingMessage, response: ServerResponse) => void) {
  const seen = { requests: 0 };
  const counting: RequestListener = (request, response) => {
    seen.requests += 1;
    listener(request, response);
  };
  const port = await listen(createServer(counting));
  return { seen, client: clientOf(`http://127.0.0.1:${port}`) };
}

async function failureOf(call: Promise<unknown>): Promise<HttpFailure> {
  const failure: unknown = await call.then(
    () => null,
    (error: unknown) => error,
  );
  if (!(failure instanceof HttpFailure)) throw new Error('the call did not fail as a HttpFailure');
  return failure;
}

async function closedPort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('a whole answer', () => {
  it('has status, first headers in lower case and the body', async () => {
    const { client, seen } = await serve((_request, response) => {
      response.writeHead(422, { 'X-One': 'a', 'Set-Cookie': ['b', 'c'] });
      response.end('{"ção":1}');
    });
    const answer = await client.send(POST);
    expect(answer).toMatchObject({
      status: 422,
      body: '{"ção":1}',
      headers: { 'x-one': 'a', 'set-cookie': 'b' },
    });
    expect(seen.requests).toBe(1);
  });

  it('is a redirect itself, never what it points to', async () => {
    const { client, seen } = await serve((_request, response) => {
      response.writeHead(307, { location: '/elsewhere' }).end();
    });
    expect(await client.send(POST)).toMatchObject({ status: 307 });
    expect(seen.requests).toBe(1);
  });

  it.each([429, 500, 503])('is a %d too, and is not asked for again', async (status) => {
    const { client, seen } = await serve((_request, response) => {
      response.writeHead(status, { 'retry-after': '0' }).end();
    });
    expect(await client.send(GET)).toMatchObject({ status });
    expect(seen.requests).toBe(1);
  });
});

describe('a call that cannot have been sent', () => {
  it('is one to a closed port', async () => {
    const client = clientOf(`http://127.0.0.1:${await closedPort()}`);
    expect(await failureOf(client.send(POST))).toMatchObject({ sent: 'no', code: 'ECONNREFUSED' });
  });

  it('is one to a name that does not exist', async () => {
    const failure = await failureOf(clientOf('http://nowhere.invalid', 5000).send(POST));
    expect(failure.sent).toBe('no');
    expect(['ENOTFOUND', 'EAI_AGAIN']).toContain(failure.code);
  });

  it('is one whose certificate is not trusted', async () => {
    let requests = 0;
    const server = createTlsServer({ key: SELF_SIGNED_KEY, cert: SELF_SIGNED }, () => (requests += 1));
    const client = clientOf(`https://localhost:${await listen(server)}`, 5000);
    expect(await failureOf(client.send(POST))).toMatchObject({
      sent: 'no',
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    });
    expect(requests).toBe(0);
  });

  it('is one whose TLS handshake does not end in time, and it is not sent later either', async () => {
    const bytes: Buffer[] = [];
    const port = await listen(
      createTcpServer((socket) => socket.on('data', (chunk) => bytes.push(chunk)).on('error', () => {})),
    );
    const client = clientOf(`https://127.0.0.1:${port}`);
    expect(await failureOf(client.send(POST))).toMatchObject({ sent: 'no', code: 'UND_ERR_CONNECT_TIMEOUT' });
    expect(Buffer.concat(bytes).includes('POST')).toBe(false);
  });

  it('is one that beforeSend refused once the connection stood', async () => {
    const { client, seen } = await serve((_request, response) => response.end());
    const refused = failureOf(client.send({ ...POST, beforeSend: () => false }));
    expect(await refused).toMatchObject({ sent: 'no', code: SEND_REFUSED });
    expect(seen.requests).toBe(0);
    expect(await client.send({ ...POST, beforeSend: () => true })).toMatchObject({ status: 200 });
  });
});

describe('a call that may have been sent', () => {
  it('is one whose connection was reset after the request, and it is sent once', async () => {
    const { client, seen } = await serve((request) => request.socket.resetAndDestroy());
    expect(await failureOf(client.send(POST))).toMatchObject({ sent: 'maybe' });
    expect(seen.requests).toBe(1);
  });

  it('is one whose connection was closed without an answer, on a connection used before', async () => {
    const { client, seen } = await serve((request, response) => {
      if (seen.requests === 1) response.end('first');
      else request.socket.destroy();
    });
    await client.send(GET);
    expect(await failureOf(client.send(GET))).toMatchObject({ sent: 'maybe' });
    expect(seen.requests).toBe(2);
  });

  it('is one whose body is cut short', async () => {
    const { client } = await serve((request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{"status":', () => request.socket.destroy());
    });
    expect(await failureOf(client.send(POST))).toMatchObject({ sent: 'maybe' });
  });

  it('is one whose chunked body ends without its end', async () => {
    const { client } = await serve((request, response) => {
      response.write('{"status":', () => request.socket.end());
    });
    expect(await failureOf(client.send(POST))).toMatchObject({ sent: 'maybe' });
  });

  it('is one that is not answered in time', async () => {
    const { client, seen } = await serve(() => {});
    expect(await failureOf(client.send(POST))).toMatchObject({ sent: 'maybe', code: 'CALL_TIMEOUT' });
    expect(seen.requests).toBe(1);
  });

  it('is one whose body trickles beyond the time of the whole call', async () => {
    const { client } = await serve((_request, response) => {
      const drip = setInterval(() => response.write('.'), TIMEOUT_MS / 8);
      response.on('close', () => clearInterval(drip));
    });
    const startedMs = performance.now();
    expect(await failureOf(client.send(POST))).toMatchObject({ sent: 'maybe', code: 'CALL_TIMEOUT' });
    expect(performance.now() - startedMs).toBeLessThan(TIMEOUT_MS * 4);
  });

  it('is one whose caller gave it up', async () => {
    const abort = new AbortController();
    const { client } = await serve(() => abort.abort());
    expect(await failureOf(client.send({ ...GET, signal: abort.signal }))).toMatchObject({
      sent: 'maybe',
      code: 'UND_ERR_ABORTED',
    });
  });

  it('is one whose answer is larger than 1 MiB', async () => {
    const { client } = await serve((_request, response) => response.end(Buffer.alloc(1024 * 1024 + 1)));
    expect(await failureOf(client.send(GET))).toMatchObject({
      sent: 'maybe',
      code: 'UND_ERR_RES_EXCEEDED_MAX_SIZE',
    });
  });

  it('is one that is not answered in HTTP', async () => {
    const port = await listen(
      createTcpServer((socket) => socket.on('data', () => socket.end('hello\r\n\r\n')).on('error', () => {})),
    );
    expect(await failureOf(clientOf(`http://127.0.0.1:${port}`).send(POST))).toMatchObject({ sent: 'maybe' });
  });

  it('is one whose client certificate is refused after the handshake', async () => {
    const server = createTlsServer(
      { key: SELF_SIGNED_KEY, cert: SELF_SIGNED, requestCert: true, rejectUnauthorized: true },
      () => {},
    );
    const port = await listen(server);
    const clients = createHttpClient({ timeoutMs: 5000 });
    cleanups.push(() => clients.close());
    const trusting = clients(`https://localhost:${port}`, { ca: SELF_SIGNED } as object);
    expect(await failureOf(trusting.send(POST))).toMatchObject({ sent: 'maybe' });
  });
});
