import { admit } from './admission.activity.js';
import { cancelRefund, castVote, expire, extendApproval, remind } from './approvals.activity.js';
import type { ActivityDeps } from './deps.js';
import { withFailures } from './failures.js';
import { whileBeating } from './heartbeats.js';
import type {
  LedgerActivities,
  MessageActivities,
  ProviderActivities,
  ReconciliationReadings,
  ReconciliationSteps,
} from './interface.js';
import { compensate, review, settle, takeLane } from './ledger.activity.js';
import { look, watch } from './look.activity.js';
import {
  beginReconciliation,
  nextPayments,
  noteReconciled,
  reconcilePayment,
  reconcilePayments,
} from './reconciliation.activity.js';
import { resolve } from './resolve.activity.js';
import { submit } from './submit.activity.js';

/** The activities of the workflows' own task queue. */
export function createLedgerActivities(
  deps: ActivityDeps,
): LedgerActivities & MessageActivities & ReconciliationSteps {
  const bind = binder(deps);
  return {
    admit: bind('admit', admit),
    takeLane: bind('takeLane', takeLane),
    settle: bind('settle', settle),
    compensate: bind('compensate', compensate),
    review: bind('review', review),
    expire: bind('expire', expire),
    remind: bind('remind', remind),
    castVote: bind('castVote', castVote),
    extendApproval: bind('extendApproval', extendApproval),
    cancelRefund: bind('cancelRefund', cancelRefund),
    beginReconciliation: bind('beginReconciliation', beginReconciliation),
    nextPayments: bind('nextPayments', nextPayments),
    noteReconciled: bind('noteReconciled', noteReconciled),
  };
}

/** The activities of each provider's task queue. */
export function createProviderActivities(deps: ActivityDeps): ProviderActivities & ReconciliationReadings {
  const bind = binder(deps);
  return {
    submit: bind('submit', (given, input) => whileBeating(() => submit(given, input))),
    look: bind('look', (given, input) => whileBeating(() => look(given, input))),
    watch: bind('watch', (given, input) => whileBeating(() => watch(given, input))),
    resolve: bind('resolve', (given, input) => whileBeating(() => resolve(given, input))),
    reconcilePayments: bind('reconcilePayments', (given, input) =>
      whileBeating(() => reconcilePayments(given, input)),
    ),
    reconcilePayment: bind('reconcilePayment', (given, input) =>
      whileBeating(() => reconcilePayment(given, input)),
    ),
  };
}

function binder(deps: ActivityDeps) {
  return <Input, Result>(
    name: string,
    activity: (deps: ActivityDeps, input: Input) => Promise<Result>,
  ): ((input: Input) => Promise<Result>) =>
    withFailures(
      name,
      (input: Input) => activity(deps, input),
      (err, failed) => deps.log.error({ err, activity: failed }, 'an activity failed'),
    );
}
