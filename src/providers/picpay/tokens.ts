import type { PaymentReference } from '../../domain/provider.js';
import { providerError } from '../answers.js';
import type { ProviderDeps } from '../definition.js';
import {
  requestToken,
  TokenHolder,
  type TokenAnswer,
  type TokenFailure,
  type TokenReading,
  type TokenSource,
} from '../oauth2.js';
import type { PicPayClient } from './client.js';

export interface PicPayCredentials {
  readonly clientId: string;
  readonly clientSecret: string;
  /** The merchant's own, for payments that were registered without one. */
  readonly refreshToken: string | null;
}

export interface PaymentTokens extends TokenSource {
  /** That the payment's own token was refused, so that what `get` gave last is another's; null: it was not. */
  ownRefusal(): TokenFailure | null;
}

interface NoCredential {
  readonly kind: 'none';
}

const MERCHANT = 'provider:picpay';
const PAYMENTS_HELD_MAX = 500;

/**
 * Access tokens of 1-Click belong to a user: a payment's own refresh token comes first, then the merchant's, then
 * client_credentials; that also goes for one that is refused, since a rotated token whose answer was lost is void.
 */
export function createPicPayTokens(
  client: PicPayClient,
  credentials: PicPayCredentials,
  deps: ProviderDeps,
): (payment: PaymentReference) => PaymentTokens {
  const { clientId, clientSecret, refreshToken } = credentials;
  const app = { client_id: clientId, client_secret: clientSecret };
  const merchant = new TokenHolder(
    refreshToken === null ? grantToApp : () => grantToMerchant(refreshToken),
    deps.nowMs,
  );
  const holders = new Map<string, TokenHolder<NoCredential>>();

  return tokensOf;

  function tokensOf({ paymentId }: PaymentReference): PaymentTokens {
    const own = paymentId === null ? null : holderOf(paymentId);
    let refusal: TokenFailure | null = null;
    return {
      get: async () => {
        const answer = own ? await own.get() : null;
        refusal = answer?.kind === 'refused' ? answer : null;
        return answer === null || answer.kind === 'none' || refusal ? merchant.get() : answer;
      },
      ownRefusal: () => refusal,
      invalidate: (accessToken) => {
        own?.invalidate(accessToken);
        merchant.invalidate(accessToken);
      },
    };
  }

  function holderOf(paymentId: string): TokenHolder<NoCredential> {
    const holder = holders.get(paymentId) ?? new TokenHolder(() => grantToPayer(paymentId), deps.nowMs);
    holders.delete(paymentId);
    holders.set(paymentId, holder);
    const [oldest] = holders.keys();
    if (holders.size > PAYMENTS_HELD_MAX && oldest !== undefined) holders.delete(oldest);
    return holder;
  }

  function grantToPayer(paymentId: string): Promise<TokenAnswer | NoCredential> {
    return rotate<TokenAnswer | NoCredential>(paymentId, async (stored) => {
      if (stored === null) return { next: null, value: { kind: 'none' } };
      return kept(stored, await refresh(stored));
    });
  }

  function grantToMerchant(given: string): Promise<TokenAnswer> {
    return rotate(MERCHANT, async (stored) => {
      const reading = await refresh(stored ?? given);
      // A stored token that has lapsed gives way to the one that an operator has put into the settings since.
      if (stored !== null && stored !== given && reading.token.kind === 'refused') {
        return kept(stored, await refresh(given));
      }
      return kept(stored, reading);
    });
  }

  async function grantToApp(): Promise<TokenAnswer> {
    const form = { grant_type: 'client_credentials', ...app };
    return (await requestToken(() => client.requestToken(form), deps.nowMs)).token;
  }

  function refresh(token: string): Promise<TokenReading> {
    const form = { grant_type: 'refresh_token', refresh_token: token, ...app };
    return requestToken(() => client.requestToken(form), deps.nowMs);
  }

  /** Our own store out of reach is no reason to throw: nothing was sent, and the caller may wait. */
  async function rotate<T>(
    owner: string,
    use: (stored: string | null) => Promise<{ next: string | null; value: T }>,
  ): Promise<T | TokenAnswer> {
    try {
      return await deps.credentialStore.rotateCredential(owner, use);
    } catch (failure) {
      const cause = failure instanceof Error ? failure.name : 'unknown';
      deps.log.warn({ provider: 'picpay', cause }, 'stored credentials are out of reach');
      const error = providerError('credential_store_unavailable', 'stored credentials are out of reach');
      return { kind: 'unavailable', error, retryAfterMs: null };
    }
  }
}

function kept(stored: string | null, reading: TokenReading): { next: string | null; value: TokenAnswer } {
  return { next: reading.nextRefreshToken ?? stored, value: reading.token };
}
