import { builtinModules } from 'node:module';
import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

/*
 * ESLint replaces a rule's options where two blocks meet, it never merges them. So each restriction is a named
 * list here, and every room below spells out all of its lists.
 */

const vagueNames = {
  regex: '^\\.{1,2}/(.*/)?(utils?|helpers?|common|shared|misc)(\\.js)?$',
  message: 'Name a file for what it holds.',
};

const ambientProcess = ['process', 'node:process'].map((name) => ({
  name,
  message: 'The environment is read by src/config.ts alone; entries pass it in.',
}));

const nodeBuiltins = builtinModules
  .filter((name) => !name.startsWith('_') && !/^assert(\/|$)/.test(name))
  .flatMap((name) => (name.startsWith('node:') ? [name] : [name, `node:${name}`]));

function nodeBuiltinsBecause(message) {
  return nodeBuiltins.map((name) => ({ name, message }));
}

const temporalOutsideWorkflows = ['client', 'worker', 'activity', 'testing', 'core-bridge', 'envconfig'].map(
  (name) => ({
    name: `@temporalio/${name}`,
    message: 'The workflow bundle cannot hold it. Reach the outside through activities/interface.ts.',
  }),
);

const plainSyntax = [
  {
    selector: 'ExportAllDeclaration',
    message: 'Export by name: a barrel hides what a file offers and drags Node into the workflow bundle.',
  },
  { selector: 'TSEnumDeclaration', message: 'Use an `as const` list and the union of its members.' },
];

function bareDateBecause(message) {
  return [
    { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message },
    { selector: "CallExpression[callee.name='Date']", message },
  ];
}

const environment = {
  object: 'process',
  property: 'env',
  message: 'The environment is read by src/config.ts alone; entries pass it in.',
};

const pureClock = 'The domain is pure: take the instant as an argument (nowMs).';
const pureChance = 'The domain is pure: the same input decides the same, always.';

const tests = ['**/*.spec.ts', 'test/**/*.ts'];
const readsEnvironment = [
  'src/config.ts',
  'src/{main,worker,dev,key,migrate,audit}.ts',
  'simulators/main.ts',
  'bench/{main,setting}.ts',
  'scripts/**',
  'test/setup/**',
];
const talksToTheTerminal = [
  'src/{main,worker,dev,key,migrate,audit,startup-failure}.ts',
  'src/embedded/**/*.ts',
  'simulators/main.ts',
  'scripts/**',
  'test/setup/**',
];

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', '.estorno/'] },
  { linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'error' } },
  eslint.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      curly: ['error', 'multi-line'],
      // `== null` says "null or absent", which is one thing in a provider's JSON.
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'id-denylist': ['error', 'utils', 'helpers', 'common'],
      'no-console': 'error',
      'object-shorthand': 'error',
      'no-restricted-imports': ['error', { paths: ambientProcess, patterns: [vagueNames] }],
      'no-restricted-properties': ['error', environment],
      'no-restricted-syntax': ['error', ...plainSyntax],

      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { requireDefaultForNonUnion: true, considerDefaultExhaustiveForUnions: false },
      ],

      // A Nest module is a class without members.
      '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      // A string is spread on purpose: limits count code points.
      '@typescript-eslint/no-misused-spread': ['error', { allow: ['string'] }],
      // Control characters are what input is checked for.
      'no-control-regex': 'off',
      // A port's method returns a promise whether or not this implementation has something to await.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
    },
  },
  {
    files: ['workflows/**/*.ts'],
    ignores: ['**/*.spec.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: [
            ...nodeBuiltinsBecause(
              'A workflow is replayed from its history: what it reads from Node would differ.',
            ),
            ...temporalOutsideWorkflows,
          ],
          patterns: [vagueNames],
        },
      ],
      'no-restricted-globals': [
        'error',
        { name: 'process', message: 'A replay may run on another machine, with another environment.' },
        {
          name: 'crypto',
          message: 'Chance differs in a replay. `uuid4()` of @temporalio/workflow is seeded.',
        },
        {
          name: 'performance',
          message: 'Real time differs in a replay. `Date.now()` is the time of the history.',
        },
        { name: 'fetch', message: 'The network belongs to activities.' },
        {
          name: 'setTimeout',
          message: 'Use `sleep` or `condition` with a summary: people read timers in the UI.',
        },
        {
          name: 'setInterval',
          message: 'Write a loop over `sleep`: an interval never ends and bloats the history.',
        },
        {
          name: 'setImmediate',
          message: 'Use promises: the order of the event loop is no part of the history.',
        },
        { name: 'WeakRef', message: 'The garbage collector differs in a replay.' },
        { name: 'FinalizationRegistry', message: 'The garbage collector differs in a replay.' },
      ],
      'no-restricted-properties': [
        'error',
        environment,
        {
          object: 'Math',
          property: 'random',
          message: 'Seeded by the SDK, but a refund decides nothing by chance. Ids come from `uuid4()`.',
        },
      ],
      'no-restricted-syntax': [
        'error',
        ...plainSyntax,
        ...bareDateBecause('Deterministic here, but `Date.now()` is the one way to read the workflow clock.'),
      ],
    },
  },
  {
    files: ['src/domain/**/*.ts'],
    ignores: ['**/*.spec.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: nodeBuiltinsBecause('The domain is pure, and workflows bundle it: nothing of Node.'),
          patterns: [vagueNames],
        },
      ],
      'no-restricted-globals': [
        'error',
        ...[
          'process',
          'Buffer',
          'crypto',
          'fetch',
          'performance',
          'setTimeout',
          'setInterval',
          'setImmediate',
        ].map((name) => ({ name, message: 'The domain is pure, and workflows bundle it: nothing of Node.' })),
      ],
      'no-restricted-properties': [
        'error',
        environment,
        { object: 'Date', property: 'now', message: pureClock },
        ...['now', 'utc', 'local'].map((property) => ({ object: 'DateTime', property, message: pureClock })),
        { object: 'Math', property: 'random', message: pureChance },
      ],
      'no-restricted-syntax': ['error', ...plainSyntax, ...bareDateBecause(pureClock)],
    },
  },
  {
    files: readsEnvironment,
    rules: {
      'no-restricted-properties': 'off',
      'no-restricted-imports': ['error', { patterns: [vagueNames] }],
    },
  },
  // The type of a zod schema is the one that it infers: writing it out would say everything twice.
  { files: ['**/*.schema.ts'], rules: { '@typescript-eslint/explicit-module-boundary-types': 'off' } },
  { files: talksToTheTerminal, rules: { 'no-console': 'off' } },
  {
    files: tests,
    rules: {
      // Matchers such as expect.any() and parsed JSON bodies are `any` by their own types.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      // A fake may have nothing to do.
      '@typescript-eslint/no-empty-function': 'off',
    },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'process',
          'console',
          'module',
          'require',
          'URL',
          'Buffer',
          'fetch',
          'setTimeout',
          'clearTimeout',
        ].map((name) => [name, 'readonly']),
      ),
    },
    rules: {
      '@typescript-eslint/explicit-module-boundary-types': 'off',
      '@typescript-eslint/no-require-imports': 'off',
    },
  },
);
