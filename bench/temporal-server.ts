import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Connection, WorkflowClient, isGrpcServiceError } from '@temporalio/client';
import { TypedSearchAttributes, defineSearchAttributeKey } from '@temporalio/common';
import proto from '@temporalio/proto';
import pg from 'pg';
import { quietPort } from '../lab/seats.js';
import { startChild, type Child } from '../src/embedded/children.js';
import { registerSearchAttributes } from '../src/temporal.js';
import { findTemporalServerBinaries, type TemporalServerBinaries } from './temporal-server-binaries.js';

export interface TemporalServerOptions {
  readonly dataDir: string;
  /** Of a superuser; databases `temporal` and `temporal_visibility` are made there and must not exist. */
  readonly databaseUrl: string;
  readonly log: (line: string) => void;
  /** 128 unless given. */
  readonly numHistoryShards?: number;
}

export interface RunningTemporalServer {
  readonly address: string;
  /** In Prometheus' text format. */
  readonly metricsUrl: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/**
 * A real Temporal server (one process, all four services) that stores in PostgreSQL, ready for the namespace `default`.
 * @throws Error whose message says what was tried and what to do.
 */
export async function startTemporalServer(options: TemporalServerOptions): Promise<RunningTemporalServer> {
  const binaries = await findTemporalServerBinaries(options.log);
  await createTables(binaries, options.databaseUrl);
  const ports = await choosePorts();
  const server = startChild({
    name: 'temporal-server',
    command: binaries.server,
    args: ['--config-file', writeSettings(options, ports), '--allow-no-auth', 'start'],
    env: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: options.dataDir },
    logFile: join(resolve(options.dataDir), 'logs', 'temporal-server.log'),
    orphanSignal: 'TERM',
  });
  const address = `${HOST}:${ports.frontend}`;
  await untilUsable(address, server);
  return {
    address,
    metricsUrl: `http://${HOST}:${ports.metrics}/metrics`,
    pid: server.pid,
    stop: () => server.stop('SIGTERM', STOP_TIMEOUT_MS),
  };
}

const HOST = '127.0.0.1';
const NAMESPACE = 'default';
const RETENTION_SECONDS = 86_400;
/** A shard makes one write at a time: at saturation one waits 40 ms for its turn among 4, and 2 ms among 128. */
const SHARDS = 128;
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;
const CALL_TIMEOUT_MS = 5_000;
const LOOK_EVERY_MS = 100;
const GRPC_ALREADY_EXISTS = 6;
const PLUGIN = 'postgres12_pgx';
const run = promisify(execFile);

const STORES = [
  { database: 'temporal', schema: 'postgresql/v12/temporal' },
  { database: 'temporal_visibility', schema: 'postgresql/v12/visibility' },
] as const;

async function createTables({ sqlTool }: TemporalServerBinaries, databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    for (const { database } of STORES) await client.query(`CREATE DATABASE ${database}`);
  } finally {
    await client.end();
  }

  const { hostname, port, username, password } = new URL(databaseUrl);
  await Promise.all(
    STORES.map(async ({ database, schema }) => {
      const env = {
        SQL_PLUGIN: PLUGIN,
        SQL_HOST: hostname,
        SQL_PORT: port,
        SQL_USER: decodeURIComponent(username),
        SQL_PASSWORD: decodeURIComponent(password),
        SQL_DATABASE: database,
      };
      await run(sqlTool, ['setup-schema', '--version', '0.0'], { env });
      await run(sqlTool, ['update-schema', '--schema-name', schema], { env });
    }),
  );
}

const SERVICES = ['frontend', 'history', 'matching', 'worker'] as const;
type Ports = Readonly<
  Record<(typeof SERVICES)[number] | `${(typeof SERVICES)[number]}Ring` | 'metrics', number>
>;

async function choosePorts(): Promise<Ports> {
  const names = ['metrics', ...SERVICES, ...SERVICES.map((service) => `${service}Ring` as const)] as const;
  const ports = new Set<number>();
  while (ports.size < names.length) ports.add(await quietPort());
  const [...chosen] = ports;
  return Object.fromEntries(names.map((name, at) => [name, chosen[at]])) as Ports;
}

