import { activityInfo } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { admit } from './admission.activity.js';
import {
  approvalStanding,
  cancelRefund,
  castVote,
  expire,
  extendApproval,
  remind,
} from './approvals.activity.js';
import { deliver, nextDelivery, type DeliveryDeps } from './deliver.activity.js';
import type { ActivityDeps } from './deps.js';
import { withFailures } from './failures.js';
import { whileBeating } from './heartbeats.js';
import type {
  DeliveryActivities,
  DeliverySteps,
  LedgerActivities,
  MessageActivities,
  ProviderActivities,
  ReconciliationReadings,
  ReconciliationSteps,
} from './interface.js';
import { compensate, review, settle, takeLane } from './ledger.activity.js';
import { confirm, look, watch } from './look.activity.js';
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
): LedgerActivities & MessageActivities & ReconciliationSteps & DeliverySteps {
  const bind = binder(deps);
  const local: typeof bind = (name, activity) => bind(name, onlyWithinWorkflow(activity));
  return {
    admit: local('admit', admit),
    takeLane: local('takeLane', takeLane),
    confirm: local('confirm', confirm),
    settle: local('settle', settle),
    compensate: local('compensate', compensate),
    review: local('review', review),
    expire: local('expire', expire),
    remind: local('remind', remind),
    approvalStanding: local('approvalStanding', approvalStanding),
    castVote: bind('castVote', castVote),
    extendApproval: bind('extendApproval', extendApproval),
    cancelRefund: bind('cancelRefund', cancelRefund),
    beginReconciliation: local('beginReconciliation', beginReconciliation),
    nextPayments: local('nextPayments', nextPayments),
    noteReconciled: local('noteReconciled', noteReconciled),
    nextDelivery: local('nextDelivery', nextDelivery),
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

/** The activities of outbound webhooks' task queue. */
export function createDeliveryActivities(deps: DeliveryDeps): DeliveryActivities {
  return { deliver: binder(deps)('deliver', deliver) };
}

function binder<Deps extends Pick<ActivityDeps, 'log'>>(deps: Deps) {
  return <Input, Result>(
    name: string,
    activity: (deps: Deps, input: Input) => Promise<Result>,
  ): ((input: Input) => Promise<Result>) =>
    withFailures(
      name,
      (input: Input) => activity(deps, input),
      (err, failed) => deps.log.error({ err, activity: failed }, 'an activity failed'),
    );
}

/**
 * A local activity can be begun by a worker that runs our workflow alone; what is asked of the task queue by hand, by
 * whoever reaches Temporal, is none.
 */
function onlyWithinWorkflow<Input, Result>(
  activity: (deps: ActivityDeps, input: Input) => Promise<Result>,
): (deps: ActivityDeps, input: Input) => Promise<Result> {
  return async (deps, input) => {
    if (!activityInfo().isLocal) {
      throw ApplicationFailure.nonRetryable('a step of a workflow is not for the asking', 'NotLocal');
    }
    return activity(deps, input);
  };
}
