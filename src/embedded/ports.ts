import { createServer } from 'node:net';

const LOOPBACK = '127.0.0.1';

/** The wanted port where nobody listens on it, else one that the system gives. */
export async function freePort(wanted: number, host = LOOPBACK): Promise<number> {
  return (await portIfFree(wanted, host)) ?? (await portIfFree(0, host)) ?? wanted;
}

export async function isPortFree(port: number, host = LOOPBACK): Promise<boolean> {
  return (await portIfFree(port, host)) !== null;
}

function portIfFree(port: number, host: string): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      const bound = address !== null && typeof address === 'object' ? address.port : null;
      server.close(() => resolve(bound));
    });
  });
}
