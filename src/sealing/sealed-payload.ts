import type { Payload } from '@temporalio/common';
import proto from '@temporalio/proto';
import { sealBytes, unsealBytes, type SealingKeys } from '../signing/seal.js';

/** The words of Temporal's own samples, so that a history says in every tool what it is. */
const ENCODING = 'binary/encrypted';
const CIPHER = 'AES-256-GCM';

export type Opened =
  | { readonly kind: 'opened'; readonly payload: Payload }
  | { readonly kind: 'notSealed' }
  /** Whoever has the key can read it. */
  | { readonly kind: 'unknownKey'; readonly keyId: string }
  /** Nobody has sealed this. */
  | { readonly kind: 'broken' };

/** The whole payload, its own metadata too, sealed with the first key of the ring. */
export function sealPayload(payload: Payload, keys: SealingKeys): Payload {
  const { keyId, bytes } = sealBytes(ProtoPayload.encode(payload).finish(), keys, about);
  return {
    metadata: {
      encoding: Buffer.from(ENCODING),
      'encryption-cipher': Buffer.from(CIPHER),
      'encryption-key-id': Buffer.from(keyId),
    },
    data: bytes,
  };
}

export function openPayload(payload: Payload, keys: SealingKeys): Opened {
  const { metadata, data } = payload;
  if (textOf(metadata?.['encoding']) !== ENCODING) return { kind: 'notSealed' };
  const keyId = textOf(metadata?.['encryption-key-id']);
  if (!keys.keys.some(({ id }) => id === keyId)) return { kind: 'unknownKey', keyId };
  let opened: Buffer;
  try {
    opened = unsealBytes({ keyId, bytes: Buffer.from(data ?? []) }, keys, about);
  } catch {
    return { kind: 'broken' };
  }
  const { metadata: own, data: content } = ProtoPayload.decode(opened);
  return { kind: 'opened', payload: { metadata: own, data: content } };
}

const { Payload: ProtoPayload } = proto.temporal.api.common.v1;

/** Not the words under which credentials rest in the ledger: none of those opens as a payload. */
function about(keyId: string): string {
  return `${ENCODING} ${keyId}`;
}

function textOf(bytes: Uint8Array | null | undefined): string {
  return Buffer.from(bytes ?? []).toString();
}
