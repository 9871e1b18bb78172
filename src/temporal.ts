import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { isGrpcServiceError, type Connection, type ConnectionOptions } from '@temporalio/client';
import type { NativeConnectionOptions } from '@temporalio/worker';
import proto from '@temporalio/proto';
import { SEARCH_ATTRIBUTES } from '../workflows/messages.js';
import type { Config } from './config.js';
import { runningTemporal } from './embedded/temporal.js';

export interface TemporalTarget {
  readonly namespace: string;
  readonly connection: ConnectionOptions & NativeConnectionOptions;
}

/**
 * Where Temporal is: what the environment or a profile says, else the embedded server that runs under DATA_DIR.
 * @throws Error in words for the operator when neither is there.
 */
export function temporalTarget(config: Config, env: NodeJS.ProcessEnv): TemporalTarget {
  if (config.temporalGiven) {
    const given = loadClientConnectConfig({
      overrideEnvVars: Object.fromEntries(
        Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined),
      ),
    });
    return {
      namespace: given.namespace ?? 'default',
      connection: given.connectionOptions,
    };
  }
  const embedded = runningTemporal(config.dataDir);
  if (!embedded) {
    throw new Error(
      `TEMPORAL_ADDRESS is not set, and no embedded Temporal runs under ${config.dataDir} (npm start brings one up)`,
    );
  }
  return { namespace: embedded.namespace, connection: { address: embedded.address } };
}

const GRPC_ALREADY_EXISTS = 6;

/** Makes sure that the namespace knows our search attributes; safe for many processes at once. */
export async function registerSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const missing = Object.entries(SEARCH_ATTRIBUTES).filter(([name]) => !(name in customAttributes));
  if (missing.length === 0) return;
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map(([name, type]) => [name, INDEXED_VALUE_TYPES[type]])),
    });
  } catch (error) {
    if (!(isGrpcServiceError(error) && (error.code as number) === GRPC_ALREADY_EXISTS)) throw error;
  }
}

const { IndexedValueType } = proto.temporal.api.enums.v1;
const INDEXED_VALUE_TYPES = {
  KEYWORD: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
  INT: IndexedValueType.INDEXED_VALUE_TYPE_INT,
  DATETIME: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
} as const;

/** The bundle that `npm run build` made, beside the compiled sources. */
export function workflowBundleFile(): string {
  const file = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
  if (!existsSync(file)) throw new Error(`the workflow bundle is missing (${file}): run npm run build`);
  return file;
}
