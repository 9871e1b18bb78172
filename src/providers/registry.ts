import { braspag } from './braspag/index.js';
import type { ProviderDefinition } from './definition.js';
import { efi } from './efi/index.js';
import { fourgeeks } from './fourgeeks/index.js';
import { pagou } from './pagou/index.js';
import { picpay } from './picpay/index.js';

/** Every provider that the service knows: a new one is its folder and its line here. */
export const PROVIDERS: readonly ProviderDefinition[] = [picpay, efi, braspag, fourgeeks, pagou];
