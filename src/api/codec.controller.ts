import { Body, Controller, HttpCode, Inject, Post } from '@nestjs/common';
import type { Payload } from '@temporalio/common';
import type { z } from 'zod';
import { openPayload, sealPayload } from '../sealing/sealed-payload.js';
import type { SealingKeys } from '../signing/seal.js';
import { codecPayloads } from './codec.schema.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { Operation } from './openapi.js';
import { Problem, type ProblemCode } from './problem.js';

type Payloads = z.output<typeof codecPayloads>;

const PROBLEM_CODES: readonly ProblemCode[] = [
  'invalid_request',
  'not_found',
  'payload_too_large',
  'unsupported_media_type',
];

const CORS_HEADERS = ['Access-Control-Allow-Origin', 'Vary'] as const;

/** Temporal's codec server protocol, so that its UI and its CLI show sealed histories to those who may see them. */
@Controller('codec')
export class CodecController {
  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {}

  @Post('decode')
  @HttpCode(200)
  @Operation({
    summary: 'Open payloads of Temporal',
    access: ['operator'],
    description: 'What is not sealed, or by no key that is set here, comes back as it is.',
    success: [
      { status: 200, schema: codecPayloads, description: 'In the same order.', headers: CORS_HEADERS },
    ],
    problems: PROBLEM_CODES,
  })
  decodePayloads(@Body({ schema: codecPayloads }) { payloads }: Payloads): Payloads {
    const keys = this.keys();
    return answerOf(
      payloads.map(received).map((payload) => {
        const opened = openPayload(payload, keys);
        return opened.kind === 'opened' ? opened.payload : payload;
      }),
    );
  }

  @Post('encode')
  @HttpCode(200)
  @Operation({
    summary: 'Seal payloads for Temporal',
    access: ['operator'],
    description:
      'With the key that seals now. A sealed message is no proven one: the front door alone proves.',
    success: [
      { status: 200, schema: codecPayloads, description: 'In the same order.', headers: CORS_HEADERS },
    ],
    problems: PROBLEM_CODES,
  })
  encodePayloads(@Body({ schema: codecPayloads }) { payloads }: Payloads): Payloads {
    const keys = this.keys();
    return answerOf(payloads.map(received).map((payload) => sealPayload(payload, keys)));
  }

  private keys(): SealingKeys {
    const { payloadKeys } = this.deps.config;
    if (!payloadKeys) throw new Problem('not_found', 'PAYLOAD_KEYS is not set: nothing is sealed.');
    return payloadKeys;
  }
}

function received({ metadata = {}, data = '' }: Payloads['payloads'][number]): Payload {
  const named = Object.entries(metadata).map(([name, value]) => [name, Buffer.from(value, 'base64')]);
  return { metadata: Object.fromEntries(named) as Record<string, Buffer>, data: Buffer.from(data, 'base64') };
}

function answerOf(payloads: readonly Payload[]): Payloads {
  return {
    payloads: payloads.map(({ metadata, data }) => ({
      metadata: Object.fromEntries(
        Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString('base64')]),
      ),
      data: Buffer.from(data ?? []).toString('base64'),
    })),
  };
}
