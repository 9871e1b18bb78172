import { once } from 'node:events';
import { createServer, type Server } from 'node:http';

export interface WorkerHealth {
  /** Throws where the database does not answer. */
  readonly askDatabase: () => Promise<unknown>;
  readonly polls: () => boolean;
  /** As Prometheus reads it; answers in time whatever is away. */
  readonly exposeMetrics: () => Promise<string>;
}

const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** `/health/live`, `/health/ready` and `/metrics` of a worker. */
export async function serveWorkerHealth(host: string, port: number, worker: WorkerHealth): Promise<Server> {
  const server = createServer((request, response) => {
    void answer(request.url ?? '', worker)
      .catch(() => json(500, { status: 'failing' }))
      .then(({ status, type, text }) => response.writeHead(status, { 'content-type': type }).end(text));
  });
  server.listen(port, host);
  await once(server, 'listening');
  return server;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

async function answer(url: string, worker: WorkerHealth): Promise<Answer> {
  const [path = ''] = url.split('?', 1);
  switch (path) {
    case '/health/live':
      return json(200, { status: 'ok' });
    case '/health/ready': {
      const checks = {
        database: (await answers(worker.askDatabase)) ? 'ok' : 'failing',
        engine: worker.polls() ? 'ok' : 'failing',
      };
      const ready = Object.values(checks).every((check) => check === 'ok');
      return json(ready ? 200 : 503, { status: ready ? 'ok' : 'failing', checks });
    }
    case '/metrics':
      return { status: 200, type: METRICS_TYPE, text: await worker.exposeMetrics() };
    default:
      return json(404, { status: 'not_found' });
  }
}

async function answers(ask: () => Promise<unknown>): Promise<boolean> {
  try {
    await ask();
    return true;
  } catch {
    return false;
  }
}

function json(status: number, body: unknown): Answer {
  return { status, type: 'application/json', text: JSON.stringify(body) };
}
