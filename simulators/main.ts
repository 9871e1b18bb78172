import { fstatSync } from 'node:fs';
import { z } from 'zod';
import { SIMULATED_PROVIDERS } from './book.js';
import { startControl } from './control.js';
import type { Listener } from './listener.js';
import { startSimulators, type Simulators } from './start.js';

/**
 * The simulators as a child process. Prints one JSON line `{origins, env, control, payments}`, one fresh payment a
 * provider included, and ends on SIGTERM or when its parent lets go of stdin.
 */
async function main(): Promise<void> {
  const settings = readSettings();
  const simulators = await startSimulators({
    dataDir: settings.DATA_DIR,
    ...(settings.SIMULATORS_CONFIRM_DELAY_MS === undefined
      ? {}
      : { confirmDelayMs: settings.SIMULATORS_CONFIRM_DELAY_MS }),
    ...(settings.SIMULATORS_SEED === undefined ? {} : { seed: settings.SIMULATORS_SEED }),
    ...(settings.SIMULATORS_ENV === undefined
      ? {}
      : { env: z.record(z.string(), z.string()).parse(JSON.parse(settings.SIMULATORS_ENV)) }),
  });
  const control = await openControl(simulators, settings.SIMULATORS_CONTROL_PORT);
  endWhenAsked(() => Promise.all([control.down(), simulators.close()]));

  console.log(
    JSON.stringify({
      origins: simulators.origins,
      env: simulators.env,
      control: control.origin,
      payments: SIMULATED_PROVIDERS.map((provider, index) =>
        simulators.createPayment(provider, { amountMinor: 10_000 + index * 1_111 }),
      ),
    }),
  );
}

const wholeNumber = z
  .string()
  .regex(/^\d{1,9}$/, 'must be a whole number')
  .transform(Number);

const Settings = z.object({
  DATA_DIR: z.string().default('.estorno'),
  SIMULATORS_CONFIRM_DELAY_MS: wholeNumber.optional(),
  SIMULATORS_SEED: z.string().optional(),
  SIMULATORS_CONTROL_PORT: wholeNumber.pipe(z.number().max(65_535, 'must be at most 65535')).default(0),
  /** The `env` of an earlier line: the same ports and credentials again. */
  SIMULATORS_ENV: z.string().optional(),
});

/** An empty value counts as not given. */
function readSettings(): z.infer<typeof Settings> {
  const given = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== ''));
  const parsed = Settings.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new Error(parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`).join('\n'));
}

async function openControl(simulators: Simulators, port: number): Promise<Listener> {
  try {
    return await startControl(simulators, port);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
    const why = code === 'EADDRINUSE' ? 'it is busy' : 'it is not allowed';
    throw new Error(`SIMULATORS_CONTROL_PORT is set to ${port}, but nothing can listen there: ${why}`, {
      cause: error,
    });
  }
}

function endWhenAsked(close: () => Promise<unknown>): void {
  let ending = false;
  const end = (): void => {
    if (ending) return;
    ending = true;
    close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  const stdin = fstatSync(0);
  // Only a pipe tells of a parent: a shell's background job reads /dev/null, which ends at once.
  const hasParent = stdin.isFIFO() || stdin.isSocket();
  process.once('SIGTERM', end);
  // A terminal's Ctrl-C reaches the whole group: a parent decides itself when its children end.
  process.on('SIGINT', hasParent ? () => undefined : end);
  if (hasParent) process.stdin.once('close', end).resume();
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error && error.constructor === Error ? error.message : error);
  process.exit(1);
}
