import { applyDecorators } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import {
  ApiBearerAuth,
  ApiBody,
  ApiHeader,
  ApiOperation,
  ApiProduces,
  ApiResponse,
  DocumentBuilder,
  SwaggerModule,
  type OpenAPIObject,
} from '@nestjs/swagger';
import { z } from 'zod';
import type { VoteDecision } from '../domain/vote.js';
import type { Role } from '../ledger/keys.js';
import { KeepsRefusalsOf, Public, Roles } from './caller.js';
import { IDEMPOTENCY_KEY_FORM } from './idempotency-key.js';
import { newsWebhooks } from './openapi-webhooks.js';
import { problemBody, PROBLEM_MEDIA_TYPE, Problem, PROBLEMS, type ProblemCode } from './problem.js';
import { problemSchema } from './problem.schema.js';
import { jsonSchemaOf, takesNothing } from './zod-json-schema.js';

type OperationObject = NonNullable<OpenAPIObject['paths'][string]['get']>;
type HeaderObject = NonNullable<NonNullable<OpenAPIObject['components']>['headers']>[string];

export interface OperationSpec {
  readonly summary: string;
  readonly description?: string;
  /** The roles that may call, none: every key may. `open`: no key, the route knows its caller otherwise or tells nothing. */
  readonly access?: 'open' | readonly Role[];
  readonly success: readonly {
    readonly status: number;
    readonly schema: z.ZodType;
    readonly description: string;
    readonly headers?: readonly DocumentedHeader[];
    /** Answered as `text/html` too, to who prefers it. */
    readonly alsoAsPage?: boolean;
  }[];
  /** Beside those that every route has. */
  readonly problems: readonly ProblemCode[];
  /** Who lacks the role is named in the refund's trail. */
  readonly keepsRefusalsOf?: VoteDecision;
  /** Takes an Idempotency-Key. */
  readonly idempotent?: boolean;
  /** Takes any body, of any type. */
  readonly rawBody?: boolean;
  /** Of a success; JSON where absent. */
  readonly mediaType?: string;
}

type DocumentedHeader =
  | 'Location'
  | 'Idempotent-Replayed'
  | 'X-Request-Id'
  | 'Retry-After'
  | 'WWW-Authenticate'
  | 'RateLimit'
  | 'RateLimit-Policy'
  | 'Allow'
  | 'Access-Control-Allow-Origin'
  | 'Content-Security-Policy'
  | 'Vary';

/** Says all about a route at once, for the guard and for the document, so that they can't disagree. */
export function Operation(spec: OperationSpec): MethodDecorator {
  const access = spec.access ?? [];
  const decorators: MethodDecorator[] = [
    ApiOperation({ summary: spec.summary, description: describe(spec) }),
    ApiHeader({
      name: 'X-Request-Id',
      required: false,
      description:
        'Yours, to find the request again: up to 64 letters, digits, dots, hyphens and underscores. Another one is left aside.',
      schema: { type: 'string' },
      example: 'checkout-7f9c24e5',
    }),
    ...spec.success.map(({ status, schema, description, headers = [] }) =>
      ApiResponse({
        status,
        description,
        standardSchema: schema,
        headers: documented([...onEvery(access), ...headers]),
      }),
    ),
    ...problemResponses([...spec.problems, ...everywhere(access)], onEvery(access)),
  ];
  if (access === 'open') decorators.push(Public());
  else decorators.push(ApiBearerAuth('key'));
  if (access !== 'open' && access.length > 0) decorators.push(Roles(...access));
  if (spec.keepsRefusalsOf) decorators.push(KeepsRefusalsOf(spec.keepsRefusalsOf));
  if (spec.idempotent) decorators.push(ApiHeader(IDEMPOTENCY_KEY));
  if (spec.mediaType) decorators.push(ApiProduces(spec.mediaType));
  if (spec.success.some(({ alsoAsPage }) => alsoAsPage)) {
    decorators.push(ApiProduces('application/json', PAGE));
  }
  if (spec.rawBody) {
    decorators.push(
      ApiBody({
        description: 'As the provider sends it, of whatever media type.',
        schema: { example: {} },
        required: false,
      }),
    );
  }
  return applyDecorators(...decorators);
}

/** The document of every route that exists, from the schemas that check it. */
export function createDocument(app: NestFastifyApplication, providers: readonly string[]): OpenAPIObject {
  const about = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Estorno')
    .setVersion('1')
    .setDescription(ABOUT)
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        description:
          'A key made by `npm run key`, or, where `JWT_ISSUER` is set, a signed JWT of that identity provider; its roles ' +
          'come from a claim. Each operation names the roles that may call it.',
      },
      'key',
    )
    .build();
  const optionalBodies = new Set<string>();
  const document = SwaggerModule.createDocument(app, about, {
    operationIdFactory: (_controller, method) => method,
    standardSchemaConverter: (schema, { schemaType }) => {
      if (!(schema instanceof z.ZodType)) return undefined;
      const id = schema.meta()?.id;
      if (id !== undefined && takesNothing(schema)) optionalBodies.add(`#/components/schemas/${id}`);
      return jsonSchemaOf(schema, schemaType);
    },
  });
  for (const operation of Object.values(document.paths).flatMap(({ get, post }) => [get, post])) {
    if (operation) describePages(operation);
    if (operation) admitNoBody(operation, optionalBodies);
  }
  const news = newsWebhooks();
  const schemas = {
    ...document.components?.schemas,
    ...jsonSchemaOf(problemSchema, 'output').components,
    ...news.schemas,
  };
  if (schemas['Provider']) schemas['Provider'] = { ...schemas['Provider'], enum: [...providers] };
  const components = {
    ...document.components,
    schemas,
    headers: HEADERS,
    examples: PROBLEM_EXAMPLES,
    responses: { MethodNotAllowed: problemResponse(['method_not_allowed'], ['X-Request-Id', 'Allow']) },
  };
  return { ...document, webhooks: news.webhooks, components };
}

