import { z } from 'zod';

/** As protobuf writes bytes in JSON. */
const bytes = z.base64();

const payload = z
  .looseObject({ metadata: z.record(z.string(), bytes).optional(), data: bytes.optional() })
  .meta({
    id: 'TemporalPayload',
    description: 'As Temporal writes it in JSON; what else it has is not kept.',
  });

/** A page of a history has far fewer, and each one costs. */
const PAYLOADS_MAX = 1_000;

/** Other members are left aside: the protocol is Temporal's, and its tools get newer. */
export const codecPayloads = z.looseObject({ payloads: z.array(payload).max(PAYLOADS_MAX) }).meta({
  id: 'TemporalPayloads',
  examples: [{ payloads: [{ metadata: { encoding: 'anNvbi9wbGFpbg==' }, data: 'eyJvayI6dHJ1ZX0=' }] }],
});
