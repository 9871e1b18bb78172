import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload } from 'jose';
import type { IdentitySettings } from '../config.js';
import { isActor } from '../ledger/actors.js';
import { isRole, type Role } from '../ledger/keys.js';
import { engineUnavailable } from './problem.js';

/** Null: the token is not valid here. The actor is spelled as the token spells it. */
export type IdentityTokens = (
  token: string,
) => Promise<{ readonly actor: string; readonly roles: readonly Role[] } | null>;

// Signatures alone: with a shared secret among them, the public key would do as the secret.
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const CLOCK_TOLERANCE_SECONDS = 30;
const FETCH_WITHIN_MS = 3_000;
/** An unknown key id asks the identity provider at most so often, whoever makes them up. */
const ASK_AGAIN_AFTER_MS = 30_000;
const KEYS_FRESH_FOR_MS = 600_000;

/**
 * Who a bearer token of the company's identity provider names.
 * @throws Problem 503 where the provider's keys can't be had: never a guess.
 */
export function createIdentityTokens(settings: IdentitySettings, nowMs: () => number): IdentityTokens {
  const keys = createRemoteJWKSet(settings.jwksUrl, {
    timeoutDuration: FETCH_WITHIN_MS,
    cooldownDuration: ASK_AGAIN_AFTER_MS,
    cacheMaxAge: KEYS_FRESH_FOR_MS,
  });
  return async (token) => {
    const claims = await jwtVerify(token, keys, {
      issuer: settings.issuer,
      audience: settings.audience,
      algorithms: ALGORITHMS,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      requiredClaims: ['exp'],
      currentDate: new Date(nowMs()),
    }).then(({ payload }) => payload, nullWhereWrong);
    const actor = claims && actorOf(claims, settings);
    return claims && actor !== null ? { actor, roles: rolesOf(claims, settings) } : null;
  };
}

const TOKEN_IS_WRONG: ReadonlySet<string> = new Set([
  errors.JWTClaimValidationFailed.code,
  errors.JWTExpired.code,
  errors.JWTInvalid.code,
  errors.JWSInvalid.code,
  errors.JWSSignatureVerificationFailed.code,
  errors.JOSEAlgNotAllowed.code,
  errors.JOSENotSupported.code,
  errors.JWKSNoMatchingKey.code,
  errors.JWKSMultipleMatchingKeys.code,
]);

function nullWhereWrong(error: unknown): null {
  if (error instanceof errors.JOSEError && TOKEN_IS_WRONG.has(error.code)) return null;
  throw engineUnavailable();
}

function actorOf(claims: JWTPayload, { actorClaim }: IdentitySettings): string | null {
  const actor = claims[actorClaim];
  // An address that nobody checked is anybody's.
  const isUnverified =
    actorClaim === 'email' && ![undefined, true, 'true'].includes(claims['email_verified'] as never);
  return typeof actor === 'string' && isActor(actor) && !isUnverified ? actor : null;
}

/** A list or words between blanks, as identity providers write them; what is no role of ours means nothing here. */
function rolesOf(claims: JWTPayload, { rolesClaim }: IdentitySettings): Role[] {
  const claim = claims[rolesClaim];
  const words: readonly unknown[] =
    typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : [];
  return [...new Set(words.filter((word): word is Role => typeof word === 'string' && isRole(word)))];
}
