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
import { problemBody, PROBLEM_MEDIA_TYPE, Problem, PROBLEMS, type ProblemCode } from './problem.js';
import { problemSchema } from './problem.schema.js';

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
  | 'Vary';

/** Says all about a route at once, for the guard and for the document, so that they can't disagree. */
export function Operation(spec: OperationSpec): MethodDecorator {
  const access = spec.access ?? [];
  const decorators: MethodDecorator[] = [
    ApiOperation({ summary: spec.summary, description: describe(spec) }),
    ApiHeader({
      name: 'X-Request-Id',
      required: false,
      description: 'Yours, to find the request again.',
      schema: { type: 'string', pattern: '^[A-Za-z0-9._-]{1,64}$' },
    }),
    ...spec.success.map(({ status, schema, description, headers = [] }) =>
      ApiResponse({
        status,
        description,
        standardSchema: schema,
        headers: documented(['X-Request-Id', ...(access === 'open' ? [] : RATE_LIMIT_HEADERS), ...headers]),
      }),
    ),
    ...problemResponses([...spec.problems, ...everywhere(access)]),
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
    decorators.push(ApiBody({ description: 'As the provider sends it.', schema: {}, required: false }));
  }
  return applyDecorators(...decorators);
}

/** The document of every route that exists, from the schemas that check it. */
export function createDocument(app: NestFastifyApplication, providers: readonly string[]): OpenAPIObject {
  const about = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Estorno')
    .setVersion('1')
    .setDescription('Durable refunds. Amounts are integers in minor units, times are RFC 3339 UTC.')
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        description: 'A key made by `npm run key`, or a token of the identity provider.',
      },
      'key',
    )
    .build();
  const document = SwaggerModule.createDocument(app, about, {
    operationIdFactory: (_controller, method) => method,
    standardSchemaConverter: (schema, { schemaType }) =>
      schema instanceof z.ZodType ? jsonSchemaOf(schema, schemaType) : undefined,
  });
  describePages(document);
  const components = { ...document.components?.schemas, ...jsonSchemaOf(problemSchema, 'output').components };
  if (components['Provider']) components['Provider'] = { ...components['Provider'], enum: [...providers] };
  return { ...document, components: { ...document.components, schemas: components } };
}

const PAGE = 'text/html';

/** A page has no schema but that it is text. */
function describePages({ paths }: OpenAPIObject): void {
  for (const { get: operation } of Object.values(paths)) {
    for (const response of Object.values(operation?.responses ?? {})) {
      if (response && 'content' in response && response.content[PAGE]) {
        response.content[PAGE] = { schema: { type: 'string' } };
      }
    }
  }
}

const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  required: true,
  description: 'Yours, one a refund; scoped to the actor. Quoted and bare are the same key.',
  schema: { type: 'string' as const, minLength: 1, maxLength: 255, pattern: '^[\\x20-\\x7e]+$' },
  example: '7f9c24e5-order-1042',
};

const RATE_LIMIT_HEADERS: readonly DocumentedHeader[] = ['RateLimit-Policy', 'RateLimit'];

const HEADERS: Readonly<Record<DocumentedHeader, { description: string; schema: { type: 'string' } }>> = {
  Location: { description: 'The path of the resource.', schema: { type: 'string' } },
  'Idempotent-Replayed': {
    description: '`true` where an earlier request decided.',
    schema: { type: 'string' },
  },
  'X-Request-Id': {
    description: 'Names this request in the log and in the trail.',
    schema: { type: 'string' },
  },
  'Retry-After': { description: 'Seconds.', schema: { type: 'string' } },
  RateLimit: {
    description: 'What is left of the limit, and the seconds until it is whole again.',
    schema: { type: 'string' },
  },
  'RateLimit-Policy': {
    description: 'The limit: `q` requests in `w` seconds.',
    schema: { type: 'string' },
  },
  'WWW-Authenticate': { description: '`Bearer`.', schema: { type: 'string' } },
  Vary: { description: '`Accept`.', schema: { type: 'string' } },
};

function documented(names: readonly DocumentedHeader[]) {
  return Object.fromEntries(names.map((name) => [name, HEADERS[name]]));
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

function problemResponses(codes: readonly ProblemCode[]): MethodDecorator[] {
  const statuses = new Set(codes.map((code) => PROBLEMS[code].status));
  return [...statuses].sort().map((status) => {
    const here = [...new Set(codes)].filter((code) => PROBLEMS[code].status === status);
    return ApiResponse({
      status,
      description: here.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' '),
      headers: documented(problemHeaders(here)),
      content: {
        [PROBLEM_MEDIA_TYPE]: {
          schema: {
            allOf: [
              { $ref: '#/components/schemas/Problem' },
              { type: 'object', properties: { code: { type: 'string', enum: here } } },
            ],
          },
          examples: Object.fromEntries(here.map((code) => [code, { summary: code, value: exampleOf(code) }])),
        },
      },
    });
  });
}

function problemHeaders(codes: readonly ProblemCode[]): DocumentedHeader[] {
  const headers = new Set(
    codes.flatMap((code) => Object.keys(new Problem(code, '').headers) as DocumentedHeader[]),
  );
  if (codes.includes('rate_limited')) RATE_LIMIT_HEADERS.forEach((name) => headers.add(name));
  return ['X-Request-Id', ...headers];
}

function exampleOf(code: ProblemCode) {
  return problemBody(new Problem(code, PROBLEMS[code].title), { path: '/v1/refunds', id: 'req_4f2a9c' });
}

/** Named schemas become components; the rest stays where it is. */
function jsonSchemaOf(schema: z.ZodType, io: 'input' | 'output') {
  const {
    $schema: _,
    $defs: components = {},
    ...rest
  } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' });
  return { schema: rest, components: components as Record<string, Record<string, unknown>> };
}
