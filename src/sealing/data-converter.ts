import { fileURLToPath } from 'node:url';
import type { DataConverter, Payload, PayloadCodec, SerializationContext } from '@temporalio/common';
import { assertNever } from '../domain/errors.js';
import type { SealingKeys } from '../signing/seal.js';
import { openPayload, sealPayload } from './sealed-payload.js';

export interface PayloadKeys extends SealingKeys {
  /** While runs from before the keys end: what nobody sealed is believed too. */
  readonly acceptsPlain: boolean;
}

/** What becomes of a payload that nobody with a key has sealed: what is read instead, or a throw. */
export type Refusal = (context: SerializationContext | undefined) => Payload;

/** For the bundle of workflows too, whose failures are converted inside it. */
export const FAILURE_CONVERTER_FILE = fileURLToPath(new URL('./failure-converter.cjs', import.meta.url));

/** How everything that goes to Temporal is written and read; without keys as the SDK does it. */
export function sealingConverter(keys: PayloadKeys | null, refuse: Refusal): DataConverter {
  if (!keys) return {};
  return { payloadCodecs: [createCodec(keys, refuse)], failureConverterPath: FAILURE_CONVERTER_FILE };
}

/** For those who only ask: an answer that nobody sealed is no answer. */
export function refuseByThrowing(): never {
  throw new Error('a payload is not sealed with any of PAYLOAD_KEYS');
}

/**
 * For workers: an envelope in which nothing is. A refund refuses it as a start or as a message, and takes it for no answer
 * of a step; a throw would fail the workflow's task again and again (docs/decisions/0020).
 */
export function readAsNothing(noteRefusal: (workflowId: string | undefined) => void): Refusal {
  return (context) => {
    noteRefusal(context?.workflowId);
    // A local step's result comes from the run's own worker: without it nobody can say how the run goes on.
    if (context?.type === 'activity' && context.isLocal) return refuseByThrowing();
    return NOTHING;
  };
}

const NOTHING: Payload = {
  metadata: { encoding: Buffer.from('json/plain') },
  data: Buffer.from('{"body":{}}'),
};

function createCodec(keys: PayloadKeys, refuse: Refusal): PayloadCodec {
  return {
    encode: async (payloads) => payloads.map((payload) => sealPayload(payload, keys)),
    decode: async (payloads, context) =>
      payloads.map((payload) => {
        const opened = openPayload(payload, keys);
        switch (opened.kind) {
          case 'opened':
            return opened.payload;
          case 'notSealed':
            return keys.acceptsPlain ? payload : refuse(context);
          case 'broken':
            return refuse(context);
          case 'unknownKey':
            // Another process may have it, and this one too after its next start: nothing is decided without it.
            throw new Error(`a payload is sealed with a key that is not set here: ${shown(opened.keyId)}`);
          default:
            return assertNever(opened);
        }
      }),
  };
}

/** Whoever reaches Temporal may write anything there, and this goes into logs. */
function shown(keyId: string): string {
  return /^[A-Za-z0-9._-]{1,64}$/.test(keyId) ? keyId : '(no name of a key)';
}
