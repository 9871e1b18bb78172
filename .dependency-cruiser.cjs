/*
 * The rooms of docs/architecture.md as rules. A room's rule names what it may import and forbids all else, so that
 * a new folder or package is a decision made here, in review, and never an accident.
 */

const TYPE_ONLY = ['type-only'];
const ENTRIES = '^src/(main|worker|dev|key|migrate|audit)\\.ts$';
const TESTS = '\\.spec\\.ts$|^test/';

/** A package as the resolver sees it: by its folder in node_modules, or by its bare name where it has no types. */
function packages(...names) {
  const alternatives = names.map((name) => name.replaceAll('.', '\\.')).join('|');
  return `(^|/)node_modules/(@types/)?(${alternatives})(/|$)`;
}

function builtin(name) {
  return `^(node:)?${name}$`;
}

/** Room `name`: files under `from` may import `may`, and `mayTypes` for their types alone; nothing else. */
function room(name, from, { may, mayTypes = [], except = [] }) {
  const source = { path: from, pathNot: [TESTS, ...except] };
  const rules = [
    {
      name: `${name}-imports`,
      severity: 'error',
      comment: `${name} may import only what its room lists (docs/architecture.md, "The rooms").`,
      from: source,
      to: { pathNot: [...may, ...mayTypes] },
    },
  ];
  if (mayTypes.length > 0) {
    rules.push({
      name: `${name}-imports-types`,
      severity: 'error',
      comment: `${name} may know these by their types alone: write \`import type\`.`,
      from: source,
      to: { path: mayTypes, pathNot: may, dependencyTypesNot: TYPE_ONLY },
    });
  }
  return rules;
}

