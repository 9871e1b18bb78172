import type { RuleCode } from '../domain/eligibility.js';

export type ProblemCode =
  | 'invalid_request'
  | 'idempotency_key_missing'
  | 'unauthenticated'
  | 'forbidden'
  | 'self_approval_forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'idempotency_in_progress'
  | 'duplicate_reference'
  | 'payment_conflict'
  | 'approval_conflict'
  | 'already_final'
  | 'not_cancelable'
  | 'extension_beyond_window'
  | 'not_in_review'
  | 'endpoint_disabled'
  | 'provider_contradicts'
  | 'payload_too_large'
  | 'unsupported_media_type'
  | 'idempotency_key_reused'
  | RuleCode
  | 'rate_limited'
  | 'headers_too_large'
  | 'internal_error'
  | 'engine_unavailable'
  | 'provider_unavailable';

interface ProblemKind {
  readonly status: number;
  readonly title: string;
  /** The same request may be sent again, unchanged and under the same Idempotency-Key. */
  readonly retryable: boolean;
}

export const PROBLEMS: Readonly<Record<ProblemCode, ProblemKind>> = {
  invalid_request: { status: 400, title: 'The request is not valid', retryable: false },
  idempotency_key_missing: { status: 400, title: 'Idempotency-Key is missing', retryable: false },
  unauthenticated: { status: 401, title: 'Not authenticated', retryable: false },
  forbidden: { status: 403, title: 'Not allowed', retryable: false },
  self_approval_forbidden: { status: 403, title: 'Not about your own refund', retryable: false },
  not_found: { status: 404, title: 'Not found', retryable: false },
  method_not_allowed: { status: 405, title: 'Method not allowed', retryable: false },
  idempotency_in_progress: { status: 409, title: 'The same request is in progress', retryable: true },
  duplicate_reference: { status: 409, title: 'The reference is in use', retryable: false },
  payment_conflict: { status: 409, title: 'The payment is registered with other facts', retryable: false },
  approval_conflict: { status: 409, title: 'The vote does not fit', retryable: false },
  already_final: { status: 409, title: 'There is nothing left to decide', retryable: false },
  not_cancelable: { status: 409, title: 'It can not be canceled', retryable: false },
  endpoint_disabled: { status: 409, title: 'The endpoint is disabled', retryable: false },
  not_in_review: { status: 409, title: 'The refund is not in review', retryable: false },
  provider_contradicts: { status: 409, title: 'The provider shows otherwise', retryable: false },
  refundable_amount_mismatch: { status: 412, title: 'The refundable amount is another', retryable: false },
  payload_too_large: { status: 413, title: 'The body is too large', retryable: false },
  unsupported_media_type: { status: 415, title: 'Unsupported media type', retryable: false },
  idempotency_key_reused: {
    status: 422,
    title: 'Idempotency-Key was used for another request',
    retryable: false,
  },
  provider_not_enabled: { status: 422, title: 'The provider is not enabled', retryable: false },
  payment_facts_mismatch: { status: 422, title: 'The provider shows other facts', retryable: false },
  payment_not_refundable: { status: 422, title: 'The payment is not refundable', retryable: false },
  refund_window_expired: { status: 422, title: 'The refund window is over', retryable: false },
  partial_not_supported: { status: 422, title: 'Partial refunds are not supported', retryable: false },
  currency_mismatch: { status: 422, title: 'The currency does not fit', retryable: false },
  amount_exceeds_available: { status: 422, title: 'The amount exceeds what is refundable', retryable: false },
  extension_beyond_window: {
    status: 422,
    title: 'The refund window ends before that',
    retryable: false,
  },
  limit_exceeded: { status: 422, title: 'A limit is exceeded', retryable: false },
  rate_limited: { status: 429, title: 'Too many requests', retryable: true },
  headers_too_large: { status: 431, title: 'The header fields are too large', retryable: false },
  internal_error: { status: 500, title: 'Internal error', retryable: true },
  engine_unavailable: { status: 503, title: 'Not known to be accepted', retryable: true },
  provider_unavailable: { status: 503, title: 'The provider is unavailable', retryable: true },
};

export interface ProblemError {
  /** A JSON pointer into the body, or `/` and the name of a parameter. */
  readonly pointer: string;
  readonly detail: string;
  readonly code?: string;
}

/** The one way to answer anything but success. */
export class Problem extends Error {
  readonly errors: readonly ProblemError[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    readonly code: ProblemCode,
    detail: string,
    extra: { errors?: readonly ProblemError[]; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(detail);
    this.name = 'Problem';
    this.errors = extra.errors ?? [];
    this.headers = { ...HEADERS[code], ...extra.headers };
  }
}

const HEADERS: Partial<Record<ProblemCode, Readonly<Record<string, string>>>> = {
  unauthenticated: { 'WWW-Authenticate': 'Bearer' },
  rate_limited: { 'Retry-After': '1' },
  idempotency_in_progress: { 'Retry-After': '1' },
  engine_unavailable: { 'Retry-After': '1' },
  provider_unavailable: { 'Retry-After': '1' },
};

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** RFC 9457. `instance` is the path alone: a query may hold a provider's secret. */
export function problemBody(
  problem: Problem,
  request: { readonly path: string; readonly id: string },
): Readonly<Record<string, unknown>> {
  const kind = PROBLEMS[problem.code];
  return {
    type: `urn:estorno:problem:${problem.code}`,
    title: kind.title,
    status: kind.status,
    detail: problem.message,
    instance: request.path,
    code: problem.code,
    request_id: request.id,
    retryable: kind.retryable,
    errors: problem.errors,
  };
}

export function invalidRequest(pointer: string, detail: string): Problem {
  return new Problem('invalid_request', detail, { errors: [{ pointer, detail }] });
}

export function notFound(what: string): Problem {
  return new Problem('not_found', `There is no such ${what}.`);
}

export function unauthenticated(): Problem {
  return new Problem('unauthenticated', 'Send a valid key or token: Authorization: Bearer <key>.');
}

export function engineUnavailable(): Problem {
  return new Problem(
    'engine_unavailable',
    'It is not known whether the request was accepted: repeat it, with the same Idempotency-Key where it has one.',
  );
}
