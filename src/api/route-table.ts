import type { FastifyInstance } from 'fastify';

/** Collects routes as they are registered, so that a known path with another method can be told from an unknown one. */
export function createRouteTable(fastify: Pick<FastifyInstance, 'addHook'>): {
  readonly allowedMethods: (path: string) => readonly string[];
} {
  const routes: { readonly segments: readonly string[]; readonly methods: readonly string[] }[] = [];
  fastify.addHook('onRoute', (route) => {
    routes.push({ segments: route.url.split('/'), methods: [route.method].flat() });
  });
  return {
    allowedMethods: (path) => {
      const segments = path.split('/');
      const fitting = routes.filter((route) => fits(route.segments, segments));
      // A path that is spelled out is that one, though its last word would do as an id elsewhere.
      const fewest = Math.min(...fitting.map(({ segments: pattern }) => parametersIn(pattern)));
      const here = fitting.filter(({ segments: pattern }) => parametersIn(pattern) === fewest);
      return [...new Set(here.flatMap((route) => route.methods))].sort();
    },
  };
}

function parametersIn(pattern: readonly string[]): number {
  return pattern.filter((part) => part.startsWith(':')).length;
}

function fits(pattern: readonly string[], segments: readonly string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((part, index) => (part.startsWith(':') ? segments[index] !== '' : part === segments[index]))
  );
}
