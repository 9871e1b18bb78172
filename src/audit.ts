import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { readConfig, type Config } from './config.js';
import { databaseUrlOf } from './database-url.js';
import { readDemoSecrets } from './embedded/demo-secrets.js';
import { auditMacsOf } from './ledger/audit-macs.js';
import {
  compareWithHead,
  exportHead,
  judgeHead,
  type HeadLines,
  type HeadTrust,
} from './ledger/audit/head.js';
import type { Break, Coverage } from './ledger/audit/trail.js';
import { verifyLedger, type Verification } from './ledger/audit/verify.js';
import { openDatabase, type Database } from './ledger/database.js';
import { createAuditMacs } from './signing/audit-mac.js';
import { tellStartupFailure } from './startup-failure.js';

const USAGE = `usage:
  npm run -s audit -- verify [--head FILE]   checks every trail; FILE: also that nothing it knows is gone
  npm run -s audit -- head > FILE            writes down where every trail ends; keep it elsewhere`;

const BROKEN = 1;
const NOT_DONE = 2;
/** One page may be slow on a cold cache. */
const STATEMENT_TIMEOUT_MS = 300_000;

/** `npm run audit`: 0 no break, 1 broken, 2 not done: it could not look, or a MAC is there and its key is not. */
async function runAuditCommand(args: readonly string[]): Promise<void> {
  const command = readCommand(args);
  const config = readConfig(process.env);
  const databaseUrl = databaseUrlOf(config);
  const auditKeys = config.auditKeys ?? (config.databaseUrl === null ? demoAuditKeys(config.dataDir) : null);
  const auditMacs = auditKeys && createAuditMacs(auditKeys);
  const db = openDatabase(databaseUrl, {
    poolMax: 1,
    auditMacs,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  try {
    process.exitCode = await command(db);
  } finally {
    await db.destroy();
  }
}

/** What `npm start` writes the trail of its own database with. */
function demoAuditKeys(dataDir: string): Config['auditKeys'] {
  return readConfig({ AUDIT_KEYS: readDemoSecrets(dataDir).AUDIT_KEYS }).auditKeys;
}

type Command = (db: Database) => Promise<number>;

function readCommand(args: readonly string[]): Command {
  const { values, positionals } = readArgs(args);
  const [name, ...rest] = positionals;
  if (rest.length === 0 && name === 'verify') return (db) => verify(db, values.head ?? null);
  if (rest.length === 0 && name === 'head' && values.head === undefined) return writeHead;
  throw new Error(USAGE);
}

function readArgs(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: { head: { type: 'string' } } });
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${USAGE}`, { cause: error });
  }
}

async function verify(db: Database, headFile: string | null): Promise<number> {
  const lines = headFile === null ? null : linesOf(headFile);
  const trust = lines && (await judgeHead(lines, auditMacsOf(db)));
  if (trust?.kind === 'damaged') {
    console.log(`BROKEN: the head in ${headFile} can't be used: ${trust.why}`);
    return BROKEN;
  }
  const seen = await verifyLedger(db, async (trx, soFar) =>
    lines && trust ? compareWithHead(trx, lines, { closing: trust.closing, seen: soFar }) : [],
  );
  console.log(`${seen.refunds} refunds, ${seen.payments} payments, ${seen.coverage.events} events`);
  for (const line of [...coverageLines(seen.coverage), ...headLines(trust)]) console.log(line);
  return tellVerdict(seen, trust);
}

function coverageLines({ events, covered, withoutMac, unchecked, unknownKeys }: Coverage): string[] {
  const lines = [`covered by MACs: ${covered} of ${events} events`];
  if (unchecked > 0) lines.push(`not covered: ${unchecked} events have MACs, but AUDIT_KEYS is not set here`);
  if (withoutMac > 0) lines.push(`not covered: ${withoutMac} events were written without AUDIT_KEYS`);
  for (const [keyId, count] of unknownKeys) {
    lines.push(`not covered: ${count} events by the key ${keyId}, which is not in AUDIT_KEYS`);
  }
  return lines;
}

type Trust = Exclude<HeadTrust, { kind: 'damaged' }>;

function headLines(trust: Trust | null): string[] {
  if (!trust) {
    return ['not covered: refunds that are gone as a whole (compare with an exported head: --head FILE)'];
  }
  const compared = `compared with the head of ${trust.closing.written_at}: ${trust.closing.trails} trails`;
  switch (trust.kind) {
    case 'signed':
      return [compared];
    case 'unsigned':
      return [compared, 'not covered: the head itself, which was written without AUDIT_KEYS'];
    case 'unchecked':
      return [compared, 'not covered: the head itself, whose MAC needs AUDIT_KEYS'];
    case 'unknown_key':
      return [
        compared,
        `not covered: the head itself, by the key ${trust.keyId}, which is not in AUDIT_KEYS`,
      ];
  }
}

function tellVerdict({ breaks, brokenTrails, coverage }: Verification, trust: Trust | null): number {
  const [first, ...more] = breaks;
  if (first) {
    console.log(`BROKEN: ${wordsFor(first)}`);
    if (more.length > 0) console.log(`${brokenTrails} breaks in all, among them:`);
    for (const found of more) console.log(`  ${wordsFor(found)}`);
    return BROKEN;
  }
  const { events, covered, withoutMac } = coverage;
  const isHeadUnchecked = trust?.kind === 'unchecked' || trust?.kind === 'unknown_key';
  if (covered + withoutMac < events || isHeadUnchecked) {
    console.log('NOT CHECKED: no break found, but there are MACs whose keys are not given here');
    return NOT_DONE;
  }
  console.log(
    covered === events
      ? 'whole'
      : 'no break found; what is not covered could have been rewritten by who owns the database',
  );
  return 0;
}

function wordsFor({ trail, sequence, what }: Break): string {
  const words = `${trail.kind} ${trail.id}${sequence === null ? '' : `, event ${sequence}`}: ${what}`;
  // Whoever changed a row wrote what is repeated here: it must not move a terminal's cursor.
  return words.replace(/\p{C}/gu, '?');
}

async function writeHead(db: Database): Promise<number> {
  const write = async (line: string): Promise<void> => {
    if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
  };
  await exportHead(db, write, Date.now());
  return 0;
}

function linesOf(file: string): HeadLines {
  return async function* () {
    const handle = await open(file);
    try {
      yield* handle.readLines();
    } finally {
      await handle.close();
    }
  };
}

try {
  await runAuditCommand(process.argv.slice(2));
} catch (error) {
  tellStartupFailure(error);
  process.exitCode = NOT_DONE;
}
