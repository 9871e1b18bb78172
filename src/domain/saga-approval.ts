/** The part of the saga in which people decide, or let its time pass. */
import { termsOf } from './saga-bounds.js';
import type { ApprovalWait, Decision, Reminder, SagaState } from './saga-state.js';

const DAY_MS = 24 * 3_600_000;
/** Where there is no window an operator may name any year, and engines count their timers in nanoseconds. */
const SLEEP_MS_MAX = 365 * DAY_MS;
/** So soon the ledger is asked about what was only told. */
const HEARSAY_MS = 1_000;
/** So many days before the window closes people are warned, once each. */
const WARNED_DAYS_LEFT = [7, 2, 1] as const;

/** Waits for votes as `wait` says, which the ledger has just told. */
export function awaitApproval(before: SagaState, wait: ApprovalWait, nowMs: number): Decision {
  const known = before.approval?.wait.round === wait.round ? before.approval : null;
  const { reminders, escalated } = known ?? { reminders: 0, escalated: false };
  return goOnWaiting({ ...before, stage: 'approving', approval: { wait, reminders, escalated } }, nowMs);
}

/** The same from a remote step, in whose place anybody who reaches Temporal may answer: the ledger is asked soon. */
export function awaitToldApproval(before: SagaState, wait: ApprovalWait, nowMs: number): Decision {
  const approval = { wait, reminders: 0, escalated: false, isHearsay: true } as const;
  return goOnWaiting({ ...before, stage: 'approving', approval }, nowMs);
}

/** Reminds, expires, or sleeps until one of these is due. */
export function goOnWaiting(state: SagaState, nowMs: number): Decision {
  const { approval } = state;
  if (!approval) throw new Error('no approval is waited for');
  const { expiresAtMs } = approval.wait;
  if (nowMs >= expiresAtMs) return { state, step: { kind: 'expire' } };
  const due = dueReminder(state, nowMs);
  if (due) return { state: told(state, due), step: { kind: 'remind', of: due } };
  const next = Math.min(expiresAtMs, nextReminderMs(state), nextWarningMs(state, nowMs));
  const ms = Math.min(Math.max(1, next - nowMs), approval.isHearsay ? HEARSAY_MS : SLEEP_MS_MAX);
  return { state, step: { kind: 'pause', ms, why: 'requires_approval' } };
}

/** The tightest warning that is due and was not given; who comes late to several hears the last alone, or none at the end. */
export function dueWarning(
  state: SagaState,
  nowMs: number,
): Extract<Reminder, { kind: 'windowClosing' }> | null {
  const { deadlineMs, submitBeforeMs, reminders } = termsOf(state);
  if (deadlineMs === null || !reminders || nowMs >= (submitBeforeMs ?? deadlineMs)) return null;
  const daysLeft = WARNED_DAYS_LEFT.findLast((days) => nowMs >= deadlineMs - days * DAY_MS);
  if (daysLeft === undefined || daysLeft >= (state.warnedDaysLeft ?? Infinity)) return null;
  return { kind: 'windowClosing', daysLeft };
}

export function told(state: SagaState, of: Reminder): SagaState {
  const { approval } = state;
  switch (of.kind) {
    case 'windowClosing':
      return { ...state, warnedDaysLeft: of.daysLeft };
    case 'escalation':
      return approval ? { ...state, approval: { ...approval, escalated: true } } : state;
    case 'reminder':
      return approval ? { ...state, approval: { ...approval, reminders: of.number } } : state;
  }
}

function dueReminder(state: SagaState, nowMs: number): Reminder | null {
  const { approval } = state;
  const { reminders } = termsOf(state);
  if (!approval || !reminders) return null;
  const { round, requestedAtMs } = approval.wait;
  const warning = dueWarning(state, nowMs);
  if (warning) return warning;
  if (!approval.escalated && nowMs >= requestedAtMs + reminders.escalateAfterMs) {
    return { kind: 'escalation', round };
  }
  const number = Math.floor((nowMs - requestedAtMs) / reminders.everyMs);
  return number > approval.reminders ? { kind: 'reminder', round, number } : null;
}

function nextReminderMs({ approval, terms }: SagaState): number {
  const reminders = terms?.reminders;
  if (!approval || !reminders) return Infinity;
  const { requestedAtMs } = approval.wait;
  const escalationMs = approval.escalated ? Infinity : requestedAtMs + reminders.escalateAfterMs;
  return Math.min(escalationMs, requestedAtMs + (approval.reminders + 1) * reminders.everyMs);
}

function nextWarningMs({ terms }: SagaState, nowMs: number): number {
  if (!terms?.reminders || terms.deadlineMs === null) return Infinity;
  const { deadlineMs } = terms;
  const marks = WARNED_DAYS_LEFT.map((days) => deadlineMs - days * DAY_MS);
  return Math.min(...marks.filter((mark) => mark > nowMs));
}
