/** One schedule: several refunds of one payment, and a scheduler that picks who moves next, until all is at rest. */
import { checkEnd, checkEveryStep, hold } from './invariants.js';
import type { Message } from './ledger/approval-standing.js';
import type { Resend } from './ledger/resolution.js';
import { operator, people } from './people.js';
import { loseProcess, receive, receiveResend, startProcess, wake, type Process } from './process.js';
import { REAL_RULES, type Rules } from './rules.js';
import { SECOND_MS } from './timings.js';
import { World, type Actor } from './world.js';

const MOVES_MAX = 60_000;
const SOON_MS = 5_000;

export interface Played {
  /** How each refund ended. */
  readonly ends: readonly string[];
  readonly faults: Readonly<Record<string, number>>;
  /** How each round of votes ended. */
  readonly approvals: readonly string[];
  /** The promise that was broken; null: all were kept. */
  readonly broken: string | null;
  readonly moves: number;
}

/** Plays the schedule of one seed; the same seed is the same schedule. Notes what happens where a trace is given. */
export function play(seed: number, rules: Rules = REAL_RULES, trace: string[] | null = null): Played {
  const world = new World(seed, rules, trace);
  const processes = world.asked.map((asked) =>
    startProcess(world, asked, world.random.upTo(world.random.pick([0.01, 60, 300, 600]) * SECOND_MS)),
  );
  world.actors.push(...processes);
  const processOf = (refundId: string): Process => {
    const process = processes.find(({ name }) => name === refundId);
    if (!process) throw new Error(`no process ${refundId}`);
    return process;
  };
  world.hintAll = () => {
    for (const process of processes) wake(world, process, 'hint');
  };
  world.wakeLane = (refundId) => {
    wake(world, processOf(refundId), 'laneFreed');
  };
  world.callPeople = (refundId) => {
    if (!world.books.approvalPolicy) return;
    const process = processOf(refundId);
    const say = (message: Message): void => {
      receive(world, process, message);
    };
    world.act('people', people(world, refundId, say), 0);
  };
  world.callOperator = (refundId) => {
    if (!world.books.approvalPolicy || !world.random.chance(world.isUnreliable ? 1 : 0.4)) return;
    const process = processOf(refundId);
    const say = (resend: Resend): void => {
      receiveResend(world, process, resend);
    };
    world.act('operator', operator(world, refundId, say), 0);
  };
  world.restsInReview = (refundId) =>
    processes.some(({ name, atRest }) => name === refundId && atRest) &&
    world.books.refunds.some(({ id, status }) => id === refundId && status === 'review');
  let moves = 0;
  let broken: string | null = null;
  try {
    for (let actor = next(world); actor; actor = next(world)) {
      hold((moves += 1) < MOVES_MAX, 'every schedule comes to rest');
      move(world, actor);
      if (world.storms('process lost', 0.004)) loseAny(world, processes);
      checkEveryStep(world);
    }
    checkEnd(world);
  } catch (error) {
    broken = error instanceof Error ? error.message : String(error);
    world.note('broken', broken);
  }
  return {
    ends: processes.map((process) => endOf(world, process)),
    approvals: world.books.refunds.flatMap(({ approval }) => approval?.ends ?? []),
    faults: world.faults,
    broken,
    moves,
  };
}

/** Who moves next: the first that is ready or, in the storm, any that will be soon, so that the others are late. */
function next(world: World): Actor | undefined {
  const { actors, random } = world;
  let [first] = actors;
  for (const actor of actors) if (first && actor.readyAtMs < first.readyAtMs) first = actor;
  if (!first || actors.length === 1 || !world.storms('out of turn', 0.1)) return first;
  const untilMs = Math.max(world.nowMs, first.readyAtMs) + SOON_MS;
  const soon = actors.filter(({ readyAtMs }) => readyAtMs <= untilMs);
  return soon[random.whole(soon.length)];
}

function move(world: World, actor: Actor): void {
  world.nowMs = Math.max(world.nowMs, actor.readyAtMs);
  const { done, value } = actor.thread.next();
  if (done) world.actors.splice(world.actors.indexOf(actor), 1);
  else actor.readyAtMs = world.nowMs + value;
}

function loseAny(world: World, processes: readonly Process[]): void {
  const running = processes.filter(({ atRest }) => !atRest);
  const lost = running[world.random.whole(running.length)];
  if (lost) loseProcess(world, lost);
}

function endOf({ books }: World, { asked }: Process): string {
  const refund = books.refunds.find(({ id }) => id === asked.id);
  if (!refund) return 'refused';
  if (refund.status === 'failed') return `failed: ${refund.failureReason ?? ''}`;
  return refund.status === 'pending' ? 'queued behind review' : refund.status;
}
