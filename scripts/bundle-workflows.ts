import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

/** Prebuilds the workflow bundle from the compiled sources; `src/temporal.ts` says where workers look for it. */
const workflowsPath = fileURLToPath(new URL('../workflows/index.js', import.meta.url));
const bundleFile = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
const quiet = (): void => undefined;
const { code } = await bundleWorkflowCode({
  workflowsPath,
  logger: { log: quiet, trace: quiet, debug: quiet, info: quiet, warn: console.warn, error: console.error },
});
await writeFile(bundleFile, code);
