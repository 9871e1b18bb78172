/** One of those that are compared, while it runs. */
export interface Contender {
  readonly name: string;
  /** Where the provider tells it what has become of a refund. */
  readonly webhookUrl: string;
  readonly pids: { readonly api: readonly number[]; readonly worker: readonly number[] };
  /** Payments that can be refunded, each once and whole, as `ask` takes them. */
  register(count: number): Promise<readonly string[]>;
  /** Resolves with the answer that the request was taken; null where it was turned away. @throws on any other answer. */
  ask(paymentId: string, idempotencyKey?: string): Promise<Asked | null>;
  /** How many that were asked for since then are settled in the ledger. */
  settledSince(sinceMs: number): Promise<number>;
  /** When those that were asked for since then were admitted, and settled, by the worker's clock. */
  instantsSince(sinceMs: number): Promise<ReadonlyMap<string, Instants>>;
  stop(): Promise<void>;
}

export interface Asked {
  readonly refundId: string;
  readonly workflowId: string;
}

export interface Instants {
  /** When the client could know that the amount is reserved. Null: the answer itself says so. */
  readonly admittedAtMs: number | null;
  readonly settledAtMs: number;
}
