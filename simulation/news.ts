/** What comes to a refund's process from outside while it runs, and when that is news to it: as in workflows/news.ts. */
import type { ApprovalStanding, Observation, SagaState } from '../src/domain/saga-state.js';
import type { Rules } from './rules.js';
import type { Resend } from './ledger/resolution.js';

/** What has come in since somebody last asked. */
export interface News {
  hint: boolean;
  laneFreed: boolean;
  /** A person's message says that it is not as this run believes. */
  isDoubted: boolean;
  /** What people's messages have made of the approval, or of the refund; the newest word. */
  approval: ApprovalStanding | null;
  /** What persons decided and nobody has carried out yet, oldest first. */
  readonly resolutions: Resend[];
}

export function noNews(): News {
  return { hint: false, laneFreed: false, isDoubted: false, approval: null, resolutions: [] };
}

export function takeIn(news: News, standing: ApprovalStanding, rules: Rules): void {
  if (rules.isNews(standing, news.approval)) news.approval = standing;
}

/** Two messages may be told of in another order than they were judged in. */
export function isNews(standing: ApprovalStanding, known: ApprovalStanding | null): boolean {
  return standing.version >= (known?.version ?? 0);
}

export function isWoken(state: SagaState, news: News): boolean {
  if (concerns(state, news.approval)) return true;
  if (state.stage === 'approving') return news.isDoubted || isHinted(state, news);
  if (state.stage === 'waiting') return news.laneFreed;
  return news.hint || (state.stage === 'review' && news.resolutions.length > 0);
}

/** What to go on with after a wait, null where the ledger is to say how the approval stands; the news is taken. */
export function afterWait(state: SagaState, news: News): Observation | null {
  const hinted = isHinted(state, news);
  const isToAsk = concerns(state, news.approval) || (state.stage === 'approving' && news.isDoubted);
  news.hint = false;
  news.laneFreed = false;
  news.isDoubted = false;
  news.approval = null;
  if (isToAsk) return null;
  if (state.stage === 'approving' && hinted) return { kind: 'hinted' };
  return { kind: state.stage === 'review' && news.resolutions.length > 0 ? 'resolutionAsked' : 'paused' };
}

/** That people ended it concerns every stage; how its approval stands, the wait for it alone. */
function concerns({ stage, approval }: SagaState, standing: ApprovalStanding | null): boolean {
  if (!standing) return false;
  if (standing.state === 'closed') return true;
  return stage === 'approving' && standing.version > (approval?.wait.version ?? 0);
}

/** While people decide about sending it again, what was sent before may show up. */
function isHinted({ stage, attempt }: SagaState, { hint, laneFreed }: News): boolean {
  return stage === 'approving' && attempt > 0 && (hint || laneFreed);
}
