import { fileURLToPath } from 'node:url';
import { NativeConnection, Worker } from '@temporalio/worker';
import pg from 'pg';
import { Pool } from 'undici';
import { setting } from '../setting.js';
import { createActivities } from './activities.js';

const db = new pg.Pool({ connectionString: setting('DATABASE_URL'), max: 10 });
const provider = new Pool(setting('PROVIDER_ORIGIN'));
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address: setting('TEMPORAL_ADDRESS') }),
  taskQueue: 'bare',
  workflowsPath: fileURLToPath(new URL('./workflows.js', import.meta.url)),
  activities: createActivities(db, provider, setting('PAGOU_API_KEY')),
});
await worker.run();
process.exit(0);
