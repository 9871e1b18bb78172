import type { Client } from '@temporalio/client';
import {
  PAYMENT_RECONCILIATION_WORKFLOW_TYPE,
  readAgainSignal,
  type Envelope,
  type PaymentReconciliationWorkflow,
} from '../../workflows/messages.js';
import { paymentReconciliationOptions } from '../../workflows/start-options.js';
import type { Database } from '../ledger/database.js';
import { contradictedPayments } from '../ledger/open-refunds.js';

const AT_ONCE_MAX = 50;

/**
 * Has those payments compared with their provider on which a refund waits because what is shown contradicts the ledger:
 * a refund was taken back, or disappeared. Nobody shall wait for that until the night. Safe to repeat.
 */
export async function reconcileContradictions(db: Database, client: Client): Promise<void> {
  for (const payment of await contradictedPayments(db, AT_ONCE_MAX)) {
    await client.workflow.signalWithStart<PaymentReconciliationWorkflow, [Envelope<Record<string, never>>]>(
      PAYMENT_RECONCILIATION_WORKFLOW_TYPE,
      { ...paymentReconciliationOptions(payment), signal: readAgainSignal, signalArgs: [{ body: {} }] },
    );
  }
}
