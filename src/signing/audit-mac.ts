import canonicalize from 'canonicalize';
import { isSame, proofBy, type ProofKeys } from './proof.js';

interface AuditMacs {
  readonly keyIds: readonly string[];
  make(content: object): string;
  check(content: object, mac: string): 'right' | 'wrong' | 'unknown_key';
}

/** The MACs of the audit trail; what tells one kind of content from another is in the content. */
export function createAuditMacs({ keys }: ProofKeys): AuditMacs {
  return {
    keyIds: keys.map(({ id }) => id),
    /** @throws Error when there is no key, or the content is no JSON. */
    make: (content: object): string => {
      const [key] = keys;
      if (!key) throw new Error('no key to make a MAC with');
      return proofBy(key, textOf(content));
    },
    check: (content: object, mac: string): 'right' | 'wrong' | 'unknown_key' => {
      const key = keys.find(
        ({ id }) => mac.startsWith(`v1.${id}.`) && !mac.slice(id.length + 4).includes('.'),
      );
      if (!key) return 'unknown_key';
      return isSame(proofBy(key, textOf(content)), mac) ? 'right' : 'wrong';
    },
  };
}

function textOf(content: object): string {
  const text = canonicalize(content);
  if (text === undefined) throw new TypeError('only JSON has a MAC');
  return text;
}
