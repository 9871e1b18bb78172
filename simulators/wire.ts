import { createHash, randomBytes } from 'node:crypto';
import { formatDecimal, parseDecimal } from '../src/domain/money.js';
import type { SimulatedProvider } from './book.js';

/** Ids in the shape that each provider shows; the same seed gives the same ids in the same order. */
export class IdSource {
  #drawn = 0;
  readonly #seed: string;

  constructor(seed = randomBytes(16).toString('hex')) {
    this.#seed = seed;
  }

  paymentId(provider: SimulatedProvider): string {
    switch (provider) {
      case 'picpay':
      case 'braspag':
      case 'pagou':
        return this.uuid();
      case 'efi':
        return `urn:efi:${this.uuid()}`;
      case 'fourgeeks':
        return this.#alphanumeric(24);
    }
  }

  refundId(provider: SimulatedProvider, atMs: number): string {
    switch (provider) {
      case 'picpay':
      case 'braspag':
        return this.uuid();
      case 'efi':
      case 'pagou':
        return `D${arrangementStamp(atMs)}${this.#alphanumeric(11)}`;
      case 'fourgeeks':
        return this.#alphanumeric(24);
    }
  }

  uuid(): string {
    const hex = this.#draw().toString('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  }

  #alphanumeric(length: number): string {
    const letters = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
    return Array.from(this.#draw().subarray(0, length), (byte) => letters[byte % letters.length]).join('');
  }

  #draw(): Buffer {
    this.#drawn += 1;
    return createHash('sha256').update(`${this.#seed}:${this.#drawn}`).digest();
  }
}

/** The Pix arrangement's endToEndId of a payment: E, the bank's number, the minute, eleven characters. */
export function endToEndId(providerPaymentId: string, paidAtMs: number): string {
  return `E${arrangementStamp(paidAtMs)}${createHash('sha256').update(providerPaymentId).digest('hex').slice(0, 11)}`;
}

/** "2022-10-28 10:02:25" in São Paulo, without its zone, as PicPay, Efí and Braspag print it. */
export function localTime(atMs: number): string {
  return new Intl.DateTimeFormat('sv-SE', {
    timeZone: 'America/Sao_Paulo',
    dateStyle: 'short',
    timeStyle: 'medium',
  }).format(atMs);
}

/** 10.5 from 1050: a JSON number in reais. */
export function reais(amountMinor: number): number {
  return Number(formatDecimal(amountMinor));
}

/** 1050 from the JSON number 10.5; null for anything but a positive number of whole centavos. */
export function minorFromReais(value: unknown): number | null {
  return typeof value === 'number' ? positive(parseDecimal(String(value))) : null;
}

/** 1050 from "10.50"; null for anything but a positive decimal text of whole centavos. */
export function minorFromText(value: unknown): number | null {
  return typeof value === 'string' ? positive(parseDecimal(value)) : null;
}

/** The members of a parsed body; empty where it is no JSON object. */
export function members(body: unknown): Readonly<Record<string, unknown>> {
  return typeof body === 'object' && body !== null && !Array.isArray(body)
    ? Object.fromEntries(Object.entries(body))
    : {};
}

function positive(amountMinor: number | null): number | null {
  return amountMinor !== null && amountMinor > 0 ? amountMinor : null;
}

function arrangementStamp(atMs: number): string {
  return `09089356${new Date(atMs).toISOString().replace(/\D/g, '').slice(0, 12)}`;
}