const ABOUT = [
  'Durable refunds. Amounts are integers in minor units, times are RFC 3339 UTC.',
  'An error is `application/problem+json` (RFC 9457); its `code` is for programs, and each status lists its codes.',
  'A method that a path does not have is answered as the response `MethodNotAllowed` says.',
].join(' ');

const PAGE = 'text/html';

/** A page has no schema but that it is text. */
function describePages(operation: OperationObject): void {
  for (const response of Object.values(operation.responses)) {
    if (response && 'content' in response && response.content[PAGE]) {
      response.content[PAGE] = {
        schema: { type: 'string' },
        example: '<!doctype html><html lang="en"><title>Refund rfd_nbnrw488hqkbrvpm1m9p338zze</title></html>',
      };
    }
  }
}

/** Nest takes each body for one that must be there. */
function admitNoBody({ requestBody }: OperationObject, optional: ReadonlySet<string>): void {
  if (!requestBody || !('content' in requestBody)) return;
  const schema = requestBody.content['application/json']?.schema;
  if (schema && '$ref' in schema && optional.has(schema.$ref)) requestBody.required = false;
}

const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  required: true,
  description: 'Yours, one a refund; scoped to the actor. Quoted and bare are the same key.',
  schema: { type: 'string' as const, pattern: IDEMPOTENCY_KEY_FORM },
  example: '7f9c24e5-order-1042',
};

const RATE_LIMIT_HEADERS: readonly DocumentedHeader[] = ['RateLimit-Policy', 'RateLimit'];

const HEADERS: Readonly<Record<DocumentedHeader, HeaderObject>> = {
  Location: header('The path of the resource.', '/v1/refunds/rfd_nbnrw488hqkbrvpm1m9p338zze'),
  'Idempotent-Replayed': header('`true` where an earlier request decided.', 'true'),
  'X-Request-Id': header('Names this request in the log and in the trail.', 'req_3f00e9fa0621af62028c3756'),
  'Retry-After': header('Seconds.', '1'),
  RateLimit: header(
    'What is left (`r`) of the limit, and the seconds until it is whole again (`t`); there once a request was counted.',
    '"actor";r=499;t=5',
  ),
  'RateLimit-Policy': header('The limit: `q` requests in `w` seconds.', '"actor";q=500;w=5'),
  'WWW-Authenticate': header('`Bearer`.', 'Bearer'),
  Allow: header('The methods of this path.', 'GET, HEAD, POST'),
  'Access-Control-Allow-Origin': header(
    "The caller's origin, where `CODEC_CORS_ORIGINS` names it.",
    'http://127.0.0.1:8233',
  ),
  'Content-Security-Policy': header('What a browser may do with it.', "default-src 'none'"),
  Vary: header('The request headers that the answer depends on.', 'Accept'),
};

function header(description: string, example: string): HeaderObject {
  return { description, schema: { type: 'string' }, example };
}

function documented(names: readonly DocumentedHeader[]) {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

function onEvery(access: 'open' | readonly Role[]): readonly DocumentedHeader[] {
  return access === 'open' ? ['X-Request-Id'] : ['X-Request-Id', ...RATE_LIMIT_HEADERS];
}

function describe(spec: OperationSpec): string {
  const roles = spec.access === undefined || spec.access === 'open' ? [] : spec.access;
  const needs = roles.length > 0 ? `Needs the role ${roles.join(' or ')}.` : '';
  return [spec.description, needs].filter(Boolean).join(' ');
}

function everywhere(access: 'open' | readonly Role[]): ProblemCode[] {
  const always: ProblemCode[] = ['invalid_request', 'headers_too_large', 'internal_error'];
  if (access === 'open') return always;
  return ['unauthenticated', 'forbidden', 'rate_limited', 'engine_unavailable', ...always];
}

function problemResponses(
  codes: readonly ProblemCode[],
  headers: readonly DocumentedHeader[],
): MethodDecorator[] {
  const statuses = new Set(codes.map((code) => PROBLEMS[code].status));
  return [...statuses].sort().map((status) => {
    const here = [...new Set(codes)].filter((code) => PROBLEMS[code].status === status);
    return ApiResponse({ status, ...problemResponse(here, headers) });
  });
}

function problemResponse(codes: readonly ProblemCode[], headers: readonly DocumentedHeader[]) {
  const own = codes.flatMap((code) => Object.keys(new Problem(code, '').headers) as DocumentedHeader[]);
  return {
    description: codes.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' '),
    headers: documented([...new Set([...headers, ...own])]),
    content: {
      [PROBLEM_MEDIA_TYPE]: {
        schema: {
          allOf: [
            { $ref: '#/components/schemas/Problem' },
            {
              type: 'object',
              properties: { code: { type: 'string', enum: [...codes] } },
              required: ['code'],
            },
          ],
        },
        examples: Object.fromEntries(
          codes.map((code) => [code, { $ref: `#/components/examples/${code}` }] as const),
        ),
      },
    },
  };
}

const PROBLEM_EXAMPLES = Object.fromEntries(
  (Object.keys(PROBLEMS) as ProblemCode[]).map((code) => [
    code,
    {
      summary: code,
      value: problemBody(new Problem(code, PROBLEMS[code].title), { path: '/v1/refunds', id: 'req_4f2a9c' }),
    },
  ]),
);
