import { Client, type ConnectionLike } from '@temporalio/client';

/** What somebody without a key finds in a workflow's history: how much is sealed, and the text of what is not. */
export async function payloadsOf(
  connection: ConnectionLike,
  workflowId: string,
): Promise<{ sealed: number; readable: readonly string[] }> {
  const { events } = await new Client({ connection }).workflow.getHandle(workflowId).fetchHistory();
  let sealed = 0;
  const readable: string[] = [];
  const walk = (value: unknown, path: string): void => {
    // The SDK's own words about a local step: which one, when, the how-manieth try.
    if (typeof value !== 'object' || value === null || path.endsWith('.details.data')) return;
    const { metadata, data } = value as { metadata?: Record<string, Uint8Array>; data?: Uint8Array };
    const encoding = metadata?.['encoding'] && Buffer.from(metadata['encoding']).toString();
    if (encoding === 'binary/encrypted') sealed += 1;
    else if (encoding !== undefined && !path.includes('searchAttributes')) {
      readable.push(Buffer.from(data ?? []).toString());
    }
    if (value instanceof Uint8Array) return;
    for (const [name, member] of Object.entries(value)) walk(member, `${path}.${name}`);
  };
  walk(events, '');
  return { sealed, readable };
}
