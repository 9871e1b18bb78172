import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { problemOfUrl } from '../src/outbound/endpoint-url.js';
import { resolveByDns, type Address } from '../src/outbound/addresses.js';
import { createPost } from '../src/outbound/post.js';

const LOOPBACK: Address = { address: '127.0.0.1', family: 4 };
const PUBLIC: Address = { address: '93.184.215.14', family: 4 };

/** Made for these tests, for shop.example until 2120; nothing trusts it. And one of the same key that has ended. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgaTwjcjJ0RLN4j3c1
3aPIBHtIVkT0GI2R/uMx9o+gH4mhRANCAASz3rm8tGg6vCooojAeC9QAexG1ylSZ
LnePZcVl10WlvDmYWJQnfJL0/NK5zoz0oR7Ro9D2rglCSqOQ6mRD4HvG
-----END PRIVATE KEY-----`;
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBaTCCARCgAwIBAgIBATAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxzaG9wLmV4
YW1wbGUwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBcxFTATBgNV
BAMMDHNob3AuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABLPeuby0
aDq8KiiiMB4L1AB7EbXKVJkud49lxWXXRaW8OZhYlCd8kvT80rnOjPShHtGj0Pau
CUJKo5DqZEPge8ajSzBJMA8GA1UdEwEB/wQFMAMBAf8wHQYDVR0OBBYEFDlLoLlJ
Peww8ZoUT8yLYbvQcsw0MBcGA1UdEQQQMA6CDHNob3AuZXhhbXBsZTAKBggqhkjO
PQQDAgNHADBEAiB/oBOWEJSXbbqtCujAWqZXgXZfRKjdH2YugJ9rRijPggIgT5Qd
C+zZizhASW3nTj9HxBWV5eszO4pOdvFdzLj8L3A=
-----END CERTIFICATE-----`;
const ENDED_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBaDCCAQ6gAwIBAgIBAjAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxzaG9wLmV4
YW1wbGUwHhcNMjAwMTAxMDAwMDAwWhcNMjEwMTAxMDAwMDAwWjAXMRUwEwYDVQQD
DAxzaG9wLmV4YW1wbGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASz3rm8tGg6
vCooojAeC9QAexG1ylSZLnePZcVl10WlvDmYWJQnfJL0/NK5zoz0oR7Ro9D2rglC
SqOQ6mRD4HvGo0swSTAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBQ5S6C5ST3s
MPGaFE/Mi2G70HLMNDAXBgNVHREEEDAOggxzaG9wLmV4YW1wbGUwCgYIKoZIzj0E
AwIDSAAwRQIgNKeTU7b4WpccPHVOGQRFaYuTjCGj/ceqoKR24EuQfPMCIQDmhYXW
/0229dbsZ62a7b1m+i0OBKGWtraHNA0ghQGoYg==
-----END CERTIFICATE-----`;

const servers: Server[] = [];
const sockets: Socket[] = [];

/** A receiver on loopback, and what it was asked. */
async function receiver(
  answer: RequestListener,
): Promise<{ port: number; seen: IncomingMessage[]; connections: () => number }> {
  const seen: IncomingMessage[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    seen.push(request);
    request.resume();
    request.on('end', () => answer(request, response));
  });
  server.on('connection', () => (connections += 1));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, seen, connections: () => connections };
}

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function tlsReceiver(cert: string): Promise<{ port: number; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server = createTlsServer({ key: KEY, cert }, (request, response) => {
    seen.push(request);
    ok(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, seen };
}

/** Of one question at a time, as a resolver asks; null: it is silent. */
async function nameServer(
  answer: (name: string, type: 'A' | 'AAAA') => readonly string[] | null,
): Promise<{ server: string; asked: string[] }> {
  const asked: string[] = [];
  const socket = createSocket('udp4');
  socket.on('message', (query, { port, address }) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const question = query.subarray(12, at + 5);
    const type = query.readUInt16BE(at + 1) === 1 ? 'A' : 'AAAA';
    asked.push(`${type} ${labels.join('.')}`);
    const found = answer(labels.join('.'), type);
    if (!found) return;
    const head = Buffer.from([0, 0, 0x81, 0x80, 0, 1, 0, found.length, 0, 0, 0, 0]);
    query.copy(head, 0, 0, 2);
    const records = found.map((ip) =>
      Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...ip.split('.').map(Number)]),
    );
    socket.send(Buffer.concat([head, question, ...records]), port, address);
  });
  sockets.push(socket);
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { server: `127.0.0.1:${socket.address().port}`, asked };
}

