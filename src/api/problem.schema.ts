import { z } from 'zod';
import { PROBLEMS, type ProblemCode } from './problem.js';

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string(),
    code: z.enum(Object.keys(PROBLEMS) as ProblemCode[]),
    request_id: z.string(),
    retryable: z.boolean().meta({ description: 'The same request may be sent again, unchanged.' }),
    errors: z.array(z.object({ pointer: z.string(), detail: z.string(), code: z.string().optional() })),
  })
  .meta({ id: 'Problem', description: 'RFC 9457.' });
