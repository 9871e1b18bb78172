import { isIP } from 'node:net';
import { isPublicAddress, resolveByDns, resolveBySystem, type Address, type Resolve } from './addresses.js';

export interface UrlRules {
  /** http and private addresses too. */
  readonly allowPrivate: boolean;
  readonly resolve: Resolve;
}

const LENGTH_MAX = 2_048;

export function urlRules(allowPrivate: boolean): UrlRules {
  return { allowPrivate, resolve: allowPrivate ? resolveBySystem : resolveByDns() };
}

/** What speaks against sending anything there; null: nothing that can be seen without connecting. */
export async function problemOfUrl(text: string, rules: UrlRules): Promise<string | null> {
  const problem = problemOfForm(text, rules);
  if (problem !== null || rules.allowPrivate) return problem;
  const host = hostOf(new URL(text));
  if (isIP(host) !== 0) return null;
  try {
    return (await publicAddresses(host, rules)) === null ? 'must not lead to a private address' : null;
  } catch {
    return 'must have a host that can be resolved';
  }
}

/** By its text alone. */
export function problemOfForm(text: string, { allowPrivate }: UrlRules): string | null {
  if (text.length > LENGTH_MAX) return `must be at most ${LENGTH_MAX} characters`;
  if (!URL.canParse(text)) return 'must be a URL';
  const url = new URL(text);
  if (url.protocol !== 'https:' && !(allowPrivate && url.protocol === 'http:')) return 'must be an https URL';
  if (url.username !== '' || url.password !== '') return 'must hold no credentials';
  if (url.hash !== '') return 'must hold no fragment';
  const host = hostOf(url);
  if (!allowPrivate && isIP(host) !== 0 && !isPublicAddress(host)) {
    return 'must not lead to a private address';
  }
  return null;
}

/** Null where one of them is not public: a name that leads to both is nobody's mistake. */
export async function publicAddresses(
  host: string,
  { allowPrivate, resolve }: UrlRules,
): Promise<readonly Address[] | null> {
  const found = await resolve(host);
  if (found.length === 0) return null;
  return allowPrivate || found.every(({ address }) => isPublicAddress(address)) ? found : null;
}

/** The parser has made every other way to write an IPv4 address into the usual one. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}
