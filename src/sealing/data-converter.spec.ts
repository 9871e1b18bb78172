import { describe, expect, it } from '@jest/globals';
import { ApplicationFailure, defaultPayloadConverter, type Payload } from '@temporalio/common';
import {
  decodeOptionalFailureToOptionalError,
  encodeErrorToFailure,
} from '@temporalio/common/lib/internal-non-workflow/codec-helpers.js';
import { loadDataConverter } from '@temporalio/common/lib/internal-non-workflow/data-converter-helpers.js';
import { seal } from '../signing/seal.js';
import { readAsNothing, refuseByThrowing, sealingConverter, type PayloadKeys } from './data-converter.js';

const OLD = { id: 'old', secret: Buffer.alloc(32, 1) };
const NEW = { id: 'k.2', secret: Buffer.alloc(32, 2) };
const ring = (keys: PayloadKeys['keys'], acceptsPlain = false): PayloadKeys => ({ keys, acceptsPlain });
const SECRET = { actor: 'rita@example.com', amountMinor: 4_200 };
const plain = defaultPayloadConverter.toPayload(SECRET);

describe('a payload', () => {
  it('is unreadable without the key, says which key that is, and differs each time', async () => {
    const [sealed, again] = await Promise.all([sealedBy(ring([NEW, OLD])), sealedBy(ring([NEW, OLD]))]);
    expect(textsOf(sealed)).toEqual({
      encoding: 'binary/encrypted',
      'encryption-cipher': 'AES-256-GCM',
      'encryption-key-id': 'k.2',
    });
    expect(Buffer.from(sealed.data!).toString('latin1')).not.toMatch(/rita|4200|json/);
    expect(again.data).not.toEqual(sealed.data);
  });

  it('is opened by every key of the ring, wherever it stands', async () => {
    const sealed = await sealedBy(ring([OLD]));
    expect(contentOf(await openedBy(ring([NEW, OLD]), sealed))).toEqual(SECRET);
    expect(contentOf(await openedBy(ring([OLD]), sealed))).toEqual(SECRET);
  });

  it('that was altered anywhere is refused', async () => {
    const { metadata, data } = await sealedBy(ring([OLD]));
    for (let at = 0; at < data!.length; at += 1) {
      const bytes = Buffer.from(data!);
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
      await expect(openedBy(ring([OLD]), { metadata: metadata!, data: bytes })).rejects.toThrow('not sealed');
    }
    await expect(openedBy(ring([OLD]), { metadata: metadata! })).rejects.toThrow('not sealed');
  });

  it('under the name of another key is refused', async () => {
    const { metadata, data } = await sealedBy(ring([OLD]));
    const renamed = { metadata: { ...metadata, 'encryption-key-id': Buffer.from('k.2') }, data: data! };
    await expect(openedBy(ring([NEW, OLD]), renamed)).rejects.toThrow('not sealed');
    const twin = { id: 'k.2', secret: OLD.secret };
    await expect(openedBy(ring([twin, OLD]), renamed)).rejects.toThrow('not sealed');
  });

  it('that a key sealed which is not set here is no reason to decide anything', async () => {
    const sealed = await sealedBy(ring([NEW]));
    const worker = sealingConverter(
      ring([OLD]),
      readAsNothing(() => undefined),
    );
    await expect(worker.payloadCodecs![0]!.decode([sealed])).rejects.toThrow('not set here: k.2');
    const [id, evil] = ['encryption-key-id', Buffer.from('x\n'.repeat(50))];
    const named = { metadata: { ...sealed.metadata, [id]: evil }, data: sealed.data! };
    await expect(openedBy(ring([OLD]), named)).rejects.toThrow(/not set here: \(no name of a key\)$/);
  });

  it('that nobody sealed is believed while the ring ends in `plain`, and refused else', async () => {
    expect(contentOf(await openedBy(ring([OLD], true), plain))).toEqual(SECRET);
    await expect(openedBy(ring([OLD]), plain)).rejects.toThrow('not sealed');
    const altered = { ...(await sealedBy(ring([OLD]))), data: Buffer.alloc(40) };
    await expect(openedBy(ring([OLD], true), altered)).rejects.toThrow('not sealed');
  });

  it('is never a credential of the ledger, though the key is the same', async () => {
    const [keyId, bytes = ''] = seal('refresh-token', ring([OLD])).split('.');
    const { metadata } = await sealedBy(ring([OLD]));
    const posing = { metadata: metadata!, data: Buffer.from(bytes, 'base64url') };
    expect(textsOf(posing)['encryption-key-id']).toBe(keyId);
    await expect(openedBy(ring([OLD]), posing)).rejects.toThrow('not sealed');
  });
});

describe('a worker', () => {
  const refused: unknown[] = [];
  const worker = sealingConverter(
    ring([OLD]),
    readAsNothing((workflowId) => refused.push(workflowId)),
  ).payloadCodecs![0]!;
  const context = { namespace: 'default', workflowId: 'refund/rfd_1' };

  it('reads an empty envelope in the place of what nobody sealed, and says so', async () => {
    const [read] = await worker.decode([plain], { ...context, type: 'workflow' });
    expect(contentOf(read!)).toEqual({ body: {} });
    expect(refused.at(-1)).toBe('refund/rfd_1');
  });

  it('goes on from no local step whose result nobody sealed', async () => {
    const step = { ...context, type: 'activity', isLocal: true } as const;
    await expect(worker.decode([plain], step)).rejects.toThrow('not sealed');
    const [answer] = await worker.decode([plain], { ...step, isLocal: false });
    expect(contentOf(answer!)).toEqual({ body: {} });
  });
});

describe('a failure', () => {
  it('shows its type alone, and whoever has the key its message, stack and details', async () => {
    const converter = loadDataConverter(sealingConverter(ring([OLD]), refuseByThrowing));
    const cause = ApplicationFailure.nonRetryable('rita asked', 'Inner', SECRET);
    const error = ApplicationFailure.create({ message: 'of rita', type: 'Outer', cause, details: [SECRET] });
    const failure = await encodeErrorToFailure(converter, error);
    const shown = JSON.stringify(failure, (_, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
    );
    expect(shown).not.toMatch(/rita|4200|data-converter\.spec/);
    expect(shown).toMatch(/Outer[^]*Inner|Inner[^]*Outer/);
    expect(await decodeOptionalFailureToOptionalError(converter, failure)).toMatchObject({
      message: 'of rita',
      details: [SECRET],
      cause: { message: 'rita asked', details: [SECRET] },
    });
  });
});

describe('without keys', () => {
  it('everything is as the SDK writes it', () => {
    expect(sealingConverter(null, refuseByThrowing)).toEqual({});
  });
});

async function sealedBy(keys: PayloadKeys): Promise<Payload> {
  const [sealed] = await sealingConverter(keys, refuseByThrowing).payloadCodecs![0]!.encode([plain]);
  return sealed!;
}

async function openedBy(keys: PayloadKeys, payload: Payload): Promise<Payload> {
  const [opened] = await sealingConverter(keys, refuseByThrowing).payloadCodecs![0]!.decode([payload]);
  return opened!;
}

function contentOf(payload: Payload): unknown {
  return defaultPayloadConverter.fromPayload(payload);
}

function textsOf({ metadata }: Payload): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata ?? {}).map(([name, bytes]) => [name, Buffer.from(bytes).toString()]),
  );
}
