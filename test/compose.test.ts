import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Ajv } from 'ajv';
import { parse } from 'yaml';

const root = join(import.meta.dirname, '..');

interface Service {
  readonly build?: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly env_file?: string;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: object;
  readonly ports?: readonly string[];
  readonly restart: string;
  readonly volumes?: readonly string[];
  readonly configs?: readonly { readonly source: string }[];
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
  readonly configs: Readonly<Record<string, { readonly content: string }>>;
}

const text = read('docker-compose.yml');
const compose = parse(text, { merge: true }) as Compose;
const services = Object.entries(compose.services);

describe('docker-compose.yml', () => {
  it('uses only members that Compose knows, in the forms that it takes', () => {
    // The Compose Specification's own schema, as the linter for Compose files ships it.
    const schema = JSON.parse(read('node_modules/dclint/schemas/compose.schema.json')) as object;
    const validate = new Ajv({ allErrors: true, strict: false, validateFormats: false }).compile({
      ...schema,
      $schema: 'http://json-schema.org/draft-07/schema#',
    });
    validate(compose);
    expect(validate.errors ?? []).toEqual([]);
    expect(validate({ ...compose, sevices: {} })).toBe(false);
  });

  it('names only services, volumes and configs that it defines', () => {
    for (const [, service] of services) {
      expect(Object.keys(compose.services)).toEqual(
        expect.arrayContaining(Object.keys(service.depends_on ?? {})),
      );
      for (const volume of (service.volumes ?? [])
        .map(beforeColon)
        .filter((source) => !source.startsWith('.'))) {
        expect(Object.keys(compose.volumes)).toContain(volume);
      }
      for (const { source } of service.configs ?? []) expect(Object.keys(compose.configs)).toContain(source);
    }
  });

  it('waits only for what can happen: health of a service that has a check, completion of one that ends', () => {
    for (const [, service] of services) {
      for (const [name, { condition }] of Object.entries(service.depends_on ?? {})) {
        const awaited = compose.services[name];
        if (condition === 'service_healthy') expect(awaited?.healthcheck).toBeDefined();
        if (condition === 'service_completed_successfully') expect(awaited?.restart).toMatch(/^on-failure/);
      }
    }
  });

  it('starts roles that the build makes from a source that exists', () => {
    for (const [, { build, command = [] }] of services.filter(([, service]) => service.build !== undefined)) {
      expect(build).toBe('.');
      expect(command[0]).toBe('node');
      expect(existsSync(join(root, sourceOf(command[1] ?? '')))).toBe(true);
    }
  });

  it('asks for every value without a default in .env.example, and bakes no secret in', () => {
    const example = read('.env.example');
    for (const [, name] of text.matchAll(/\$\{([A-Z_]+):\?/g)) {
      expect(example).toMatch(new RegExp(`^#? ?${name}=$`, 'm'));
    }
    for (const [, { environment = {} }] of services) {
      for (const [name, value] of Object.entries(environment)) {
        if (/PASSWORD|PWD|SECRET|KEY|TOKEN/.test(name)) expect(value).toMatch(/^\$\{[A-Z_]+:\?.*\}$/);
      }
    }
  });

  it('publishes every port to this machine alone', () => {
    for (const port of services.flatMap(([, service]) => service.ports ?? [])) {
      expect(port).toMatch(/^127\.0\.0\.1:/);
    }
  });

  it('pins every image that it pulls to a version', () => {
    for (const [, { image }] of services.filter(([, service]) => service.build === undefined)) {
      expect(image).toMatch(/:\d/);
    }
  });
});

describe('Dockerfile', () => {
  const dockerfile = read('Dockerfile');
  const allowed = read('.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1));

  it('copies only what exists and what .dockerignore lets through', () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) =>
      sources.split(' '),
    );
    expect(copied).not.toEqual([]);
    for (const source of copied) {
      expect(allowed).toContain(source);
      expect(statSync(join(root, source)).size).toBeGreaterThan(0);
    }
  });

  it('runs only scripts that package.json has, and a start that has a source', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    for (const [, name = ''] of dockerfile.matchAll(/npm run ([\w:-]+)/g)) {
      expect(Object.keys(scripts)).toContain(name);
    }
    const start = /^CMD (\[.*\])$/m.exec(dockerfile)?.[1] ?? '[]';
    const [, file = ''] = JSON.parse(start) as string[];
    expect(existsSync(join(root, sourceOf(file)))).toBe(true);
  });

  it('does not run as root', () => {
    expect(dockerfile).toMatch(/^USER node$/m);
  });
});

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

function beforeColon(mount: string): string {
  return mount.slice(0, mount.indexOf(':'));
}

/** `src/main.ts` for `dist/src/main.js`. */
function sourceOf(built: string): string {
  return built.replace(/^dist\//, '').replace(/\.js$/, '.ts');
}
