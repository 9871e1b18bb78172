import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import type { Child } from './children.js';
import { failed, outputOf, startNode } from './parts.js';

export interface SimulatorsOptions {
  /** Absolute: the compiled `simulators/main.js`. */
  readonly script: string;
  readonly dataDir: string;
  readonly env: NodeJS.ProcessEnv;
  /** The `env` of an earlier start, whose ports and credentials are wanted again. */
  readonly last: Readonly<Record<string, string>> | null;
  /** Of the control API; a free one unless given. */
  readonly controlPort?: number;
}

export interface Simulators {
  /** The service's settings that reach them. */
  readonly env: Readonly<Record<string, string>>;
  /** The origin of their control API. */
  readonly control: string;
}

/** The simulators of all five providers as a child process. @throws Error with the end of its log. */
export async function startSimulators(options: SimulatorsOptions): Promise<[Child, Simulators]> {
  const { script, dataDir, env, last, controlPort } = options;
  const child = startNode({
    name: 'simulators',
    script,
    env: {
      ...env,
      ...(last === null ? {} : { SIMULATORS_ENV: JSON.stringify(last) }),
      ...(controlPort === undefined ? {} : { SIMULATORS_CONTROL_PORT: String(controlPort) }),
      DATA_DIR: dataDir,
    },
    dataDir,
    readsOutput: true,
  });
  const lines = createInterface({ input: outputOf(child) });
  const line = await Promise.race([
    new Promise<string>((resolve) => lines.once('line', resolve)),
    child.ended.then((why) => failed(child, why)),
    pause(READY_WITHIN_MS, undefined, { ref: false }).then(() => failed(child, 'did not get ready')),
  ]);
  // Read to the end, or a full pipe would stop it.
  lines.on('line', () => undefined);
  return [child, JSON.parse(line) as Simulators];
}

const READY_WITHIN_MS = 20_000;
