import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { hasMigration, isDatabaseUp } from '../ledger/readiness.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { Operation } from './openapi.js';

const check = z.enum(['ok', 'failing']);

const healthResource = z.object({ status: check, checks: z.record(z.string(), check) }).meta({
  id: 'Health',
  examples: [{ status: 'ok', checks: { database: 'ok', migrations: 'ok', engine: 'ok' } }],
});

type Health = z.output<typeof healthResource>;

const CHECK_WITHIN_MS = 3_000;

@Controller('health')
export class HealthController {
  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {}

  @Get('live')
  @Operation({
    summary: 'The process answers',
    access: 'open',
    success: [{ status: 200, schema: healthResource, description: 'It does.' }],
    problems: [],
  })
  isLive(): Health {
    return { status: 'ok', checks: {} };
  }

  @Get('ready')
  @Operation({
    summary: 'Everything behind the door answers',
    access: 'open',
    success: [
      { status: 200, schema: healthResource, description: 'Ready.' },
      { status: 503, schema: healthResource, description: 'Not ready; the failing checks say why.' },
    ],
    problems: [],
  })
  async isReady(@Res({ passthrough: true }) reply: FastifyReply): Promise<Health> {
    const { db, engine, newestMigration } = this.deps;
    const [database, migrations, engineAnswers] = await Promise.all([
      passes(isDatabaseUp(db)),
      passes(hasMigration(db, newestMigration)),
      passes(engine.ready()),
    ]);
    const ready = database === 'ok' && migrations === 'ok' && engineAnswers === 'ok';
    if (!ready) reply.status(503);
    return { status: ready ? 'ok' : 'failing', checks: { database, migrations, engine: engineAnswers } };
  }
}

async function passes(asked: Promise<boolean>): Promise<'ok' | 'failing'> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), CHECK_WITHIN_MS);
  });
  try {
    return (await Promise.race([asked, tooLate])) ? 'ok' : 'failing';
  } catch {
    return 'failing';
  } finally {
    clearTimeout(timer);
  }
}
