import { fstatSync } from 'node:fs';
import { z } from 'zod';
import { SIMULATED_PROVIDERS } from './book.js';
import { startControl } from './control.js';
import { startSimulators } from './start.js';

/**
 * The simulators as a child process. Prints one JSON line `{origins, env, control, payments}`, one fresh payment a
 * provider included, and ends on SIGTERM or when its parent lets go of stdin or IPC.
 */
const settings = z
  .object({
    DATA_DIR: z.string().default('.estorno'),
    SIMULATORS_CONFIRM_DELAY_MS: z.coerce.number().int().min(0).optional(),
    SIMULATORS_SEED: z.string().optional(),
    SIMULATORS_CONTROL_PORT: z.coerce.number().int().min(0).max(65535).default(0),
    /** The `env` of an earlier line: the same ports and credentials again. */
    SIMULATORS_ENV: z.string().optional(),
  })
  .parse(process.env);

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
const control = await startControl(simulators, settings.SIMULATORS_CONTROL_PORT);

let ending = false;
const end = (): void => {
  if (ending) return;
  ending = true;
  Promise.all([control.down(), simulators.close()]).then(
    () => process.exit(0),
    () => process.exit(1),
  );
};
const stdin = fstatSync(0);
// Only a pipe tells of a parent: a shell's background job reads /dev/null, which ends at once.
const hasParent = process.send !== undefined || stdin.isFIFO() || stdin.isSocket();
process.once('SIGTERM', end);
process.once('disconnect', end);
// A terminal's Ctrl-C reaches the whole group: a parent decides itself when its children end.
process.on('SIGINT', hasParent ? () => undefined : end);
if (stdin.isFIFO() || stdin.isSocket()) process.stdin.once('close', end).resume();

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
