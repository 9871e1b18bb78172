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
      const methods = routes
        .filter((route) => fits(route.segments, segments))
        .flatMap((route) => route.methods);
      return [...new Set(methods)].sort();
    },
  };
}

function fits(pattern: readonly string[], segments: readonly string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((part, index) => (part.startsWith(':') ? segments[index] !== '' : part === segments[index]))
  );
}