const DOMAIN = '^src/domain/';
const NEST = packages('@nestjs/[^/]+', 'reflect-metadata', 'rxjs', 'fastify', '@fastify/[^/]+');
const PROVIDER_CATALOGUE = '^src/providers/(registry|definition)\\.ts$';

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      comment:
        'Two files that need each other are one file, or lack a third. Types alone may meet: they leave no trace.',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: TYPE_ONLY } },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      comment: 'A file that nobody imports and that nobody starts is dead.',
      from: {
        orphan: true,
        pathNot: [
          ENTRIES,
          TESTS,
          '^scripts/',
          '^(simulators|simulation|lab|bench)/main\\.ts$',
          '^bench/(provider|bare/(api|worker))\\.ts$',
          '\\.d\\.ts$',
          '^[^/]+\\.[cm]?js$',
        ],
      },
      to: {},
    },
    {
      name: 'imports-resolve',
      severity: 'error',
      comment: 'Import what exists, from packages that package.json names.',
      from: {},
      to: { dependencyTypes: ['unknown', 'undetermined', 'npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'production-needs-no-dev-packages',
      severity: 'error',
      comment: 'An image built with --omit=dev must still start.',
      from: { path: '^(src|workflows|activities)/', pathNot: TESTS },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: TYPE_ONLY },
    },

    ...room('domain', DOMAIN, { may: [DOMAIN], except: ['^src/domain/window\\.ts$'] }),
    ...room('domain-window', '^src/domain/window\\.ts$', { may: [DOMAIN, packages('luxon')] }),

    ...room('workflows', '^workflows/', {
      may: ['^workflows/', DOMAIN, packages('@temporalio/workflow', '@temporalio/common'), builtin('assert')],
      mayTypes: ['^activities/interface\\.ts$'],
    }),

    ...room('activities', '^activities/', {
      may: [
        '^activities/',
        DOMAIN,
        '^src/(ledger|signing|outbound)/',
        PROVIDER_CATALOGUE,
        packages('@temporalio/activity', '@temporalio/common'),
      ],
      mayTypes: ['^workflows/messages\\.ts$'],
    }),

    ...room('ledger', '^src/ledger/', {
      may: ['^src/ledger/', DOMAIN, packages('kysely', 'pg', 'canonicalize'), builtin('crypto')],
    }),

    ...room('outbound', '^src/outbound/', {
      may: [
        '^src/outbound/',
        packages('ipaddr.js', 'standardwebhooks', 'undici'),
        builtin('(net|dns/promises)'),
      ],
    }),

    ...room('sealing', '^src/sealing/', {
      may: [
        '^src/(sealing|signing)/',
        DOMAIN,
        packages('@temporalio/common', '@temporalio/proto'),
        builtin('url'),
      ],
    }),

    ...room('signing', '^src/signing/', {
      may: ['^src/signing/', DOMAIN, packages('canonicalize'), builtin('crypto')],
    }),

    ...room('provider', '^src/providers/[^/]+/', {
      may: [DOMAIN, '^src/providers/', packages('zod'), builtin('(crypto|fs|tls|buffer)')],
    }),
    {
      name: 'provider-knows-no-sibling',
      severity: 'error',
      comment:
        'A provider leaves as it came: one folder. What two of them need lies beside them, with a name.',
      from: { path: '^src/providers/([^/]+)/' },
      to: { path: '^src/providers/[^/]+/', pathNot: '^src/providers/$1/' },
    },
    {
      name: 'provider-knows-no-registry',
      severity: 'error',
      comment: 'The registry lists the providers, not the other way round.',
      from: { path: '^src/providers/', pathNot: [TESTS, '^src/providers/registry\\.ts$'] },
      to: { path: '^src/providers/registry\\.ts$' },
    },
    {
      name: 'only-the-registry-opens-a-provider',
      severity: 'error',
      comment: 'All others meet a provider through the registry and the port.',
      from: { pathNot: ['^src/providers/', TESTS] },
      to: { path: '^src/providers/[^/]+/' },
    },
    ...room('provider-registry', '^src/providers/registry\\.ts$', {
      may: ['^src/providers/([^/]+/index|definition)\\.ts$', DOMAIN],
    }),
    ...room('provider-http', '^src/providers/http\\.ts$', { may: [packages('undici')] }),
    ...room('provider-json', '^src/providers/json\\.ts$', {
      may: [DOMAIN, packages('lossless-json', 'zod')],
    }),
    ...room('provider-instants', '^src/providers/instants\\.ts$', { may: [DOMAIN, packages('luxon')] }),
    ...room('providers', '^src/providers/[^/]+\\.ts$', {
      may: ['^src/providers/[^/]+\\.ts$', DOMAIN, packages('zod'), builtin('(crypto|buffer)')],
      except: ['^src/providers/(registry|http|json|instants)\\.ts$'],
    }),
    ...[
      ['undici', '^src/(providers/http|outbound/post|[^/]+)\\.ts$'],
      ['standardwebhooks', '^src/outbound/signature\\.ts$'],
      ['lossless-json', '^src/providers/json\\.ts$'],
      ['luxon', '^src/(key|policy|domain/window|providers/instants)\\.ts$'],
      ['jose', '^src/api/identity-token\\.ts$'],
      ['rate-limiter-flexible', '^src/api/rate-limits\\.ts$'],
      ['kysely', '^src/ledger/'],
      ['prom-client', '^src/metrics/'],
    ].map(([name, owner]) => ({
      name: `${name}-has-one-home`,
      severity: 'error',
      comment: `${name} is reached through the file that wraps it, so that its rules hold everywhere.`,
      from: { path: '^(src|workflows|activities)/', pathNot: [TESTS, owner] },
      to: { path: packages(name), dependencyTypesNot: TYPE_ONLY },
    })),

    ...room('api', '^src/api/', {
      may: [
        '^src/api/',
        DOMAIN,
        '^src/(ledger|signing)/',
        '^workflows/(messages|start-options)\\.ts$',
        '^src/outbound/endpoint-url\\.ts$',
        '^src/sealing/sealed-payload\\.ts$',
        PROVIDER_CATALOGUE,
        NEST,
        packages(
          '@temporalio/client',
          '@temporalio/common',
          'zod',
          'canonicalize',
          'jose',
          'rate-limiter-flexible',
          'ipaddr.js',
        ),
        builtin('(crypto|fs/promises|http|module|net|path|perf_hooks|stream|timers/promises|url)'),
      ],
      mayTypes: [
        '^activities/interface\\.ts$',
        '^src/(config|logger)\\.ts$',
        packages('pino', '@standard-schema/spec'),
      ],
    }),
    ...room('upkeep', '^src/upkeep/', {
      may: [
        '^src/upkeep/',
        DOMAIN,
        '^src/(ledger/|temporal\\.ts$)',
        '^workflows/(messages|start-options|delivery-messages)\\.ts$',
        packages('@temporalio/client', '@temporalio/common'),
        builtin('(crypto|timers/promises)'),
      ],
      mayTypes: ['^activities/deps\\.ts$', packages('pino')],
    }),
    ...room('metrics', '^src/metrics/', {
      may: ['^src/metrics/', DOMAIN, '^src/ledger/', packages('prom-client')],
      mayTypes: ['^activities/deps\\.ts$', '^src/api/deps\\.ts$'],
    }),
    {
      name: 'nest-lives-in-the-api',
      severity: 'error',
      comment: 'The rest of the service is plain functions.',
      from: { pathNot: ['^src/api/', '^bench/bare/api\\.ts$', '^src/(main|wiring)\\.ts$', TESTS] },
      to: { path: NEST },
    },

    {
      name: 'entries-stand-alone',
      severity: 'error',
      comment: 'An entry starts one thing; dev spawns the others as processes. Nothing imports an entry.',
      from: { pathNot: TESTS },
      to: { path: ENTRIES },
    },
    {
      name: 'production-knows-no-tests-and-no-simulators',
      severity: 'error',
      comment: 'What is shipped never reaches what is only for tests, demo and development.',
      from: { path: '^(src|workflows|activities)/', pathNot: TESTS },
      to: { path: ['\\.spec\\.ts$', '^(test|simulators|simulation|lab|bench|scripts)/'] },
    },
    ...room('simulators', '^simulators/', {
      // Amounts and words of the domain, but no adapter: a double made from our own code repeats our misreadings.
      may: ['^simulators/', DOMAIN, packages('zod', 'undici'), builtin('[a-z_/]+')],
    }),
    ...room('simulation', '^simulation/', {
      // Decisions alone: whatever else it needed would make it slow, or less than deterministic.
      may: ['^simulation/', DOMAIN, builtin('(util|perf_hooks|os|worker_threads)')],
    }),
    ...room('lab', '^lab/', {
      // It meets the service as a user does, by its commands, HTTP and database; only the parts are ours to start.
      may: [
        '^lab/',
        '^src/embedded/',
        DOMAIN,
        '^workflows/messages\\.ts$',
        packages('pg', 'zod', '@temporalio/client'),
        builtin('[a-z_/]+'),
      ],
      mayTypes: ['^simulators/'],
    }),
    ...room('bench', '^bench/', {
      // As the lab does: what is measured is what a user starts.
      may: [
        '^bench/',
        '^lab/(seats|retries|dice)\\.ts$',
        '^src/embedded/',
        '^src/temporal\\.ts$',
        DOMAIN,
        '^workflows/messages\\.ts$',
        packages('pg', 'undici', '@temporalio/(client|common|proto)'),
        builtin('[a-z_/]+'),
      ],
      except: ['^bench/bare/'],
    }),
    ...room('bare', '^bench/bare/', {
      // A yardstick of its own: nothing of the service, not even a type.
      may: [
        '^bench/(bare/|setting\\.ts$)',
        packages('@temporalio/[^/]+', 'pg', 'undici', 'fastify'),
        builtin('(crypto|url)'),
      ],
    }),
  ],

  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^dist/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
