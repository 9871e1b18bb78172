import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { AdmissionVerdict, RefundStart } from '../activities/interface.js';
import type { BrokenRule } from '../src/domain/eligibility.js';
import { openFrontDoor, storeOutcome, type FrontDoor } from './setup/front-door.js';

const execute = promisify(execFile);
/** Two compilers run, on a machine that is busy with other tests. */
const COMPILES_WITHIN_MS = 60_000;
const COMPILER_OPTIONS = {
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  target: 'ES2023',
  skipLibCheck: true,
  module: 'nodenext',
  types: ['node'],
};

let door: FrontDoor;
let folder: string;
beforeAll(async () => {
  door = await openFrontDoor();
  folder = await mkdtemp(join(tmpdir(), 'estorno-client-'));
});
afterAll(async () => {
  await door.close();
  await rm(folder, { recursive: true, force: true });
});

describe('the client of docs/api-clients.md', () => {
  it(
    'compiles against the served document, and finds what that promises',
    async () => {
      const { text: document } = await door.call('GET', '/openapi.json', { key: null });
      await writeProgram(document);
      await run('openapi-typescript/bin/cli.js', 'openapi.json', '-o', 'estorno.ts');
      await run('typescript/bin/tsc', '-p', '.');

      door.engine.answer = decide;
      const { stdout } = await execute(process.execPath, ['client.js'], {
        cwd: folder,
        env: { ESTORNO_URL: door.origin, ESTORNO_KEY: await door.key('requester') },
        timeout: 10_000,
      });

      const told = JSON.parse(stdout) as Record<string, unknown>;
      const expectValid = schemasOf(document);
      expectValid('Payment', told['payment']);
      expectValid('RefundPreview', told['preview']);
      expectValid('Refund', told['refund']);
      expectValid('Refund', told['later']);
      expectValid('RefundList', told['list']);
      expect(told['tooMuch']).toBe('Less than that is left: 10000 are left');
      expect(told['list']).toMatchObject({ data: [told['later']] });
    },
    COMPILES_WITHIN_MS,
  );
});

/** @throws Error with what the tool objects to. */
async function run(tool: string, ...args: string[]): Promise<void> {
  const script = join('node_modules', tool);
  await execute(process.execPath, [script, ...args], { cwd: folder }).catch((error: unknown) => {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${tool}: ${stdout}${stderr}`);
  });
}

/** As admission does: it is there, or the payment does not hold so much. */
async function decide(start: RefundStart): Promise<AdmissionVerdict> {
  const { amountMinor, payment } = start.request;
  const paymentId = 'paymentId' in payment ? payment.paymentId : '';
  const { refundId, askId: firstAskId } = start;
  if (amountMinor !== null && amountMinor <= 10_000) {
    await storeOutcome(door.db, start, { paymentId, amountMinor });
    return { kind: 'admitted', refundId, firstAskId };
  }
  const broken: BrokenRule[] = [
    { code: 'amount_exceeds_available', detail: '10000 are left', pointer: '/amount' },
  ];
  await storeOutcome(door.db, start, { refusal: broken });
  return { kind: 'refused', broken, firstAskId };
}

/** What a reader would have on the disk: the document, the program, and the packages that it names. */
async function writeProgram(document: string): Promise<void> {
  const page = await readFile('docs/api-clients.md', 'utf8');
  const program = /```ts\n([^`]*(?:`[^`]+`[^`]*)*?)```/.exec(page)?.[1] ?? '';
  await Promise.all([
    writeFile(join(folder, 'openapi.json'), document),
    writeFile(join(folder, 'client.ts'), program),
    writeFile(join(folder, 'package.json'), '{"type":"module"}'),
    writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: COMPILER_OPTIONS })),
    symlink(join(process.cwd(), 'node_modules'), join(folder, 'node_modules')),
  ]);
}

function schemasOf(document: string): (name: string, value: unknown) => void {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  formats.default(ajv);
  ajv.addSchema(JSON.parse(document) as object, 'openapi');
  return (name, value) => {
    const validate = ajv.getSchema(`openapi#/components/schemas/${name}`)!;
    expect([name, validate(value), validate.errors]).toEqual([name, true, null]);
  };
}
