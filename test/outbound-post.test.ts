import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { Address } from '../src/outbound/addresses.js';
import { problemOfUrl } from '../src/outbound/endpoint-url.js';
import { createPost } from '../src/outbound/post.js';

const LOOPBACK: Address = { address: '127.0.0.1', family: 4 };
const PUBLIC: Address = { address: '93.184.215.14', family: 4 };

const servers: Server[] = [];

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
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

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
