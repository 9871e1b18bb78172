import { z } from 'zod';
import { APPROVAL_STATES, VOTE_DECISIONS } from '../domain/vote.js';
import { instant, printable } from './field.schema.js';

const COMMENT_MAX = 500;
const CONTENT_HASH_MAX = 128;

export const voteBody = z
  .strictObject({
    content_hash: printable(CONTENT_HASH_MAX).meta({
      description:
        'The `approval.content_hash` of the refund that you looked at: the vote is for that, and nothing else.',
    }),
    comment: printable(COMMENT_MAX).optional().meta({ description: 'Kept with the vote.' }),
  })
  .meta({
    id: 'Vote',
    examples: [
      {
        content_hash: '5f0c2f7d1f0f9b6d2d6f0f3a6a2c4b1e8e7a9d0c3b5f7e1a2c4d6e8f0a1b2c3d',
        comment: 'Checked with the shop.',
      },
    ],
  });
export type VoteBody = z.output<typeof voteBody>;

/** Absent or empty: nobody said why. */
export const cancelBody = z
  .strictObject({ reason: printable(COMMENT_MAX).optional() })
  .optional()
  .meta({ id: 'Cancellation', examples: [{ reason: 'The customer kept the goods.' }] });
export type CancelBody = z.output<typeof cancelBody>;

export const extensionBody = z
  .strictObject({
    expires_at: instant.meta({
      description: 'Later than the present end, and never beyond the refund window.',
    }),
  })
  .meta({ id: 'ApprovalExtension', examples: [{ expires_at: '2026-03-20T18:00:00Z' }] });
export type ExtensionBody = z.output<typeof extensionBody>;

export const approvalResource = z
  .object({
    state: z.enum(APPROVAL_STATES).meta({
      description: '`canceled`: the round ended before it was decided.',
    }),
    required: z.int().meta({ description: 'So many people other than who asked must approve.' }),
    missing: z.int().meta({ description: 'So many approvals are not given yet.' }),
    votes: z
      .array(
        z.object({
          actor: z.string(),
          decision: z.enum(VOTE_DECISIONS),
          comment: z.string().nullable(),
          created_at: z.iso.datetime(),
        }),
      )
      .meta({
        description: 'Of this round, oldest first. A resend that a person orders opens another round.',
      }),
    content_hash: z.string().meta({ description: 'What a vote is for: send it with the vote.' }),
    requested_at: z.iso.datetime(),
    expires_at: z.iso.datetime().meta({ description: 'Votes count before it.' }),
  })
  .meta({
    id: 'Approval',
    examples: [
      {
        state: 'pending',
        required: 2,
        missing: 1,
        votes: [{ actor: 'ana', decision: 'approve', comment: null, created_at: '2026-03-02T15:00:00.000Z' }],
        content_hash: '460706380ba442c072714b173076c4fafdfd57b9aa1da0e2a735c7e7d8f7d305',
        requested_at: '2026-03-02T14:05:00.000Z',
        expires_at: '2026-03-09T14:05:00.000Z',
      },
    ],
  });
