import { copyFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';
import { FAILURE_CONVERTER_FILE } from '../src/sealing/data-converter.js';

/** Prebuilds the workflow bundle from the compiled sources; `src/temporal.ts` says where workers look for it. */
const workflowsPath = fileURLToPath(new URL('../workflows/index.js', import.meta.url));
const bundleFile = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
// The compiler leaves it where it is.
await copyFile(new URL('../../src/sealing/failure-converter.cjs', import.meta.url), FAILURE_CONVERTER_FILE);
const quiet = (): void => undefined;
const { code } = await bundleWorkflowCode({
  workflowsPath,
  failureConverterPath: FAILURE_CONVERTER_FILE,
  logger: { log: quiet, trace: quiet, debug: quiet, info: quiet, warn: console.warn, error: console.error },
});
await writeFile(bundleFile, code);
