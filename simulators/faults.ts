import { z } from 'zod';
import type { SimulatedProvider } from './book.js';

const OPERATIONS = ['submit', 'read', 'token'] as const;
export type FaultOperation = (typeof OPERATIONS)[number];

const base = { operation: z.enum(OPERATIONS), times: z.int().min(1).default(1) };
const ms = z.int().min(0);

/** What happens to one request and its answer. At most one of these strikes a request, in the order injected. */
const wireFault = [
  z.strictObject({
    ...base,
    name: z.enum([
      // The socket is reset; before the provider did anything, or after.
      'reset_before_effect',
      'reset_after_effect',
      // No answer until the client goes.
      'timeout_before_effect',
      'timeout_after_effect',
      // The effect happened; the answer breaks off before its end.
      'cut_body',
      // The effect happened, and the answer refuses it as one that came before: a gateway had sent it twice.
      'refused_after_effect',
      // The effect happened, and the answer says that the first request of this key is still running.
      'still_running',
      // A success whose status no document lists.
      'unknown_status',
      'insufficient_balance',
      // An error that the document calls permanent.
      'declined',
      // 401, and every access token given out is void.
      'token_expired',
      // A read that lacks the newest refund.
      'stale_read',
    ]),
  }),
  z.strictObject({
    ...base,
    name: z.enum(['status_before_effect', 'status_after_effect']),
    status: z.union([z.literal(408), z.literal(429), z.literal(500), z.literal(502), z.literal(503)]),
    /** The header as it is sent: seconds or a date. */
    retryAfter: z.union([z.string(), z.int()]).optional(),
  }),
  z.strictObject({
    ...base,
    name: z.literal('html'),
    status: z.union([z.literal(200), z.literal(502)]).default(502),
    effect: z.boolean().default(true),
  }),
  /** The answer is an error at once (a reset where no status is given); the effect lands later. */
  z.strictObject({
    ...base,
    name: z.literal('late_effect'),
    ms,
    status: z.int().min(500).max(504).optional(),
  }),
  /** The work takes this long, then all is well. */
  z.strictObject({ ...base, name: z.literal('slow'), ms }),
] as const;

/** What becomes of a refund that was accepted. One of each name may shape the same refund. */
const fateFault = [
  z.strictObject({ ...base, name: z.enum(['never_confirms', 'reject_later', 'unclear', 'no_webhook']) }),
  z.strictObject({ ...base, name: z.literal('confirm_delay'), ms }),
  /** Another amount is booked than was asked for. */
  z.strictObject({ ...base, name: z.literal('other_amount'), amountMinor: z.int().min(1) }),
  /** So long after it was done: the provider takes it back, or shows it no longer. */
  z.strictObject({ ...base, name: z.enum(['taken_back', 'vanishes']), ms }),
] as const;

/**
 * `down` closes the listening socket, so that connections are refused, until it is cleared or `ms` have passed;
 * at Braspag `submit` closes the transaction host and `read` the query host, elsewhere there is one host.
 */
const downFault = z.strictObject({ ...base, name: z.literal('down'), ms: ms.optional() });

export const faultSchema = z.discriminatedUnion('name', [...wireFault, ...fateFault, downFault]);
const fateSchema = z.discriminatedUnion('name', fateFault);

export type Fault = z.input<typeof faultSchema>;
export type FaultName = Fault['name'];
export type WireFault = z.output<(typeof wireFault)[number]>;
export type FateFault = z.output<(typeof fateFault)[number]>;
export type DownFault = z.output<typeof downFault>;

/** The faults waiting for their requests. */
export class Faults {
  #waiting: { readonly provider: SimulatedProvider; readonly fault: WireFault | FateFault; times: number }[] =
    [];

  add(provider: SimulatedProvider, fault: WireFault | FateFault): void {
    this.#waiting.push({ provider, fault, times: fault.times });
  }

  /** The fault that strikes this request, counted as used; null for none. */
  takeWire(provider: SimulatedProvider, operation: FaultOperation): WireFault | null {
    for (const entry of this.#waiting) {
      if (entry.provider !== provider || entry.fault.operation !== operation || isFate(entry.fault)) continue;
      this.#use(entry);
      return entry.fault;
    }
    return null;
  }

  /** The faults that shape the refund now accepted, the first of each name, counted as used. */
  takeFate(provider: SimulatedProvider): readonly FateFault[] {
    const taken = new Map<string, FateFault>();
    for (const entry of [...this.#waiting]) {
      if (entry.provider !== provider || !isFate(entry.fault) || taken.has(entry.fault.name)) continue;
      this.#use(entry);
      taken.set(entry.fault.name, entry.fault);
    }
    return [...taken.values()];
  }

  clear(provider?: SimulatedProvider): void {
    this.#waiting = this.#waiting.filter((entry) => provider !== undefined && entry.provider !== provider);
  }

  #use(entry: { times: number }): void {
    entry.times -= 1;
    this.#waiting = this.#waiting.filter((other) => other.times > 0);
  }
}

/** Why a fault cannot happen at this provider, by its document; null where it can. */
export function whyNot(provider: SimulatedProvider, fault: Pick<Fault, 'name' | 'operation'>): string | null {
  const confirmsLater = provider === 'efi' || provider === 'braspag' || provider === 'pagou';
  if (fault.operation === 'token' && provider !== 'picpay' && provider !== 'efi') {
    return 'it has no token call';
  }
  switch (fault.name) {
    case 'never_confirms':
    case 'confirm_delay':
    case 'no_webhook':
      return only('submit', fault) ?? (confirmsLater ? null : 'its answer is the confirmation');
    case 'reject_later':
      // How Pagou shows a refund that failed is not documented.
      return (
        only('submit', fault) ??
        (provider === 'efi' || provider === 'braspag' ? null : 'no such status there')
      );
    case 'unclear':
      return only('submit', fault) ?? (provider === 'braspag' ? null : 'no such status there');
    case 'taken_back':
      return (
        only('submit', fault) ??
        (provider === 'efi' || provider === 'braspag' ? null : 'no such status there')
      );
    case 'still_running':
      return only('submit', fault) ?? (provider === 'picpay' ? null : 'it has no idempotency keys');
    case 'other_amount':
    case 'vanishes':
    case 'refused_after_effect':
      return only('submit', fault);
    case 'insufficient_balance':
      return (
        only('submit', fault) ?? (provider === 'efi' || provider === 'braspag' ? null : 'no such error there')
      );
    case 'declined':
    case 'late_effect':
      return only('submit', fault);
    case 'stale_read':
      return only('read', fault);
    case 'token_expired':
    case 'unknown_status':
      return fault.operation === 'token' ? 'not on a token call' : null;
    case 'reset_before_effect':
    case 'reset_after_effect':
    case 'timeout_before_effect':
    case 'timeout_after_effect':
    case 'status_before_effect':
    case 'status_after_effect':
    case 'cut_body':
    case 'html':
    case 'slow':
    case 'down':
      return null;
  }
}

function only(operation: FaultOperation, fault: Pick<Fault, 'operation'>): string | null {
  return fault.operation === operation ? null : `only on ${operation}`;
}

export function isFate(fault: z.output<typeof faultSchema>): fault is FateFault {
  return fateSchema.safeParse(fault).success;
}
