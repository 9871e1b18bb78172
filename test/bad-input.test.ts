import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { openFrontDoor, paymentBody, type Answer, type FrontDoor } from './setup/front-door.js';

let door: FrontDoor;
let key: string;
beforeAll(async () => {
  door = await openFrontDoor();
  key = await door.key('requester');
});
afterAll(() => door.close());
beforeEach(() => void door.logged.splice(0));

const PLANTED = 'planted-words';

function post(body: string, headers: Record<string, string> = {}): Promise<Answer> {
  return door.call('POST', '/v1/payments', { body, headers });
}

/** The text of a valid registration, with `more` before its end. */
function registration(more: string): string {
  return `${JSON.stringify(paymentBody).slice(0, -1)},${more}}`;
}

async function expectRefused(
  answer: Promise<Answer>,
  status = 400,
  code = 'invalid_request',
): Promise<Answer> {
  const given = await answer;
  expect([given.status, given.body.code]).toEqual([status, code]);
  const payments = await door.db.selectFrom('payments').selectAll().execute();
  expect(payments).toEqual([]);
  expect(JSON.stringify(door.logged)).not.toContain(PLANTED);
  return given;
}

async function sendRaw(lines: readonly string[], body = ''): Promise<string> {
  const socket = connect(Number(new URL(door.origin).port), '127.0.0.1');
  socket.write(Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`, 'latin1'));
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk.toString()));
  await once(socket, 'close');
  return answer;
}

describe('a body that two readers would read differently is 400 and changes nothing', () => {
  it.each([
    ['a member twice', registration('"amount":1'), '/amount'],
    ['a member twice with the same value', registration('"amount":10000'), '/amount'],
    ['a member twice, once with an escape', registration('"\\u0061mount":1'), '/amount'],
    [
      'a member twice, further inside',
      registration('"metadata":{"a":"{\\"","b":"1","a":"2"}'),
      '/metadata/a',
    ],
    ['a member twice, in a list', registration('"metadata":[{},{"x":1,"x":2}]'), '/metadata/1/x'],
    ['infinity', registration('"metadata":1e400').replace('10000', '1e400'), '/amount'],
    ['2^53 + 1', registration('"reference":"x"').replace('10000', '9007199254740993'), '/amount'],
    [
      'what rounds to a valid amount',
      registration('"reference":"x"').replace('10000', '1.00000000000000000001'),
      '/amount',
    ],
    ['-0', registration('"reference":"x"').replace('10000', '-0'), '/amount'],
    ['what rounds to zero', registration('"reference":"x"').replace('10000', '1e-400'), '/amount'],
  ])('%s', async (_, body, pointer) => {
    const { body: problem } = await expectRefused(post(body));
    expect(problem.errors[0]?.pointer).toBe(pointer);
  });

  it.each([
    ['__proto__', '"__proto__":{"amount":1}'],
    ['__proto__, escaped', '"\\u005f_proto__":{"amount":1}'],
    ['__proto__ inside', '"metadata":{"__proto__":{}}'],
    ['constructor.prototype', '"constructor":{"prototype":{}}'],
  ])('members that reach a prototype: %s', async (_, more) => {
    await expectRefused(post(registration(more)));
  });

  it('a number of thousands of digits, without reckoning over it', async () => {
    const beforeMs = performance.now();
    await expectRefused(post(registration(`"reference":1${'0'.repeat(60_000)}1`)));
    expect(performance.now() - beforeMs).toBeLessThan(1_000);
  });

  it('a byte order mark', async () => {
    await expectRefused(post(`\ufeff${JSON.stringify(paymentBody)}`));
  });

  it('thousands of levels', async () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const levels = 9_000;
      await expectRefused(post(registration(`"metadata":${open.repeat(levels)}1${close.repeat(levels)}`)));
    }
  });
});

describe('texts', () => {
  const withReference = (reference: string) => ({ ...paymentBody, reference });
  const register = (body: object) => door.call('POST', '/v1/payments', { body });

  it.each([
    ['a NUL', 'a\0b'],
    ['a line break', `${PLANTED}\n`],
    ['an escape sequence', '\u001b[31m'],
    ['half a surrogate pair', '\ud800'],
    ['a bidi override', 'a\u202eb'],
    ['a zero-width space', 'a\u200bb'],
    ['a zero-width joiner', 'a\u200db'],
    ['a soft hyphen', 'a\u00adb'],
    ['a byte order mark', '\ufeffa'],
    ['tags of plane 14', 'a\u{e0041}'],
  ])('a reference with %s is 400, and so is an id and a name', async (_, text) => {
    await expectRefused(register(withReference(text)));
    await expectRefused(register({ ...paymentBody, provider_payment_id: text }));
    await expectRefused(register({ ...paymentBody, metadata: { [text]: 'x' } }));
    expect(
      (await door.call('GET', `/v1/refunds/${encodeURIComponent(Buffer.from(text).toString())}`)).status,
    ).toBe(400);
  });

  it.each([
    ['a NUL', '\0'],
    ['half a surrogate pair', 'x\udc00'],
    ['a bidi override', '\u202e001'],
    ['a bidi isolate', '\u2066'],
  ])('a free text with %s is 400', async (_, text) => {
    await expectRefused(register({ ...paymentBody, metadata: { note: text } }));
  });

  it('an idempotency key and a request id outside printable ASCII', async () => {
    const lines = ['POST /v1/refunds HTTP/1.1', 'Host: x', `Authorization: Bearer ${key}`];
    const body = ['Content-Type: application/json', 'Content-Length: 2', 'Connection: close'];
    for (const bad of ['k\u00e9y', 'a\tb', '\u00ad']) {
      expect(await sendRaw([...lines, `Idempotency-Key: ${bad}`, ...body], '{}')).toMatch(/^HTTP\/1\.1 400 /);
    }
    expect(door.engine.asked).toEqual([]);
  });
});

describe('bodies of another kind', () => {
  const text = JSON.stringify(paymentBody);

  it.each([
    ['text/plain'],
    ['application/jsonp'],
    ['application/x-www-form-urlencoded'],
    ['multipart/form-data; boundary=x'],
    ['application/json; charset=utf-16'],
    ['application/json; charset="iso-8859-1"'],
    ['application/json; charset=utf-8; charset=utf-16'],
  ])('415 for %s', async (type) => {
    await expectRefused(post(text, { 'content-type': type }), 415, 'unsupported_media_type');
  });

  it.each([
    ['{', {}],
    [text, { 'content-type': 'text/plain' }],
    ['{"amount":1,"amount":2}', {}],
  ])('401 before anything is said of %j, to who has no key', async (body, headers) => {
    const { status } = await door.call('POST', '/v1/payments', { key: null, body, headers });
    expect(status).toBe(401);
  });

  it('count towards the limit of who sends them', async () => {
    const { headers } = await post('{');
    const { headers: next } = await post('{');
    const left = (of: Record<string, string>) => Number(/r=(\d+)/.exec(of['ratelimit'] ?? '')?.[1]);
    expect(left(headers) - left(next)).toBe(1);
  });

  it('415 for a compressed body, whatever it would become', async () => {
    await expectRefused(post(text, { 'content-encoding': 'gzip' }), 415, 'unsupported_media_type');
  });

  it('400 for what is not UTF-8', async () => {
    const head = [
      'POST /v1/payments HTTP/1.1',
      'Host: x',
      `Authorization: Bearer ${key}`,
      'Connection: close',
    ];
    const body = '{"reference":"\xff"}';
    const lines = [...head, 'Content-Type: application/json', `Content-Length: ${body.length}`];
    expect(await sendRaw(lines, body)).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe('heads that could be read in two ways are 400, and no second request hides behind them', () => {
  const hidden = `GET /v1/refunds HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nConnection: close\r\n\r\n`;
  const head = () => ['POST /v1/payments HTTP/1.1', 'Host: x', `Authorization: Bearer ${key}`];

  it.each([
    ['Transfer-Encoding with Content-Length', ['Transfer-Encoding: chunked', 'Content-Length: 4']],
    ['Content-Length with Transfer-Encoding', ['Content-Length: 4', 'Transfer-Encoding: chunked']],
    ['two Content-Lengths', ['Content-Length: 0', 'Content-Length: 4']],
    ['an unknown Transfer-Encoding', ['Transfer-Encoding: xchunked']],
    ['chunked before another coding', ['Transfer-Encoding: chunked, identity']],
    ['an obsolete line fold', ['X-Folded: a', ' b']],
    ['a blank before the colon', ['X-Blank : a']],
    ['a bare carriage return', ['X-Bare: a\rb']],
    ['a NUL', ['X-Nul: a\0b']],
  ])('%s', async (_, lines) => {
    const answer = await sendRaw([...head(), ...lines], `0\r\n\r\n${hidden.replace('KEY', key)}`);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400']);
    expect(answer).toContain('"code":"invalid_request"');
  });

  it.each([
    ['Authorization', () => `Authorization: Bearer ${key}`],
    ['Idempotency-Key', () => 'Idempotency-Key: one'],
    ['Content-Type', () => 'Content-Type: application/json'],
    ['Host', () => 'Host: y'],
  ])('%s twice, also with the same value', async (name, line) => {
    const lines = ['GET /v1/refunds HTTP/1.1', 'Host: x', 'Connection: close', line(), line()];
    const answer = await sendRaw(lines);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain(`"pointer":"/${name.toLowerCase()}"`);
    expect(answer).toMatch(/^x-content-type-options: nosniff\r$/im);
  });

  it.each([
    ['no Host', 'GET /v1/refunds HTTP/1.1', [], '/host'],
    ['an expectation that nobody knows', 'GET /v1/refunds HTTP/1.1', ['Host: x', 'Expect: more'], '/expect'],
    [
      'a transfer coding of HTTP/1.0',
      'POST /v1/payments HTTP/1.0',
      ['Host: x', 'Transfer-Encoding: chunked'],
      '/transfer-encoding',
    ],
  ])('%s', async (_, line, lines, pointer) => {
    const answer = await sendRaw([line, `Authorization: Bearer ${key}`, 'Connection: close', ...lines]);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain(`"pointer":"${pointer}"`);
  });

  it('431 for more fields than any honest request has, though they are short', async () => {
    const many = Array.from({ length: 101 }, (_, index) => `X-${index}: 1`);
    const answer = await sendRaw(['GET /v1/refunds HTTP/1.1', 'Host: x', 'Connection: close', ...many]);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
  });
});

describe('targets', () => {
  it.each([
    ['/v1/refunds?__proto__=1', 400],
    ['/v1/refunds?reference=%zz', 400],
    ['/v1/refunds?reference=%ed%a0%80', 400],
    ['/v1/refunds?reference=%00', 400],
    ['/v1/refunds?limit=1&limit=2', 400],
    ['/v1/refunds?limit[]=1', 400],
    [`/v1/refunds?reference=${'x'.repeat(12_000)}`, 400],
    ['/v1/refunds/rfd%00', 400],
    ['/v1/refunds/rfd%2fevents', 400],
    ['/v1/refunds/..%2f..%2fpayments', 400],
    ['/v1/refunds/%ff', 400],
    [`/v1/refunds/${'x'.repeat(2_000)}`, 404],
    ['//v1/refunds', 404],
    ['/v1/refunds/', 404],
    ['/V1/refunds', 404],
    ['/v1/refunds/../refunds', 404],
    ['/v1/refunds;a=b', 404],
  ])('%s is %i', async (target, status) => {
    const answer = await sendRaw([
      `GET ${target} HTTP/1.1`,
      'Host: x',
      `Authorization: Bearer ${key}`,
      'Connection: close',
    ]);
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(answer).toContain('application/problem+json');
  });

  it.each(['OPTIONS', 'TRACE', 'PATCH', 'PROPFIND'])('%s is 405', async (method) => {
    const answer = await sendRaw([`${method} /v1/refunds HTTP/1.1`, 'Host: x', 'Connection: close']);
    expect(answer).toMatch(/^HTTP\/1\.1 405 /);
    expect(answer).toContain('"code":"method_not_allowed"');
  });
});

describe('every answer', () => {
  it('carries the headers that browsers keep to, and names no framework', async () => {
    const paths = ['/v1/refunds', '/nothing', '/docs', '/openapi.json', '/health/live'];
    for (const { headers } of await Promise.all(paths.map((path) => door.call('GET', path)))) {
      expect(headers).toMatchObject({
        'content-security-policy': expect.stringContaining("default-src 'none'"),
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'strict-transport-security': expect.stringMatching(/max-age=\d+/),
        'cache-control': 'no-store',
      });
      expect(headers).not.toHaveProperty('x-powered-by');
      expect(headers).not.toHaveProperty('server');
    }
  });

  it('lets /docs load what it needs, and nothing of others', async () => {
    const { text, headers } = await door.call('GET', '/docs');
    const loaded = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url!);
    expect(loaded.every((url) => url.startsWith('/docs/') || url === 'data:,')).toBe(true);
    expect(text).not.toMatch(/<script>|style=|onload=/);
    expect(headers['content-security-policy']).toMatch(/script-src 'self';.*connect-src 'self'/);
  });
});
