/** What a person who looks at a refund in review should do, and must not do. */

export type ReviewKind =
  /** Nobody can tell by reading alone what became of it. */
  | 'unclear'
  /** The provider accepted it and does not confirm it. */
  | 'unconfirmed'
  /** Sent, unanswered, and not shown. */
  | 'notShown'
  | 'otherAmount'
  /** It had ended without money, or was written off, and shows up after all. */
  | 'lateMoney'
  | 'carriedOutTwice'
  /** It had succeeded, and the provider no longer shows it as such. */
  | 'doubted';

export interface ReviewSigns {
  readonly endsBy: 'provider' | 'person';
  readonly settled: boolean;
  readonly attempts: readonly {
    readonly conclusion: 'landed' | 'declined' | 'not_sent' | 'absent' | 'other_amount' | null;
    readonly accepted: boolean;
    /** The provider showed it at some time. */
    readonly seen: boolean;
  }[];
}

export function reviewKindOf({ endsBy, settled, attempts }: ReviewSigns): ReviewKind {
  const landings = attempts.filter(({ conclusion }) => conclusion === 'landed').length;
  const open = attempts.filter(({ conclusion }) => conclusion === null);
  if (attempts.some(({ conclusion }) => conclusion === 'other_amount')) return 'otherAmount';
  if (landings > 1) return 'carriedOutTwice';
  if (settled) return 'doubted';
  if (landings === 1 || endsBy === 'person') return 'lateMoney';
  if (open.length === 0) return 'notShown';
  return open.every(({ accepted, seen }) => accepted && !seen) ? 'unconfirmed' : 'unclear';
}

export interface Advice {
  readonly toDo: readonly string[];
  readonly neverDo: readonly string[];
}

export function adviceFor(kind: ReviewKind): Advice {
  return { toDo: TO_DO[kind], neverDo: [...NEVER, ...ALSO_NEVER[kind]] };
}

const COMPARE =
  'Compare the attempts here with the refunds of this payment at the provider: amount, status, time, and who made each.';

const TO_DO: Readonly<Record<ReviewKind, readonly string[]>> = {
  unclear: [
    COMPARE,
    'Where one of them is this refund, and done: resolve as succeeded, and name it in the evidence.',
    'Where the provider confirms that none of them is, and that none is under way: resolve as failed.',
    'Where nothing is shown at all and the provider knows nothing of it: resolve as resend.',
  ],
  unconfirmed: [
    'Ask the provider’s support what became of it; give them the idempotency key and the time of the call.',
    'Where they confirm it: wait, it leaves by itself as soon as it is shown.',
    'Where they confirm in writing that it was dropped: resolve as failed, or as resend.',
  ],
  notShown: [
    'Ask the provider’s support whether a refund of this amount was made at the time of each attempt.',
    'Where they confirm that there was none: resolve as resend to try once more, or as failed.',
  ],
  otherAmount: [
    COMPARE,
    'Find out whether the provider booked it wrongly, or this service reads its amounts wrongly: other refunds may be hit. That is why nothing more is sent there.',
    'Resolve as failed: what moved stays counted as moved outside. Ask for what is still owed as a new refund.',
    'Resume the provider once the cause is known.',
  ],
  lateMoney: [
    'Find out whether the payer was paid in another way since this refund was given up.',
    'Where it is shown as done: resolve as succeeded. What was paid twice must be claimed back outside of this service.',
    'Where the payment no longer holds the amount, because a replacement was paid: only failed is open, and what moved stays counted as moved outside.',
    'Where it is under way: wait until the provider decides, then resolve.',
  ],
  carriedOutTwice: [
    COMPARE,
    'Resolve as succeeded: one of the two is this refund, the other stays counted as moved outside.',
    'Claim the second one back from the provider or the payer, outside of this service.',
  ],
  doubted: [
    COMPARE,
    'Ask the provider why it no longer shows the refund as it did.',
    'Where it is done all the same: resolve as succeeded. Where the money came back: resolve as failed.',
  ],
};

const NEVER: readonly string[] = [
  'Do not refund this payment by hand at the provider while the review lasts: the money may have moved already.',
  'Do not ask for it again under a new Idempotency-Key: that is a second refund.',
  'Do not change rows in the database.',
];

const ALSO_NEVER: Readonly<Record<ReviewKind, readonly string[]>> = {
  unclear: ['Do not resolve by likelihood: an equal refund made in the panel looks the same.'],
  unconfirmed: ['Do not resend because it takes long: what was accepted may still be carried out.'],
  notShown: ['Do not resend while the provider has an incident: its list may lag.'],
  otherAmount: ['Do not resume the provider before the cause is known.'],
  lateMoney: ['Do not resolve as failed because the payer was told so: the money has moved.'],
  carriedOutTwice: ['Do not resolve as failed: both have moved money.'],
  doubted: ['Do not pay the payer again before the provider has answered.'],
};