const ok: RequestListener = (_, response) => void response.writeHead(204).end();

describe('posting to an endpoint of somebody else', () => {
  it('never connects where a name leads to a private address now, though it led to a public one when it was checked', async () => {
    const { port, connections } = await receiver(ok);
    const answers = [[PUBLIC], [LOOPBACK]];
    const rules = { allowPrivate: false, resolve: async () => answers.shift() ?? [] };
    const url = `https://rebinds.example:${port}/`;
    expect(await problemOfUrl(url, rules)).toBeNull();
    expect(await createPost(rules)(url, {}, '{}')).toEqual({ kind: 'failed', code: 'ADDRESS_REFUSED' });
    expect(connections()).toBe(0);
  });

  it('asks for a name once a connection, and connects to what it was told then', async () => {
    const { port, seen } = await receiver(ok);
    let asked = 0;
    const resolve = async () => {
      asked += 1;
      return asked === 1 ? [LOOPBACK] : [PUBLIC];
    };
    const post = createPost({ allowPrivate: true, resolve });
    expect(await post(`http://shop.example:${port}/in`, { 'webhook-id': 'msg_1' }, '{}')).toEqual({
      kind: 'answered',
      status: 204,
    });
    expect(asked).toBe(1);
    expect(seen[0]?.headers).toMatchObject({ host: `shop.example:${port}`, 'webhook-id': 'msg_1' });
  });

  it('refuses a name that leads to a public and to a private address', async () => {
    const { port, connections } = await receiver(ok);
    const post = createPost({ allowPrivate: false, resolve: async () => [PUBLIC, LOOPBACK] });
    const outcome = await post(`https://both.example:${port}/`, {}, '{}');
    expect(outcome).toEqual({ kind: 'failed', code: 'ADDRESS_REFUSED' });
    expect(connections()).toBe(0);
  });

  it.each(['127.0.0.1', '2130706433', '[::ffff:127.0.0.1]', 'localhost'])(
    'refuses %s at the connection too, whoever wrote it into the ledger',
    async (host) => {
      const { port, connections } = await receiver(ok);
      const post = createPost({ allowPrivate: false, resolve: async () => [LOOPBACK] });
      const outcome = await post(`https://${host}:${port}/`, {}, '{}');
      expect(outcome).toMatchObject({
        kind: 'failed',
        code: expect.stringMatching(/^(URL|ADDRESS)_REFUSED$/),
      });
      expect(connections()).toBe(0);
    },
  );

  it('refuses http unless private addresses are allowed', async () => {
    const { port, connections } = await receiver(ok);
    const post = createPost({ allowPrivate: false, resolve: async () => [PUBLIC] });
    expect(await post(`http://shop.example:${port}/`, {}, '{}')).toEqual({
      kind: 'failed',
      code: 'URL_REFUSED',
    });
    expect(connections()).toBe(0);
  });

  it.each([301, 302, 303, 307, 308])(
    'does not follow a redirect (%i): it is an answer like any other',
    async (status) => {
      const inside = await receiver(ok);
      const { port } = await receiver((_, response) => {
        response.writeHead(status, { location: `http://127.0.0.1:${inside.port}/secret` }).end();
      });
      const post = createPost({ allowPrivate: true, resolve: async () => [LOOPBACK] });
      expect(await post(`http://shop.example:${port}/`, {}, '{}')).toEqual({ kind: 'answered', status });
      expect(inside.connections()).toBe(0);
    },
  );

  it('is over after its time, whether nothing or only a head came', async () => {
    const silent = await receiver(() => undefined);
    const endless = await receiver((_, response) => void response.writeHead(200).write('x'));
    const post = createPost({ allowPrivate: true, resolve: async () => [LOOPBACK] }, { timeoutMs: 300 });
    const startedMs = Date.now();
    const outcomes = [silent, endless].map(({ port }) => post(`http://shop.example:${port}/`, {}, '{}'));
    expect(await Promise.all(outcomes)).toEqual([
      { kind: 'failed', code: 'TIMEOUT' },
      { kind: 'answered', status: 200 },
    ]);
    expect(Date.now() - startedMs).toBeLessThan(3_000);
  });

  it('reads no more than a little of the answer', async () => {
    let written = 0;
    const { port } = await receiver((_, response) => {
      const chunk = Buffer.alloc(64 * 1024);
      response.writeHead(200);
      const write = (): void => {
        if (response.destroyed || written > 64 * 1024 * 1024) return;
        written += chunk.length;
        if (response.write(chunk)) setImmediate(write);
        else response.once('drain', write);
      };
      response.on('error', () => undefined);
      write();
    });
    const post = createPost({ allowPrivate: true, resolve: async () => [LOOPBACK] });
    expect(await post(`http://shop.example:${port}/`, {}, '{}')).toEqual({ kind: 'answered', status: 200 });
    expect(written).toBeLessThan(16 * 1024 * 1024);
  });

  it.each([
    ['that nobody it trusts has signed', CERTIFICATE, 'shop.example', null, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['of another name', CERTIFICATE, 'other.example', CERTIFICATE, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['of a name, for an address', CERTIFICATE, '127.0.0.1', CERTIFICATE, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['that has ended', ENDED_CERTIFICATE, 'shop.example', ENDED_CERTIFICATE, 'CERT_HAS_EXPIRED'],
  ])('sends nothing where the certificate is one %s', async (...row) => {
    const [, cert, host, ca, code] = row;
    const { port, seen } = await tlsReceiver(cert);
    const rules = { allowPrivate: true, resolve: async () => [LOOPBACK] };
    const post = createPost(rules, ca === null ? {} : { ca });
    expect(await post(`https://${host}:${port}/`, {}, '{}')).toEqual({ kind: 'failed', code });
    expect(seen).toEqual([]);
  });

  it('sends over TLS to the address that was checked, by the name of the URL', async () => {
    const { port, seen } = await tlsReceiver(CERTIFICATE);
    const post = createPost({ allowPrivate: true, resolve: async () => [LOOPBACK] }, { ca: CERTIFICATE });
    const outcome = await post(`https://shop.example:${port}/in`, {}, '{}');
    expect(outcome).toEqual({ kind: 'answered', status: 204 });
    expect(seen.map(({ headers }) => headers.host)).toEqual([`shop.example:${port}`]);
  });

  it('resolves names by DNS, and gives one up whose servers are silent without holding up anybody', async () => {
    const { server, asked } = await nameServer((name, type) => {
      if (name === 'silent.example') return null;
      return name === 'shop.example' && type === 'A' ? ['93.184.215.14'] : [];
    });
    const resolve = resolveByDns([server]);
    const begunMs = Date.now();
    const silent = Array.from({ length: 8 }, () =>
      resolve('silent.example').catch((error: unknown) => error),
    );
    expect(await resolve('shop.example')).toEqual([PUBLIC]);
    expect(asked).toContain('AAAA shop.example');
    await expect(resolve('none.example')).rejects.toMatchObject({ code: 'ENODATA' });
    // What the system resolves goes through a thread, of which there are four.
    await lookup('localhost');
    expect(Date.now() - begunMs).toBeLessThan(1_500);
    for (const error of await Promise.all(silent)) expect(error).toHaveProperty('code', expect.any(String));
    expect(Date.now() - begunMs).toBeLessThan(7_000);
  }, 10_000);

  it('names what went wrong by a code', async () => {
    const { port } = await receiver((request) => void request.socket.destroy());
    const post = createPost({ allowPrivate: true, resolve: async () => [LOOPBACK] });
    expect(await post(`http://shop.example:${port}/`, {}, '{}')).toMatchObject({
      kind: 'failed',
      code: expect.stringMatching(/^(UND_ERR_SOCKET|ECONNRESET)$/),
    });
    // It speaks no TLS.
    expect(await post(`https://shop.example:${port}/`, {}, '{}')).toMatchObject({ kind: 'failed' });
  });
});
