/** A payment has its provider's id, so that a webhook finds the workflow without a look-up. Amounts in centavos. */
export const SCHEMA = `
  CREATE SCHEMA IF NOT EXISTS bare;

  CREATE TABLE IF NOT EXISTS bare.payments (
    id       text PRIMARY KEY,
    amount   bigint NOT NULL,
    reserved bigint NOT NULL DEFAULT 0,
    refunded bigint NOT NULL DEFAULT 0,
    CHECK (reserved >= 0 AND refunded >= 0 AND reserved + refunded <= amount)
  );

  CREATE TABLE IF NOT EXISTS bare.refunds (
    id          text PRIMARY KEY,
    payment_id  text NOT NULL REFERENCES bare.payments,
    amount      bigint NOT NULL,
    status      text NOT NULL,
    asked_at    timestamptz NOT NULL,
    reserved_at timestamptz NOT NULL,
    settled_at  timestamptz
  );
`;
