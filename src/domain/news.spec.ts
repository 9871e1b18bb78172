import { describe, expect, it } from '@jest/globals';
import { NEWS_TYPES, newsOf } from './news.js';
import { REFUND_STATUSES, mayFollow } from './refund.js';

describe('news of a refund', () => {
  it('is its creation first, and at once that people must agree where they must', () => {
    expect(newsOf(null, 'pending')).toEqual(['refund.created']);
    expect(newsOf(null, 'requires_approval')).toEqual(['refund.created', 'refund.approval_required']);
  });

  it('is an update where the status stays, as with a vote that is not the last or another pending reason', () => {
    for (const status of REFUND_STATUSES) expect(newsOf(status, status)).toEqual(['refund.updated']);
    expect(newsOf('requires_approval', 'pending')).toEqual(['refund.updated']);
  });

  it('is one known type for every transition that may be', () => {
    const all = REFUND_STATUSES.flatMap((from) =>
      REFUND_STATUSES.filter((to) => mayFollow(from, to)).flatMap((to) => newsOf(from, to)),
    );
    expect(new Set([...all, 'refund.created'])).toEqual(new Set(NEWS_TYPES));
  });
});
