import type { SagaState, Step, WaitReason } from '../src/domain/saga-state.js';
import { assertNever } from '../src/domain/errors.js';

/** What an operator reads in Temporal's UI: what is happening, since when, and what they may do. Markdown. */
export function describeStage(
  state: SagaState,
  step: Step,
  nowMs: number,
  queuedBehind: string | null,
): string {
  const lines = [`**${happening(state, step, queuedBehind)}**`, '', `Since ${iso(state.stageSinceMs)}.`];
  if (step.kind === 'pause') lines.push(`Next step at ${iso(nowMs + step.ms)}, or as soon as news arrives.`);
  if (state.attempt > 0) lines.push(`Attempt ${state.attempt}.`);
  const { terms } = state;
  if (terms?.submitBeforeMs) lines.push(`Must be sent before ${iso(terms.submitBeforeMs)}.`);
  lines.push(...approvalLines(state), '', mayDo(state));
  return lines.join('\n');
}

function happening(state: SagaState, step: Step, queuedBehind: string | null): string {
  switch (state.stage) {
    case 'admitting':
      return 'Deciding whether the refund is allowed, and reserving its amount';
    case 'approving':
      return step.kind === 'expire'
        ? 'The time for votes is over: giving the reservation back'
        : `Waiting for people: ${state.approval?.wait.missing ?? 0} of ${state.approval?.wait.required ?? 0} approvals are missing`;
    case 'waiting':
      return waiting(state, queuedBehind);
    case 'submitting':
      return 'Asking the provider';
    case 'resolving':
      return 'The outcome of the call is unclear: reading at the provider until it is there, or provably not';
    case 'confirming':
      return 'The provider accepted it; waiting for its confirmation';
    case 'review':
      return 'A person must look: the provider’s word is not clear';
    case 'closing':
      return step.kind === 'compensate' ? `Giving the reservation back (${step.reason})` : 'Settling';
    case 'ended':
      return 'Ended';
    default:
      return assertNever(state.stage);
  }
}

function waiting(state: SagaState, queuedBehind: string | null): string {
  const reason = state.wait?.reason;
  switch (reason) {
    case 'queued':
      return `Queued behind ${queuedBehind ?? 'another refund'} of the same payment: this provider takes one at a time`;
    case 'insufficient_balance':
      return 'The account at the provider has no balance for it; trying again';
    case 'provider_unavailable':
      return 'The provider can’t be reached; trying again';
    case 'authorization_required':
      return 'The provider does not accept our credentials; trying again';
    case undefined:
      return 'About to ask the provider';
    default:
      return assertNever(reason);
  }
}

function approvalLines({ stage, approval }: SagaState): string[] {
  if (stage !== 'approving' || !approval) return [];
  const { round, requestedAtMs, expiresAtMs } = approval.wait;
  return [
    `Asked for at ${iso(requestedAtMs)}${round > 1 ? `, round ${round}: it was sent before and is to be sent again` : ''}.`,
    `Votes count until ${iso(expiresAtMs)}; then it expires and the amount is free again.`,
    ...(approval.escalated ? ['**Escalated:** it waits longer than the policy likes.'] : []),
  ];
}

function mayDo(state: SagaState): string {
  switch (state.stage) {
    case 'approving':
      return 'To do: approvers other than who asked vote in the API, `/approve` or `/reject`; an operator may `/extend` or `/cancel`. What is sent by hand through Temporal changes nothing.';
    case 'waiting':
      return `${WAITING_TO_DO[state.wait?.reason ?? 'queued']} Nothing is on its way at the provider.`;
    case 'resolving':
      return 'Do not refund it by hand at the provider: the money may have moved already.';
    case 'review':
      return 'To do: its `/review` in the API says what was sent, what is shown and what may be decided; `/resolve` decides. It is read again and again, and where the provider’s word suffices it leaves by itself. Do not refund it by hand.';
    case 'admitting':
    case 'submitting':
    case 'confirming':
    case 'closing':
    case 'ended':
      return 'Nothing to do.';
    default:
      return assertNever(state.stage);
  }
}

const WAITING_TO_DO: Readonly<Record<WaitReason, string>> = {
  queued: 'Nothing to do.',
  provider_unavailable:
    'Nothing to do while it is down. Where an operator or a wrong amount has paused it: look why, then resume it.',
  insufficient_balance: 'To do: fund the account at the provider.',
  authorization_required: 'To do: renew the credentials at the provider.',
};

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
