import { once } from 'node:events';

export default async function stopRealParts(): Promise<void> {
  const serving = globalThis.realParts;
  if (serving === undefined || serving.exitCode !== null) return;
  serving.stdin?.end();
  await once(serving, 'exit');
}
