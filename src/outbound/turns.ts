import type { Post, PostOutcome } from './post.js';

/** Attempts that a worker makes at once. */
export const ATTEMPTS_AT_ONCE = 200;
/** The part of them that one host may take, and the part while it does not answer at all. */
const OF_ONE_HOST = 50;
const OF_A_SILENT_HOST = 5;

/** `busy`: nothing was sent; so many others are under way to the same host that this one would be in the way of yet others. */
export type PostInTurn = (...post: Parameters<Post>) => Promise<PostOutcome | { readonly kind: 'busy' }>;

/** However many messages wait for an endpoint that never answers, those for others find a place. */
export function inTurns(post: Post): PostInTurn {
  const underWay = new Map<string, number>();
  const silent = new Set<string>();
  return async (url, headers, body) => {
    const { host } = new URL(url);
    const before = underWay.get(host) ?? 0;
    if (before >= (silent.has(host) ? OF_A_SILENT_HOST : OF_ONE_HOST)) return { kind: 'busy' };
    underWay.set(host, before + 1);
    try {
      const outcome = await post(url, headers, body);
      if (outcome.kind === 'answered') silent.delete(host);
      else silent.add(host);
      return outcome;
    } finally {
      const left = (underWay.get(host) ?? 1) - 1;
      if (left > 0) underWay.set(host, left);
      else underWay.delete(host);
    }
  };
}
