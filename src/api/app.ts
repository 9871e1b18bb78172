import 'reflect-metadata';
import {
  Module,
  StandardSchemaValidationPipe,
  type DynamicModule,
  type NestApplicationOptions,
} from '@nestjs/common';
import { NestFactory, Reflector } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { ApprovalsController } from './approvals.controller.js';
import { addBodyParsers, WEBHOOK_BODY_LIMIT_BYTES, isWebhookRoute } from './body-parsers.js';
import { CallerGuard } from './caller.js';
import { CodecController } from './codec.controller.js';
import { admitCodecOrigins, CODEC_BODY_LIMIT_BYTES, isCodecRoute } from './codec-origins.js';
import { API_DEPS, type ApiDeps } from './deps.js';
import { serveDocs } from './docs.js';
import { EvidenceController } from './evidence.controller.js';
import { createIdentityTokens } from './identity-token.js';
import { shedLoad } from './load-shedding.js';
import { HealthController } from './health.controller.js';
import { createDocument } from './openapi.js';
import { answerParserError, answerRouterError } from './parser-problems.js';
import { MetricsController } from './metrics.controller.js';
import { PaymentsController } from './payments.controller.js';
import { ProblemFilter } from './problem.filter.js';
import { createRateLimits } from './rate-limits.js';
import { refuseUnclearHeads } from './request-head.js';
import { logAnswers } from './request-log.js';
import { addSecurityHeaders } from './security-headers.js';
import { ProvidersController } from './providers.controller.js';
import { ReconciliationsController } from './reconciliations.controller.js';
import { RefundsController } from './refunds.controller.js';
import { DeadlineInterceptor, noteArrival } from './request-deadline.js';
import { ReviewsController } from './reviews.controller.js';
import { createRouteTable } from './route-table.js';
import { invalidRequestFrom } from './schema-issues.js';
import { WebhookEndpointsController } from './webhook-endpoints.controller.js';
import { WebhooksController } from './webhooks.controller.js';

const BODY_LIMIT_BYTES = 64 * 1024;
const REQUEST_TIMEOUT_MS = 15_000;
const HEAD_TIMEOUT_MS = 10_000;
const TIMEOUTS_CHECKED_EVERY_MS = 5_000;
const PARAMETER_LENGTH_MAX = 512;
const NEST_OPTIONS: Pick<NestApplicationOptions, 'logger' | 'bodyParser' | 'abortOnError'> = {
  logger: false,
  bodyParser: false,
  abortOnError: false,
};

@Module({
  controllers: [
    PaymentsController,
    RefundsController,
    ApprovalsController,
    ReviewsController,
    ProvidersController,
    ReconciliationsController,
    EvidenceController,
    WebhooksController,
    WebhookEndpointsController,
    CodecController,
    HealthController,
    MetricsController,
  ],
})
class ApiModule {
  static of(deps: ApiDeps): DynamicModule {
    return { module: ApiModule, providers: [{ provide: API_DEPS, useValue: deps }] };
  }
}

/** The front door, ready to listen: routes, authentication, problems, the document and its page. */
export async function createApp(deps: ApiDeps): Promise<NestFastifyApplication> {
  const adapter = createAdapter(deps.metrics);
  const fastify = adapter.getInstance();
  logAnswers(fastify, deps.log);
  const { allowedMethods } = createRouteTable(fastify);
  const app = await NestFactory.create<NestFastifyApplication>(ApiModule.of(deps), adapter, NEST_OPTIONS);
  addBodyParsers(fastify);
  admitCodecOrigins(fastify, deps.config.codecCorsOrigins ?? []);
  // First, so that whatever is refused after it carries them too.
  await addSecurityHeaders(app);
  refuseUnclearHeads(fastify);
  shedLoad(fastify);
  const { identity, rateLimit } = deps.config;
  const tokens = identity && createIdentityTokens(identity, deps.nowMs);
  app.useGlobalGuards(
    new CallerGuard(deps, app.get(Reflector), createRateLimits(deps.db, rateLimit), tokens),
  );
  app.useGlobalInterceptors(new DeadlineInterceptor());
  app.useGlobalPipes(new StandardSchemaValidationPipe({ exceptionFactory: invalidRequestFrom }));
  app.useGlobalFilters(new ProblemFilter(deps.log, allowedMethods));
  serveDocs(fastify, createDocument(app, [...deps.providers.keys()]));
  await app.init();
  await fastify.ready();
  return app;
}

function createAdapter(metrics: ApiDeps['metrics']): FastifyAdapter {
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: {
      headersTimeout: HEAD_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUTS_CHECKED_EVERY_MS,
      requireHostHeader: false,
    },
    routerOptions: { maxParamLength: PARAMETER_LENGTH_MAX },
    genReqId: requestIdOf,
    clientErrorHandler: answerParserError,
    frameworkErrors: answerRouterError,
  });
  const fastify = adapter.getInstance();
  fastify.addHook('onRoute', (route) => {
    if (isWebhookRoute(route.url)) route.bodyLimit = WEBHOOK_BODY_LIMIT_BYTES;
    if (isCodecRoute(route.url)) route.bodyLimit = CODEC_BODY_LIMIT_BYTES;
  });
  fastify.addHook('onRequest', (request, reply, done) => {
    noteArrival(request);
    reply.header('X-Request-Id', request.id);
    done();
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    metrics.answered(route, request.method, reply.statusCode, reply.elapsedTime / 1000);
    done();
  });
  return adapter;
}

/** The caller's own where it is harmless in logs and headers. */
function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  if (typeof given === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(given)) return given;
  return `req_${randomBytes(12).toString('hex')}`;
}
