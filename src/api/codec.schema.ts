import { z } from 'zod';

/** As protobuf writes bytes in JSON. */
const bytes = z.base64();

const payload = z.object({ metadata: z.record(z.string(), bytes).optional(), data: bytes.optional() }).meta({
  id: 'TemporalPayload',
  description: 'As Temporal writes it in JSON; what else it has is not kept.',
});

/** Other members are left aside: the protocol is Temporal's, and its tools get newer. */
export const codecPayloads = z.object({ payloads: z.array(payload) }).meta({ id: 'TemporalPayloads' });
