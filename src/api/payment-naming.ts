import type { ApiDeps, ConfiguredProvider } from './deps.js';
import { invalidRequest } from './problem.js';

/** @throws Problem where no such provider exists; one that is off is known. */
export function knownProvider(deps: Pick<ApiDeps, 'providers'>, name: string): ConfiguredProvider {
  const configured = deps.providers.get(name);
  if (!configured) {
    throw invalidRequest(
      '/provider',
      `The provider must be one of: ${[...deps.providers.keys()].join(', ')}.`,
    );
  }
  return configured;
}

/** @throws Problem where the id can't be one of this provider's. */
export function canonicalId(configured: ConfiguredProvider, providerPaymentId: string): string {
  const canonical = configured.definition.canonicalPaymentId(providerPaymentId);
  if (canonical === null) {
    throw invalidRequest(
      '/provider_payment_id',
      `This can not be a payment id of ${configured.definition.title}.`,
    );
  }
  return canonical;
}
