import { ApplicationFailure } from '@temporalio/common';
import pg from 'pg';
import type { Pool as HttpPool } from 'undici';

export interface Refund {
  readonly id: string;
  readonly paymentId: string;
  readonly amountMinor: number;
  readonly askedAtMs: number;
}

export interface Activities {
  load(paymentId: string): Promise<{ refundableMinor: number }>;
  reserve(refund: Refund): Promise<void>;
  callProvider(refund: Refund): Promise<void>;
  settle(refundId: string): Promise<void>;
  release(refundId: string): Promise<void>;
}

export function createActivities(db: pg.Pool, provider: HttpPool, apiKey: string): Activities {
  return {
    load: async (paymentId) => {
      const { rows } = await db.query<{ refundable: string }>(
        'SELECT amount - reserved - refunded AS refundable FROM bare.payments WHERE id = $1',
        [paymentId],
      );
      if (!rows[0]) throw ApplicationFailure.nonRetryable('there is no such payment');
      return { refundableMinor: Number(rows[0].refundable) };
    },

    reserve: async ({ id, paymentId, amountMinor, askedAtMs }) => {
      try {
        await db.query(RESERVE, [id, paymentId, amountMinor, new Date(askedAtMs), new Date()]);
      } catch (error) {
        if (error instanceof pg.DatabaseError && error.code === CHECK_VIOLATION) {
          throw ApplicationFailure.nonRetryable('the payment has less left');
        }
        throw error;
      }
    },

    callProvider: async ({ id, paymentId, amountMinor }) => {
      const { statusCode, body } = await provider.request({
        method: 'DELETE',
        path: `/v1/pix/${paymentId}/refund`,
        headers: { 'content-type': 'application/json', 'x-api-key': apiKey },
        body: JSON.stringify({ amount: amountMinor / 100, reason: 3, description: id }),
        // Else undici closes the connection after a DELETE with a body.
        reset: false,
      });
      await body.dump();
      if (statusCode >= 500) throw new Error(`the provider answered ${statusCode}`);
      if (statusCode !== 204) throw ApplicationFailure.nonRetryable(`the provider answered ${statusCode}`);
    },

    settle: async (refundId) => {
      await db.query(SETTLE, [refundId, new Date()]);
    },

    release: async (refundId) => {
      await db.query(RELEASE, [refundId]);
    },
  };
}

const CHECK_VIOLATION = '23514';

// One statement is one transaction and one round trip; a retry finds the row of the first time and changes nothing.

const RESERVE = `
  WITH refund AS (
    INSERT INTO bare.refunds (id, payment_id, amount, status, asked_at, reserved_at)
    VALUES ($1, $2, $3, 'reserved', $4, $5)
    ON CONFLICT DO NOTHING
    RETURNING payment_id, amount
  )
  UPDATE bare.payments SET reserved = reserved + refund.amount
  FROM refund WHERE payments.id = refund.payment_id`;

const SETTLE = `
  WITH refund AS (
    UPDATE bare.refunds SET status = 'settled', settled_at = $2
    WHERE id = $1 AND status = 'reserved'
    RETURNING payment_id, amount
  )
  UPDATE bare.payments SET reserved = reserved - refund.amount, refunded = refunded + refund.amount
  FROM refund WHERE payments.id = refund.payment_id`;

const RELEASE = `
  WITH refund AS (
    UPDATE bare.refunds SET status = 'released'
    WHERE id = $1 AND status = 'reserved'
    RETURNING payment_id, amount
  )
  UPDATE bare.payments SET reserved = reserved - refund.amount
  FROM refund WHERE payments.id = refund.payment_id`;
