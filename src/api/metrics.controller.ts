import { Controller, Get, Header, Inject } from '@nestjs/common';
import { z } from 'zod';
import { API_DEPS, type ApiDeps } from './deps.js';
import { Operation } from './openapi.js';

@Controller('metrics')
export class MetricsController {
  constructor(@Inject(API_DEPS) private readonly deps: ApiDeps) {}

  @Get()
  @Header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
  @Operation({
    summary: 'Figures for Prometheus',
    description:
      'Of the ledger, the same in every process, and of this process. docs/runbook.md explains them.',
    access: 'open',
    mediaType: 'text/plain',
    success: [
      {
        status: 200,
        schema: z.string().meta({ examples: ['estorno_ledger_up 1'] }),
        description: 'The text format, version 0.0.4.',
      },
    ],
    problems: [],
  })
  readMetrics(): Promise<string> {
    return this.deps.metrics.expose();
  }
}