/** JSON, which is YAML too. @returns the file that the server is started with. */
function writeSettings(
  { dataDir, databaseUrl, numHistoryShards }: TemporalServerOptions,
  ports: Ports,
): string {
  const folder = join(resolve(dataDir), 'temporal-server');
  mkdirSync(folder, { recursive: true });
  const [settings, dynamicSettings] = [join(folder, 'settings.json'), join(folder, 'dynamic-settings.json')];
  writeFileSync(dynamicSettings, JSON.stringify(DYNAMIC_SETTINGS));

  const { host, username, password } = new URL(databaseUrl);
  const store = (databaseName: string, connectionsMax: number): object => ({
    sql: {
      pluginName: PLUGIN,
      databaseName,
      connectAddr: host,
      connectProtocol: 'tcp',
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
      maxConns: connectionsMax,
      maxIdleConns: connectionsMax,
    },
  });
  const content = {
    log: { stdout: true, level: 'warn' },
    persistence: {
      defaultStore: 'default',
      visibilityStore: 'visibility',
      numHistoryShards: numHistoryShards ?? SHARDS,
      datastores: {
        default: store(STORES[0].database, CONNECTIONS_A_SERVICE.default),
        visibility: store(STORES[1].database, CONNECTIONS_A_SERVICE.visibility),
      },
    },
    global: {
      membership: { maxJoinDuration: '30s', broadcastAddress: HOST },
      metrics: { prometheus: { listenAddress: `${HOST}:${ports.metrics}`, timerType: 'histogram' } },
    },
    services: Object.fromEntries(
      SERVICES.map((service) => [
        service,
        { rpc: { grpcPort: ports[service], membershipPort: ports[`${service}Ring`], bindOnIP: HOST } },
      ]),
    ),
    clusterMetadata: {
      enableGlobalNamespace: false,
      failoverVersionIncrement: 10,
      masterClusterName: 'active',
      currentClusterName: 'active',
      clusterInformation: {
        active: {
          enabled: true,
          initialFailoverVersion: 1,
          rpcName: 'frontend',
          rpcAddress: `${HOST}:${ports.frontend}`,
        },
      },
    },
    dcRedirectionPolicy: { policy: 'noop' },
    dynamicConfigClient: { filepath: dynamicSettings, pollInterval: '60s' },
  };
  // It holds the password of the database.
  writeFileSync(settings, JSON.stringify(content), { mode: 0o600 });
  return settings;
}

/** Each of the four has its own; all together leave room for API and workers under the 200 of the embedded PostgreSQL. */
const CONNECTIONS_A_SERVICE = { default: 20, visibility: 5 };

/** As the embedded dev server has it, and no limit that four cores could reach. */
const DYNAMIC_SETTINGS = Object.fromEntries(
  Object.entries({
    'history.transferProcessorMaxPollRPS': 2_000,
    'history.timerProcessorMaxPollRPS': 2_000,
    'frontend.rps': 100_000,
    'frontend.namespaceRPS': 100_000,
    'history.rps': 100_000,
    'matching.rps': 100_000,
    'frontend.persistenceMaxQPS': 100_000,
    'history.persistenceMaxQPS': 100_000,
    'matching.persistenceMaxQPS': 100_000,
    'system.visibilityPersistenceMaxWriteQPS': 100_000,
  }).map(([name, value]) => [name, [{ value }]]),
);

async function untilUsable(address: string, server: Child): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      await prepareNamespace(address);
      return;
    } catch (error) {
      if (server.hasEnded() || Date.now() > deadline) {
        await server.stop('SIGTERM', STOP_TIMEOUT_MS);
        throw new Error(
          `The Temporal server did not get ready: ${await server.ended}; ${(error as Error).message}\n` +
            `${server.logTail()}\nSet TEMPORAL_ADDRESS to use a server of your own.`,
          { cause: error },
        );
      }
    }
    await pause(LOOK_EVERY_MS);
  }
}

async function prepareNamespace(address: string): Promise<void> {
  const connection = await Connection.connect({
    address,
    connectTimeout: CALL_TIMEOUT_MS,
    channelArgs: {
      'grpc.initial_reconnect_backoff_ms': LOOK_EVERY_MS,
      'grpc.max_reconnect_backoff_ms': LOOK_EVERY_MS,
    },
  });
  try {
    await connection.withDeadline(Date.now() + CALL_TIMEOUT_MS, async () => {
      await registerNamespace(connection);
      await registerSearchAttributes(connection, NAMESPACE);
      await runOneWorkflow(connection);
    });
  } finally {
    await connection.close();
  }
}

async function registerNamespace(connection: Connection): Promise<void> {
  try {
    await connection.workflowService.registerNamespace({
      namespace: NAMESPACE,
      workflowExecutionRetentionPeriod: Duration.fromObject({ seconds: RETENTION_SECONDS }),
    });
  } catch (error) {
    if (!(isGrpcServiceError(error) && (error.code as number) === GRPC_ALREADY_EXISTS)) throw error;
  }
}

/** Each of the services learns of a namespace and its search attributes in its own time: only a whole run tells. */
async function runOneWorkflow(connection: Connection): Promise<void> {
  const name = 'first-sign-of-life';
  const key = defineSearchAttributeKey('RefundStatus', 'KEYWORD');
  await new WorkflowClient({ connection, namespace: NAMESPACE }).start(name, {
    workflowId: name,
    workflowIdConflictPolicy: 'TERMINATE_EXISTING',
    taskQueue: name,
    typedSearchAttributes: new TypedSearchAttributes([{ key, value: name }]),
  });
  const { taskToken, history } = await connection.workflowService.pollWorkflowTaskQueue({
    namespace: NAMESPACE,
    taskQueue: { name },
  });
  const searchAttributes =
    history?.events?.[0]?.workflowExecutionStartedEventAttributes?.searchAttributes ?? null;
  await connection.workflowService.respondWorkflowTaskCompleted({
    namespace: NAMESPACE,
    taskToken,
    commands: [
      {
        commandType: CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        upsertWorkflowSearchAttributesCommandAttributes: { searchAttributes },
      },
      {
        commandType: CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        completeWorkflowExecutionCommandAttributes: {},
      },
    ],
  });
}

const { CommandType } = proto.temporal.api.enums.v1;
const { Duration } = proto.google.protobuf;
